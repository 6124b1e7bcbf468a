/** When a worker that has waited for work takes the weights anew before it begins. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { plainAsp, specOf } from "../testing/model-run.js";
import { assignment, Bench } from "../testing/worker-bench.js";
import type { WorkerEffect } from "./worker-events.js";

const unbounded: readonly Protocol[] = [
  plainAsp,
  { mode: "ringmaster", delayBound: 1000 },
  {
    ...plainAsp,
    ...{ mode: "local-async", localSteps: 2 },
    outer: { optimizer: "average", lr: 1, momentum: 0 },
  },
];
const bounded: readonly Protocol[] = [
  { mode: "ssp", staleness: 2 },
  { mode: "dssp", stalenessMin: 1, staleness: 3 },
];

function kinds(effects: readonly WorkerEffect[]): string[] {
  return [...new Set(effects.map(({ type }) => type))];
}

describe("a worker that waits for work", () => {
  const chunks = [0, 1, 2];
  const work = (about: Partial<typeof assignment>) =>
    ({
      type: "message",
      message: { type: "work", assignment: { ...assignment, ...about } },
    }) as const;

  test("takes the weights anew before its first step, where others may have gone on", () => {
    for (const protocol of unbounded) {
      const bench = new Bench();
      const given = bench.begin("static", undefined, protocol);
      assert.deepEqual(kinds(given), ["pull"], protocol.mode);
      const begun = chunks.flatMap((chunk) => bench.reply(-1, chunk));
      assert.deepEqual(kinds(begun), ["compute"], protocol.mode);
    }
    for (const protocol of [{ mode: "bsp" }, ...bounded]) {
      const bench = new Bench();
      assert.deepEqual(kinds(bench.begin("static", undefined, protocol)), ["compute"]);
    }
  });

  test("does so behind a wait longer than its last step, and not between two steps", () => {
    const bench = new Bench();
    bench.begin("static", undefined, plainAsp);
    for (const chunk of chunks) bench.reply(-1, chunk);
    for (const step of [0, 1, 2]) {
      bench.compute(step);
      for (const chunk of chunks) bench.reply(step, chunk);
    }
    const next = bench.give(work({ id: 2, start: 10, end: 14, firstStep: 3, lastStep: 4 }));
    assert.deepEqual(kinds(next), ["compute"], "it waited for 10 ms behind a step of 70");
    bench.compute(3);
    for (const chunk of chunks) bench.reply(3, chunk);
    bench.nowMs += 70;
    const later = bench.give(work({ id: 3, start: 14, end: 18, firstStep: 4, lastStep: 5 }));
    assert.deepEqual(kinds(later), ["pull"], "it waited for 80 ms behind a step of 70");
  });
});

test("a worker more than the checkpoint had pushes no gradient of weights from before", () => {
  for (const protocol of [...unbounded, ...bounded]) {
    const extra: Partial<RunSpec> = { epochs: 2, trainExamples: 240, protocol };
    const checkpointEvery = { unit: "step", count: 20 } as const;
    const spec = specOf({ ...extra, workersMax: 2, checkpointEvery });
    const first = new ModelCluster({ seed: 3, chunks: 3, spec }).start().run();
    const resume = first.checkpoints.find(({ step }) => step > 0)!;
    const more = { ...spec, workersMax: 3, checkpointEvery: null };
    const cluster = new ModelCluster({ seed: 4, chunks: 3, spec: more, resume }).start().run();
    assert.equal(cluster.result.outcome, "done", cluster.result.reason);
    const { stalenessMax = 0 } = cluster.checkpoints.at(-1)!.marks[2]!.counts!;
    const before = resume.marks[2]!.counts!.stalenessMax;
    const most = Math.max(before, 12);
    assert.ok(stalenessMax <= most, `${protocol.mode}: ${stalenessMax}, of two before ${before}`);
  }
});
