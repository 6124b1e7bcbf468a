import assert from "node:assert/strict";
import { test } from "node:test";
import { currentCursor } from "./cursor-names.js";

test("cuts, pieces and counts are read as plans, assignments and term 0", () => {
  const share = { rank: 0, start: 0, end: 100, next: 48, nextStep: 3 };
  const account = {
    cursor: {
      cuts: [{ epoch: 1, firstStep: 0, lastStep: 7, shares: [{ ...share, piece: null }] }],
      pieces: 9,
      pushesDealt: 0,
    },
    seconds: 1.5,
    viewNumber: 4,
    incarnations: 6,
  };
  assert.deepEqual(currentCursor(account), {
    term: 0,
    cursor: {
      plans: [{ epoch: 1, firstStep: 0, lastStep: 7, shares: [{ ...share, assignment: null }] }],
      assignments: 9,
      pushesDealt: 0,
    },
    seconds: 1.5,
  });
});

test("a cursor of batches and one written with present names", () => {
  const pools = [{ epoch: 0, next: 32, end: 100, left: [{ start: 0, end: 16, leftBy: null }] }];
  assert.deepEqual(currentCursor({ cursor: { pools, pieces: 4, nextStep: 2 } }), {
    term: 0,
    cursor: { pools, assignments: 4, nextStep: 2 },
  });
  const present = { term: 3, cursor: { pools, nextStep: 2 }, epochs: [] };
  assert.deepEqual(currentCursor(present), present);
  assert.equal(currentCursor(null), null);
});
