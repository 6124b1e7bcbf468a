import assert from "node:assert/strict";
import { test } from "node:test";
import { gapAt, histogramOf } from "./progress-gaps.js";

test("a gap is the longest wait for a step that was on, or began, while the fault lasted", () => {
  const begins = new Map([
    ["worker-0", [0, 10, 20, 90, 100, 300]],
    ["worker-1", [0, 10, 21, 95, 100, 105]],
  ]);
  assert.equal(gapAt(begins, { atMs: 25, untilMs: 99 }), 74);
  assert.equal(gapAt(begins, { atMs: 25, untilMs: 101 }), 200, "the last begins at 100");
  assert.equal(gapAt(begins, { atMs: 1, untilMs: 15 }), 11);
});

test("a histogram counts each gap once, in classes that double", () => {
  assert.deepEqual(histogramOf([3, 16, 17, 100, 120]), [
    "up to    16 ms    2  ##",
    "up to    32 ms    1  #",
    "up to    64 ms    0",
    "up to   128 ms    2  ##",
  ]);
});
