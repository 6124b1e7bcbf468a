import assert from "node:assert/strict";
import { test } from "node:test";
import { MemorySplit } from "./split.js";

test("a batch is copied example by example, and memory beyond it is left alone", () => {
  const pixels = Uint8Array.from({ length: 5 * 6 }, (_, index) => index);
  const split = new MemorySplit(pixels, Uint8Array.of(3, 4, 5, 6, 7), 6);
  const into = new Uint8Array(14).fill(99);
  const labels = new Int32Array(3).fill(-9);
  split.read([0, 4, 2, 1], 1, 3, into, labels);
  assert.deepEqual([...labels], [7, 5, -9]);
  assert.deepEqual([...into], [24, 25, 26, 27, 28, 29, 12, 13, 14, 15, 16, 17, 99, 99]);
});
