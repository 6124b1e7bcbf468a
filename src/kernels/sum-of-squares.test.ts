import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../random.js";
import { sumOfSquares } from "./sum-of-squares.js";

test("squares are summed of any number of values", () => {
  for (let length = 0; length < 12; length++) {
    const values = Float32Array.from({ length }, (_, index) => (index % 2 === 0 ? 1 : -1) * index);
    assert.equal(sumOfSquares(values), ((length - 1) * length * (2 * length - 1)) / 6);
  }
});

test("small squares beside a large one are not lost, as in f32 they would be", () => {
  const values = new Float32Array(100_001).fill(2 ** -12);
  values[0] = 4096;
  assert.equal(sumOfSquares(values), 2 ** 24 + 100_000 * 2 ** -24);
});

test("values whose squares f32 cannot hold have a finite sum", () => {
  const random = new Random("sum of squares", 3);
  const values = Float32Array.from({ length: 999 }, () => 1e30 * (random.below(7) - 3));
  const plain = [...values].reduce((sum, value) => sum + value * value, 0);
  assert.ok(Math.abs(sumOfSquares(values) / plain - 1) < 1e-12);
});
