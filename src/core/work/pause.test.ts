/** A pause, walked by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Pause } from "./pause.js";

test("all run to the highest step that one of them is in, also where that one is lost", () => {
  const pause = new Pause(1, "checkpoint", true, [0, 1]);
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
  const pause = new Pause(1, "checkpoint", true, [0, 1]);
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
  const pause = new Pause(1, "interrupt", true, [0]);
  assert.deepEqual(pause.answered(0, 3), [{ rank: 0, step: 3 }]);
  pause.lost(0);
  assert.equal(pause.limit, -1);
  assert.ok(pause.quiet);
});
