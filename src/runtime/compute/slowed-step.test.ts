import assert from "node:assert/strict";
import { test } from "node:test";
import { SlowedStep } from "./slowed-step.js";

/** A clock that only moves by hand, and by waits, each longer than asked by `lateMs`. */
function slowedStep(slow: number, lateMs = 0) {
  const clock = { ms: 1000 };
  const waits: number[] = [];
  const step = new SlowedStep({
    slow,
    nowMs: () => clock.ms,
    wait: (ms) => {
      waits.push(ms);
      clock.ms += ms + lateMs;
    },
  });
  return { clock, waits, step };
}

test("a step that is slowed 3 times takes 3 times what it worked, at each moment", () => {
  const { clock, waits, step } = slowedStep(3);
  clock.ms += 10;
  step.catchUp(0);
  assert.equal(clock.ms, 1030);
  clock.ms += 4;
  step.catchUp(0);
  assert.equal(clock.ms, 1042);
  step.catchUp(0);
  assert.deepEqual(waits, [20, 8]);
  assert.equal(step.slowedMs, 28);
});

test("waiting for parameters is not work", () => {
  const { clock, waits, step } = slowedStep(2);
  clock.ms += 50;
  step.catchUp(40);
  assert.deepEqual(waits, [10]);
  assert.equal(clock.ms, 1060);
});

test("a wait that took too long is made up for by the next", () => {
  const { clock, waits, step } = slowedStep(3, 6);
  clock.ms += 10;
  step.catchUp(0);
  clock.ms += 10;
  step.catchUp(0);
  assert.deepEqual(waits, [20, 14]);
});
