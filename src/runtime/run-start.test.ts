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
  const stand = { phase: { ...firstPhase(ssp), phase: 1, phaseFromStep: 12 }, place: 1 };
  const manifest = { spec: before, cursor: { seconds: 3, plan: stand } };
  const checkpoint = { manifest } as unknown as StoredCheckpoint;
  const longer = { ...before, plan: planOf(180) };
  assert.deepEqual(snapshotOf(checkpoint, longer)?.plan, stand, "the same phases, a longer run");
  assert.equal(snapshotOf(checkpoint, { protocol: ssp, plan: [] })?.plan, undefined);
  assert.equal(snapshotOf(checkpoint, { protocol: ssp, plan: [] })?.seconds, 3);
});
