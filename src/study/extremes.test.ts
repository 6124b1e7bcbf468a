import assert from "node:assert/strict";
import { test } from "node:test";
import { axisAround, axisFromZero, powersAxis, timeUnit } from "./chart/axes.js";
import { greatest, least } from "./extremes.js";

const many = Array.from({ length: 300_000 }, (_, index) => 1 + (index % 97));

test("the least and the greatest are found of as many values as a long run has", () => {
  assert.deepEqual([least(many), greatest(many)], [1, 97]);
  assert.deepEqual([least([3, -2]), greatest([3, -2])], [-2, 3]);
  assert.deepEqual([least([]), greatest([])], [Infinity, -Infinity]);
});

test("axes are drawn for as many values", () => {
  assert.deepEqual(axisFromZero("loss", many).domain, [0, 100]);
  assert.deepEqual(axisAround("accuracy", many, 2).domain, [0, 100]);
  assert.equal(powersAxis("workers", many).domain[1], 128);
  assert.equal(timeUnit(many).name, "s");
});
