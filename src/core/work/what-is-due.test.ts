/** When the clock asks for a checkpoint. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DueByClock, settleDue } from "./what-is-due.js";
import type { WorkFloor } from "./work-floor.js";

test("a checkpoint is due when its time has passed, once, and counted from the last try", () => {
  const due = new DueByClock(() => ({ unit: "second", count: 10 }));
  assert.equal(due.isDue(5000), false, "training begins");
  assert.equal(due.isDue(14_999), false);
  assert.equal(due.isDue(15_000), true);
  assert.equal(due.isDue(15_100), false, "it is on its way");
  assert.equal(due.isDue(25_000), true, "one that came to nothing is asked for again");
  due.tried(27_000);
  assert.equal(due.isDue(36_000), false);
  assert.equal(due.isDue(37_000), true);
});

test("steps and epochs are nothing to the clock", () => {
  for (const cadence of [null, { unit: "step", count: 1 } as const]) {
    const due = new DueByClock(() => cadence);
    assert.deepEqual([due.isDue(0), due.isDue(1e12)], [false, false]);
  }
});

test("a run whose end is saved is over, also where steps were sealed empty after it", () => {
  const done: string[] = [];
  const floor = {
    spec: { evaluateEvery: null, checkpointEvery: null },
    evaluator: { has: (step: number) => step === 14 },
    saves: { finalSaved: true, savedStep: 14 },
    evaluate: () => done.push("evaluate"),
    save: () => done.push("save"),
    finish: () => done.push("finish"),
  };
  const boundary = { step: 17, epoch: 0, epochNumber: 1, final: true };
  assert.equal(settleDue(floor as unknown as WorkFloor, boundary), true);
  assert.deepEqual(done, ["finish"]);
});
