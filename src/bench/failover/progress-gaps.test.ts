import assert from "node:assert/strict";
import { test } from "node:test";
import { gapAt, histogramOf, windowStarts } from "./progress-gaps.js";

test("a gap is the longest wait after a step that began between a fault and the next", () => {
  const begins = new Map([
    ["worker-0", [0, 10, 20, 90, 100, 300]],
    ["worker-1", [0, 10, 21, 95, 100, 105]],
  ]);
  assert.equal(gapAt(begins, { atMs: 15, untilMs: 100 }), 74);
  assert.equal(gapAt(begins, { atMs: 15, untilMs: 101 }), 200, "the last begins at 100");
  assert.equal(gapAt(begins, { atMs: 5, untilMs: 15 }), 11);
});

test("a wait that begins just before a fault is heard of is that fault's", () => {
  const starts = windowStarts([1000, 6000, 6400], 2000);
  assert.deepEqual(starts, [-1000, 4000, 6200]);
  const begins = new Map([["worker-0", [1000, 1010, 5200, 9000]]]);
  const [atMs, untilMs] = [starts[0]!, starts[1]!];
  assert.equal(gapAt(begins, { atMs, untilMs }), 4190, "a fault that lasts to the next");
  assert.equal(gapAt(begins, { atMs: untilMs, untilMs: starts[2]! }), 3800);
});

test("a histogram counts each gap once, in classes that double", () => {
  assert.deepEqual(histogramOf([3, 16, 17, 100, 120]), [
    "up to    16 ms    2  ##",
    "up to    32 ms    1  #",
    "up to    64 ms    0",
    "up to   128 ms    2  ##",
  ]);
});
