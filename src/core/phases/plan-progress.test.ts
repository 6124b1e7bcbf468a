/** The place of a run in its plan: when phases end, whose wish comes first, how steps count. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PlannedPhase } from "../../protocol/plan/plan.js";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { plainAsp, specOf } from "../testing/model-run.js";
import { PhaseRounds } from "./phase-rounds.js";
import { firstStand, PlanProgress } from "./plan-progress.js";

const bsp: Protocol = { mode: "bsp" };
const ssp: Protocol = { mode: "ssp", staleness: 2 };
const phase = (protocol: Protocol, end: number | null): PlannedPhase => {
  return { protocol, end, plateau: null, lrFactor: 1, momentum: null, checkpointEvery: null };
};
const untilFlat = (protocol: Protocol): PlannedPhase => {
  return { ...phase(protocol, null), plateau: { window: 1, delta: 0.01 } };
};

function progressOf(plan: readonly PlannedPhase[], extra: Partial<RunSpec> = {}): PlanProgress {
  return new PlanProgress(specOf({ protocol: plan[0]!.protocol, plan, ...extra }));
}

/** Is another phase due after so many examples, with a loss that is flat or falls? */
const isDue = (plan: PlanProgress, examples: number, isFlat = false) =>
  plan.isDue(
    () => examples,
    () => (isFlat ? [1, 1] : [2, 1]),
  );

test("behind a plateau a phase has the whole length that the plan gives it", () => {
  // Half of 200 examples is for the second one, whenever the loss has flattened.
  for (const flatAt of [30, 150]) {
    const plan = progressOf([untilFlat(bsp), phase(ssp, 100), phase(plainAsp, null)]);
    assert.equal(isDue(plan, flatAt), false);
    assert.equal(isDue(plan, flatAt, true), true);
    plan.enter(3, flatAt, 0);
    assert.equal(plan.end, flatAt + 100);
    assert.equal(isDue(plan, flatAt + 99), false);
    assert.equal(isDue(plan, flatAt + 100), true);
  }
});

test("a plateau between two lengths, and a detour in it, count in neither", () => {
  const phases = [phase(bsp, 40), untilFlat(ssp), phase(bsp, 70), phase(plainAsp, null)];
  const plan = progressOf(phases);
  plan.enter(1, 42, 0);
  assert.equal(plan.end, Number.POSITIVE_INFINITY);
  plan.enter(9, 90, 0);
  assert.equal(plan.leave("somebody straggles"), true);
  plan.enter(11, 95, 0);
  assert.equal(plan.comeBack("nobody does"), true);
  plan.enter(20, 115, 0);
  assert.equal(plan.end, 90 + 30 + 20);
});

test("what somebody has asked for is not given up for a straggler", () => {
  const plan = progressOf([phase(bsp, 100), phase(plainAsp, null)]);
  assert.equal(plan.ask(ssp), null);
  assert.equal(plan.leave("somebody straggles"), false);
  assert.match(
    plan.enter(1, 10, 0),
    /^switch from bsp to ssp .*: as paceline admin switch asked for$/,
  );
  assert.equal(plan.leave("somebody straggles"), false, "the plan is over");
});

const twoPhases: readonly PlannedPhase[] = [phase(bsp, 96), phase(plainAsp, null)];

test("steps go on behind a phase in which fewer versions were made than steps taken", () => {
  const progress = new PlanProgress(specOf({ protocol: bsp, plan: twoPhases }));
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
  const resumed = new PlanProgress(specOf({ protocol: bsp, plan: twoPhases }), progress.record());
  assert.equal(resumed.counter()(0, 11), 13);
  assert.deepEqual(resumed.taken, [
    { mode: "bsp", fromStep: 0, fromExamples: 0 },
    { mode: "asp", fromStep: 10, fromExamples: 96 },
  ]);
});

test("a run that goes on without the policy that left a phase comes back to it", () => {
  const spec = specOf({ protocol: bsp, plan: [phase(bsp, 100), phase(plainAsp, null)] });
  const away = new PlanProgress(spec);
  away.leave("somebody straggles");
  away.enter(5, 20, 0);
  for (const [stragglerPolicy, comesBack] of [
    ["none", true],
    ["greedy", false],
  ] as const) {
    const plan = new PlanProgress({ ...spec, stragglerPolicy }, away.record());
    const wanted: string[] = [];
    const ground = {
      spec: { ...spec, stragglerPolicy },
      still: { want: wanted.push.bind(wanted) },
    };
    new PhaseRounds(ground as never, plan);
    assert.deepEqual([plan.isAsked, wanted], [comesBack, comesBack ? ["switch"] : []]);
  }
});

test("the phases of a run that goes on in another way begin behind what it had come to", () => {
  const spec = specOf({ protocol: plainAsp });
  const ground = { step: 2000, version: 2000, examples: 8000, evaluations: 3 };
  const { taken } = new PlanProgress(spec, firstStand(spec, ground));
  assert.deepEqual(taken, [{ mode: "asp", fromStep: 2000, fromExamples: 8000 }]);
});
