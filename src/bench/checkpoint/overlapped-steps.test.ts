import assert from "node:assert/strict";
import { test } from "node:test";
import { overlappedSteps } from "./overlapped-steps.js";

/** Steps of 10 ms each, but for some. */
function applied(count: number, longer: Readonly<Record<number, number>> = {}): number[] {
  let nowMs = 0;
  return Array.from({ length: count }, (_, step) => {
    nowMs += 10 + (longer[step] ?? 0);
    return nowMs;
  });
}

test("steps from a checkpoint's beginning until it is whole stand beside the others", () => {
  // Step 6 ends at 79; the checkpoint of 6 steps is begun at 60.
  const times = applied(12, { 6: 9, 7: 5 });
  const { plain, beside, writing } = overlappedSteps(times, [{ step: 6, writtenMs: 85 }], 4);
  assert.deepEqual(beside, [[19, 15]]);
  assert.deepEqual(writing, [25]);
  assert.deepEqual(plain, Array(4).fill(10), "5, 9, 10 and 11: not 4 and 8, nor the first epoch");
});

test("a checkpoint at an epoch's end, or in the first epoch, tells nothing", () => {
  const times = applied(12);
  const checkpoints = [2, 8].map((step) => ({ step, writtenMs: times[step]! - 1 }));
  const { plain, beside } = overlappedSteps(times, checkpoints, 4);
  assert.deepEqual(beside, []);
  assert.equal(plain.length, 6);
});

test("one that is whole at once overlaps the step that follows it", () => {
  const times = applied(8);
  const { beside } = overlappedSteps(times, [{ step: 6, writtenMs: times[5]! + 1 }], 4);
  assert.deepEqual(beside, [[10]]);
});
