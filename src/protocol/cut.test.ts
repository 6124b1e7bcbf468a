/** The limits of a cut, and who tore a step of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cutLimitsOf, tornAt } from "./cut.js";

const mark = (
  rank: number,
  incarnation: number,
  step: number,
  more: { usedStep?: number; used?: number } = {},
) => {
  return { rank, incarnation, step, ...more };
};

test("a worker's limit is the farthest step that some chunk has of its latest life", () => {
  const chunks = [
    [mark(0, 10, 4, { used: 40 }), mark(1, 11, 9, { used: 72 })],
    [mark(0, 10, 5, { usedStep: 3, used: 32 }), mark(1, 21, 2, { used: 24 })],
    [mark(1, 21, 1), mark(2, 12, 0, { usedStep: -1 })],
  ];
  assert.deepEqual(cutLimitsOf(chunks), [
    { rank: 0, incarnation: 10, step: 5, usedStep: 4, used: 40 },
    { rank: 1, incarnation: 21, step: 2, usedStep: 2, used: 24 },
    { rank: 2, incarnation: 12, step: 0, usedStep: -1, used: 0 },
  ]);
  assert.deepEqual(cutLimitsOf([[], []]), []);
});

test("a step is torn that some chunks have and others have not, unless it used nothing", () => {
  const worker = (rank: number, fromStep = 0) => ({ rank, incarnation: 10 + rank, fromStep });
  const chunks = [
    [mark(0, 10, 4), mark(1, 11, 9), mark(2, 12, 3, { usedStep: 2 }), mark(3, 13, 0)],
    [mark(0, 10, 4), mark(1, 11, 8), mark(2, 12, 2), mark(3, 7, 5)],
  ];
  assert.equal(tornAt([worker(0), worker(1), worker(2)], chunks), 1);
  assert.equal(tornAt([worker(3)], chunks), 1, "another life's step is none of it");
  assert.equal(tornAt([worker(3, 1)], chunks), 0, "nor is one before its first");
});
