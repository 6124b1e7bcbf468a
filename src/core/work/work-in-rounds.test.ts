/** Rounds dealt from a pool, walked by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { paceOf } from "../sync/modes.js";
import { specOf } from "../testing/model-run.js";
import { BatchPool } from "./batch-pool.js";
import type { WorkFloor } from "./work-floor.js";
import { WorkInRounds } from "./work-in-rounds.js";

test("all stand together where the phase has a checkpoint, whatever the run's own cadence", () => {
  const protocol = { mode: "k-of-n", backupWorkers: 1 };
  const never = { unit: "second", count: 600 } as const;
  const spec = specOf({
    ...{ protocol, feed: "leased", trainExamples: 144, batchSize: 4, epochs: 1 },
    ...{ evaluateEvery: null, checkpointEvery: never },
  });
  const pool = new BatchPool(spec, paceOf(protocol));
  const given: [number, number][] = [];
  const saves = { savedStep: null as number | null, finalSaved: false };
  const saved: string[] = [];
  const floor = {
    ...{ spec, pace: paceOf(protocol), saves, ready: new Map() },
    views: { busy: false, isConfirmed: () => true, worker: () => ({}) },
    evaluator: { busy: false, has: () => true },
    activeRanks: () => [0, 1, 2],
    openEpoch: () => {},
    give: (rank: number, { id }: { id: number }) => given.push([rank, id]),
    recordEpoch: () => true,
    save: (why: string, step: number) => {
      saved.push(`${why} ${step}`);
      [saves.savedStep, saves.finalSaved] = [step, why === "final"];
    },
    finish: () => saved.push("end"),
    phases: {
      ...{ endsPhase: () => false, stepsLeft: () => 1000 },
      checkpointEvery: { unit: "step", count: 5 },
    },
  };
  const dealer = new WorkInRounds(floor as unknown as WorkFloor, pool);
  for (let turn = 0; turn < 200 && saved.at(-1) !== "end"; turn++) {
    dealer.advance(null);
    const [next] = given.splice(0, 1);
    if (next !== undefined) pool.finish(next[0], next[1], 0, 0);
  }
  assert.deepEqual(saved, ["checkpoint 5", "checkpoint 10", "final 12", "end"]);
});
