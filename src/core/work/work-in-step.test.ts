/** Ranges dealt where everybody keeps one step, walked by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { paceOf } from "../sync/modes.js";
import { specOf } from "../testing/model-run.js";
import { Cursor } from "./cursor.js";
import type { WorkFloor } from "./work-floor.js";
import { WorkInStep } from "./work-in-step.js";

test("in a pause those without work are dealt it up to the step that others are in", () => {
  const spec = specOf({ protocol: { mode: "bsp" }, trainExamples: 16, batchSize: 4, epochs: 1 });
  const pace = paceOf(spec.protocol);
  const cursor = new Cursor(spec, pace);
  const said: string[] = [];
  const confirmed = new Set([1]);
  const floor = {
    ...{ spec, pace, ready: new Map() },
    views: {
      busy: false,
      openStep: 0,
      isConfirmed: (rank: number) => confirmed.has(rank),
      worker: () => ({}),
    },
    evaluator: { busy: false, lastStep: null },
    phases: { endsPhase: () => false, stepsLeft: () => Number.POSITIVE_INFINITY },
    ...{ activeRanks: () => [0, 1], globalSteps: () => 0, openEpoch: () => {} },
    give: (rank: number, { firstStep, lastStep }: { firstStep: number; lastStep: number }) =>
      said.push(`${rank}: steps ${firstStep} to ${lastStep}`),
  };
  const dealer = new WorkInStep(floor as unknown as WorkFloor, cursor);
  const advance = (pauseLimit: number | null) => {
    said.length = 0;
    dealer.advance(pauseLimit);
    return said.slice();
  };
  for (const rank of [0, 1]) cursor.begin(rank, 0);
  assert.deepEqual(advance(null), ["1: steps 0 to 2"]);
  // Worker 0 is heard only now that a pause has begun, and worker 1 has begun step 0.
  confirmed.add(0);
  assert.deepEqual(advance(-1), [], "the limit is not known");
  assert.deepEqual(advance(0), ["0: steps 0 to 1"]);
  assert.deepEqual(advance(0), []);
});
