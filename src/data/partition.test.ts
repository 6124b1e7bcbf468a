import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { epochPermutation, workerRanges } from "./partition.js";

test("an epoch's permutation holds every example once and follows from seed and epoch", () => {
  const order = epochPermutation(1000, 3, 2);
  assert.deepEqual(
    [...order].sort((left, right) => left - right),
    Array.from({ length: 1000 }, (_, index) => index),
  );
  assert.deepEqual(epochPermutation(1000, 3, 2), order);
  assert.notDeepEqual(epochPermutation(1000, 3, 3), order);
  assert.notDeepEqual(epochPermutation(1000, 4, 2), order);
});

test("the permutation of a seed stays what it is, since checkpoints rely on it", () => {
  assert.deepEqual([...epochPermutation(8, 1, 0)], [6, 2, 4, 5, 0, 7, 1, 3]);
});

test("ranges are contiguous, cover all positions and differ by at most one", () => {
  fc.assert(
    fc.property(fc.nat(100_000), fc.integer({ min: 1, max: 1024 }), (count, workers) => {
      const ranges = workerRanges(count, workers);
      assert.equal(ranges.length, workers);
      let position = 0;
      for (const { start, end } of ranges) {
        assert.equal(start, position);
        const size = end - start;
        assert.ok(size === Math.floor(count / workers) || size === Math.ceil(count / workers));
        position = end;
      }
      assert.equal(position, count);
    }),
    { seed: 11, numRuns: 200 },
  );
});
