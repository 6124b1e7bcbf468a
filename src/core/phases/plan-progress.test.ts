/** A run's place in its plan, walked by hand: how steps are counted over phases. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PlannedPhase } from "../../protocol/plan/plan.js";
import { plainAsp, specOf } from "../testing/model-run.js";
import { PlanProgress } from "./plan-progress.js";

const bsp = { mode: "bsp" } as const;
const ended = { plateau: null, lrFactor: 1 };
const plan: readonly PlannedPhase[] = [
  { protocol: bsp, end: 96, ...ended },
  { protocol: plainAsp, end: null, ...ended },
];

test("steps go on behind a phase in which fewer versions were made than steps taken", () => {
  const progress = new PlanProgress(specOf({ protocol: bsp, plan }));
  assert.equal(progress.counter()(7, 5), 7, "in step a step counts, of which two were empty");
  const ahead = progress.counter();
  assert.match(
    progress.enter(10, 96, 0),
    /^switch from bsp to asp from step 10, after 96 examples/,
  );
  assert.equal(progress.stepOfVersion(8), 10, "until servers have said their versions");
  progress.settle(8);
  assert.equal(progress.stepsAhead, 2);
  assert.equal(progress.counter()(0, 11), 13);
  assert.equal(progress.stepOfVersion(11), 13);
  assert.equal(ahead(9, 8), 9, "what was told of a step before is of that phase");
  const resumed = new PlanProgress(specOf({ protocol: bsp, plan }), progress.record());
  assert.equal(resumed.counter()(0, 11), 13);
});
