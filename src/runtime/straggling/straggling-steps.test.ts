import assert from "node:assert/strict";
import { test } from "node:test";
import { type InjectedStraggler, prompt } from "../../protocol/injected-fault.js";
import { type StragglerChange, StragglingSteps } from "./straggling-steps.js";

const straggler: InjectedStraggler = {
  ...{ kind: "straggler", role: "worker", rank: 2, at: 3, to: 5, forMs: null },
  ...prompt,
};

function stepsOf(faults: readonly InjectedStraggler[]) {
  const told: [boolean, number, number][] = [];
  const clock = { ms: 0 };
  const tell = ({ straggles, step, steps }: StragglerChange) => told.push([straggles, step, steps]);
  const steps = new StragglingSteps(faults, { nowMs: () => clock.ms, tell });
  return { told, clock, steps };
}

test("a straggler is slow from its first step to its last one, and in no other", () => {
  const { told, steps } = stepsOf([{ ...straggler, slow: 3 }]);
  const slows = [0, 1, 2, 3, 4, 5, 6].map((step) => {
    steps.heard(step);
    return steps.of(step).slow;
  });
  assert.deepEqual(slows, [1, 1, 3, 3, 3, 1, 1]);
  assert.deepEqual(told, [
    [true, 3, 0],
    [false, 6, 3],
  ]);
});

test("a step keeps its slowness, whatever is heard while it lasts", () => {
  const { steps } = stepsOf([{ ...straggler, at: 2, to: null, delayMs: 30 }]);
  assert.equal(steps.of(0).delayMs, 0);
  steps.heard(1);
  assert.equal(steps.of(0).delayMs, 0);
  assert.equal(steps.of(1).delayMs, 30);
});

test("where others update too a step is the update that it is for at the earliest", () => {
  const { steps } = stepsOf([{ ...straggler, at: 100, to: 200, slow: 2 }]);
  steps.heard(98);
  assert.equal(steps.of(30).slow, 1);
  steps.heard(101);
  assert.equal(steps.of(31).slow, 2);
  steps.heard(200);
  assert.equal(steps.of(32).slow, 1);
});

test("one that lasts for a time is over with the first step that begins after it", () => {
  const { told, clock, steps } = stepsOf([{ ...straggler, to: null, forMs: 1000, slow: 2 }]);
  clock.ms = 5000;
  assert.equal(steps.of(1).slow, 1);
  assert.equal(steps.of(2).slow, 2);
  clock.ms = 5999;
  assert.equal(steps.of(3).slow, 2);
  clock.ms = 6000;
  assert.equal(steps.of(4).slow, 1);
  clock.ms = 6001;
  assert.equal(steps.of(5).slow, 1);
  assert.deepEqual(told, [
    [true, 3, 0],
    [false, 5, 2],
  ]);
});

test("a further run has its own steps", () => {
  const { steps } = stepsOf([{ ...straggler, to: null, slow: 2 }]);
  steps.heard(7);
  assert.equal(steps.of(7).slow, 2);
  steps.begin();
  assert.deepEqual([steps.of(0).slow, steps.of(1).slow, steps.of(2).slow], [1, 1, 2]);
});

test("of several delays add up, the narrowest bandwidth counts and slowing multiplies", () => {
  const { steps } = stepsOf([
    { ...straggler, delayMs: 10, bitsPerSecond: 1e7, slow: 2 },
    { ...straggler, delayMs: 5, bitsPerSecond: 1e6, slow: 1.5 },
    { ...straggler, at: 9, to: null, slow: 50 },
  ]);
  assert.deepEqual(steps.of(3), { delayMs: 15, bitsPerSecond: 1e6, slow: 3 });
});
