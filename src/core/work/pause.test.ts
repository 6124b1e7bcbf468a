/** A pause, walked by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Pause } from "./pause.js";

const workersOf = (...firstSteps: number[]) =>
  firstSteps.map((fromStep, rank) => ({ rank, fromStep }));

test("all run to the highest step that one of them is in, also where that one is lost", () => {
  const pause = new Pause(1, "checkpoint", true, workersOf(0, 0));
  assert.deepEqual(pause.answered(0, 3), []);
  const limits = [
    { rank: 0, step: 4 },
    { rank: 1, step: 4 },
  ];
  assert.deepEqual(pause.answered(1, 4), limits);
  assert.deepEqual(pause.lost(1), []);
  assert.equal(pause.limit, 4);
  assert.ok(!pause.quiet);
  pause.rested(0);
  assert.ok(pause.quiet);
});

test("one whose work ends before the limit is told so once, and rests there", () => {
  const pause = new Pause(1, "checkpoint", true, workersOf(0, 0));
  pause.answered(0, 6);
  assert.deepEqual(pause.shortened(1, 4), [], "the limit is not known");
  pause.answered(1, 4);
  assert.deepEqual(pause.shortened(1, 6), [], "its work does not end before");
  assert.deepEqual(pause.shortened(1, 4), [{ rank: 1, step: 4 }]);
  assert.deepEqual(pause.shortened(1, 4), []);
  assert.equal(pause.limit, 6);
  pause.rested(0);
  assert.ok(!pause.quiet);
  pause.rested(1);
  assert.ok(pause.quiet);
  pause.lost(1);
  assert.deepEqual(pause.shortened(1, 3), [], "it is gone");
});

test("where all are lost nobody takes the step that they were in", () => {
  const pause = new Pause(1, "interrupt", true, workersOf(0));
  assert.deepEqual(pause.answered(0, 3), [{ rank: 0, step: 3 }]);
  pause.lost(0);
  assert.equal(pause.limit, -1);
  assert.ok(pause.quiet);
});

test("one that stands before its first step is in none, wherever that lies", () => {
  const pause = new Pause(1, "switch", true, workersOf(40, 0, 158));
  for (const [rank, step] of [
    [0, 91],
    [1, 90],
  ] as const) {
    assert.deepEqual(pause.answered(rank, step), []);
  }
  const limits = pause.answered(2, 157);
  assert.deepEqual(limits, [
    { rank: 0, step: 91 },
    { rank: 1, step: 91 },
    { rank: 2, step: 91 },
  ]);
  const fresh = new Pause(2, "interrupt", true, workersOf(92, 158));
  fresh.answered(0, 91);
  fresh.answered(1, 157);
  assert.equal(fresh.limit, 91, "the lowest, where nobody is in a step");
});
