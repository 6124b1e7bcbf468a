import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { epochOrder, epochPermutation, workerRanges } from "./partition.js";

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

test("without blocks the order is the permutation", () => {
  const order = epochOrder({ count: 1000, blockExamples: 0, seed: 3, epoch: 2 });
  assert.deepEqual(order.indices(0, 1000), epochPermutation(1000, 3, 2));
  assert.deepEqual(order.indices(10, 14), epochPermutation(1000, 3, 2).subarray(10, 14));
});

const facts = { count: 103, blockExamples: 10, seed: 3, epoch: 2 };

test("with blocks an epoch takes every example once, block by block", () => {
  const order = epochOrder(facts);
  const all = order.indices(0, 103);
  assert.deepEqual(
    all.toSorted(),
    Uint32Array.from({ length: 103 }, (_, index) => index),
  );
  const blocks = [...all].map((index) => Math.floor(index / 10));
  const visits = blocks.filter((block, position) => block !== blocks[position - 1]);
  assert.equal(visits.length, 11, `blocks ${visits}`);
  assert.notDeepEqual(
    visits,
    visits.toSorted((left, right) => left - right),
  );
  assert.ok(all.some((index, position) => index > all[position + 1]!));
});

test("an order of blocks follows from its facts and stays what it is", () => {
  const order = epochOrder({ count: 11, blockExamples: 4, seed: 1, epoch: 0 });
  assert.deepEqual([...order.indices(0, 11)], [9, 8, 10, 1, 0, 2, 3, 4, 5, 6, 7]);
  const all = (changed: Partial<typeof facts>) =>
    epochOrder({ ...facts, ...changed }).indices(0, 103);
  assert.deepEqual(all({}), all({}));
  assert.notDeepEqual(all({}), all({ seed: 4 }));
  assert.notDeepEqual(all({}), all({ epoch: 3 }));
});

test("any run of positions gives what the whole order has there", () => {
  const sizes = fc.integer({ min: 1, max: 60 });
  const cuts = fc.tuple(fc.float({ noNaN: true, min: 0, max: 1 }), fc.nat(40));
  fc.assert(
    fc.property(
      fc.nat(200),
      sizes,
      fc.array(cuts, { maxLength: 8 }),
      (count, blockExamples, asked) => {
        const same = { count, blockExamples, seed: 5, epoch: 1 };
        const whole = epochOrder(same).indices(0, count);
        assert.equal(new Set(whole).size, count);
        const order = epochOrder(same);
        for (const [share, length] of asked) {
          const start = Math.floor(share * count);
          const end = Math.min(count, start + length);
          assert.deepEqual(order.indices(start, end), whole.subarray(start, end));
        }
      },
    ),
    { seed: 12, numRuns: 300 },
  );
});
