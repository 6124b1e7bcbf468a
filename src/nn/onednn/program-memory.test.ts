import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../random.js";
import { planRegions, type Region } from "./program-memory.js";

function region(bytes: number, first: number, last: number): Region {
  return { bytes, first, last, offset: -1 };
}

test("values whose lives don't touch lie in the same place", () => {
  const regions = [region(640, 0, 1), region(320, 2, 3), region(640, 4, 9)];
  assert.equal(planRegions(regions), 640);
  assert.deepEqual(
    regions.map(({ offset }) => offset),
    [0, 0, 0],
  );
});

test("values that live at the same time lie beside each other, on whole lines", () => {
  const regions = [region(100, 0, 5), region(70, 5, 6), region(10, 2, 5)];
  assert.equal(planRegions(regions), 128 + 128 + 64);
  assert.deepEqual(
    regions.map(({ offset }) => offset),
    [0, 128, 256],
  );
});

test("a hole between living values is used again", () => {
  const regions = [region(640, 0, 9), region(320, 0, 2), region(300, 0, 9), region(128, 4, 5)];
  planRegions(regions);
  assert.equal(regions[3]?.offset, regions[1]?.offset);
});

test("random lives: living values share no byte, and the total is not far from the need", () => {
  const random = new Random(7, "lives");
  for (let round = 0; round < 200; round++) {
    const steps = 2 + random.below(40);
    const regions = Array.from({ length: 1 + random.below(60) }, () => {
      const first = random.below(steps);
      return region(1 + random.below(5000), first, first + random.below(steps - first));
    });
    const total = planRegions(regions);
    for (const [index, left] of regions.entries()) {
      assert.ok(left.offset >= 0 && left.offset % 64 === 0);
      assert.ok(left.offset + left.bytes <= total);
      for (const right of regions.slice(index + 1)) {
        if (left.last < right.first || right.last < left.first) continue;
        const apart =
          left.offset + left.bytes <= right.offset || right.offset + right.bytes <= left.offset;
        assert.ok(apart, JSON.stringify({ left, right }));
      }
    }
    const needs = Array.from({ length: steps }, (_, step) =>
      regions
        .filter(({ first, last }) => first <= step && step <= last)
        .reduce((sum, { bytes }) => sum + Math.ceil(bytes / 64) * 64, 0),
    );
    assert.ok(total >= Math.max(...needs) && total <= 2 * Math.max(...needs));
  }
});
