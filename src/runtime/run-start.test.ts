import assert from "node:assert/strict";
import { test } from "node:test";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { firstPhase } from "../protocol/view.js";
import type { StoredCheckpoint } from "../store/checkpoint/checkpoint.js";
import { snapshotOf } from "./run-start.js";

const runsOwn = { momentum: null, checkpointEvery: null };

test("a run that keeps pace in other ways than before begins with the first of these", () => {
  const bsp = { mode: "bsp" };
  const ssp = { mode: "ssp", staleness: 2 };
  const planOf = (end: number) => [
    { protocol: bsp, end, plateau: null, lrFactor: 1, ...runsOwn },
    { protocol: ssp, end: null, plateau: null, lrFactor: 0.5, ...runsOwn },
  ];
  const before = { ...sampleSpec, protocol: bsp, plan: planOf(90) };
  const phase = {
    ...firstPhase(ssp, { lrFactor: 0.5, momentum: null }),
    phase: 1,
    phaseFromStep: 12,
  };
  const stand = { phase, place: 1, leftAt: null };
  const cursor = { seconds: 3, plan: stand, evaluations: [{}, {}] };
  const chunks = [{ version: 68 }, { version: 67 }];
  const manifest = { spec: before, globalStep: 70, chunks, cursor };
  const checkpoint = { manifest } as unknown as StoredCheckpoint;
  const longer = { ...before, plan: planOf(180) };
  assert.deepEqual(snapshotOf(checkpoint, longer)?.plan, stand, "the same phases, a longer run");
  const [first, second] = before.plan;
  const kept = { ...before, plan: [first!, { ...second!, lrFactor: 1 }] };
  const atRate = snapshotOf(checkpoint, kept)?.plan;
  assert.deepEqual(atRate?.phase, { ...phase, lrFactor: 1 }, "at the rate that it has by now");
  const anew = snapshotOf(checkpoint, { protocol: ssp, plan: [] })?.plan;
  assert.deepEqual(anew?.phase, { ...firstPhase(ssp), phaseFromStep: 70 });
  assert.deepEqual([anew.place, anew.evaluations, anew.stepsAhead], [0, 2, 3]);
  assert.equal(snapshotOf(checkpoint, { protocol: ssp, plan: [] })?.seconds, 3);
});
