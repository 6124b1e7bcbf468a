/**
 * K-of-N in whole clusters: a step has the first contributors that come, all chunks the same ones;
 * who is late goes on with the newest step; every example is used or said to be skipped.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { planOf, trouble } from "../testing/model-trouble.js";
import {
  type ModelUpdate,
  type ModelValue,
  positionsUsed,
  updatesOf,
} from "../testing/model-values.js";

const kOfN = (backupWorkers: number): Protocol => ({ mode: "k-of-n", backupWorkers });

/** Positions of an epoch that some chunk has applied. */
function usedSomewhere(cluster: ModelCluster, epoch: number): number {
  const { trainExamples } = cluster.plan.spec;
  const byChunk = cluster.values().map((value) => positionsUsed(value, trainExamples).get(epoch));
  return Array.from({ length: trainExamples }, (_, position) => position).filter((position) =>
    byChunk.some((counts) => (counts?.[position] ?? 0) > 0),
  ).length;
}

/** By step the gradients of a chunk's updates. */
function gradientsOf(value: ModelValue): Map<number, ModelUpdate["gradients"]> {
  return new Map(updatesOf(value).map(({ gradients }) => [gradients[0]!.step, gradients]));
}

/** Contributors that some chunks have in a step and some have not. */
function tornPushes(cluster: ModelCluster): number {
  const counts = new Map<string, number>();
  for (const value of cluster.values()) {
    for (const { rank, step, epoch, start } of updatesOf(value).flatMap((one) => one.gradients)) {
      const which = [rank, step, epoch, start].join();
      counts.set(which, (counts.get(which) ?? 0) + 1);
    }
  }
  const { chunks } = cluster.plan;
  return [...counts.values()].filter((count) => count < chunks).length;
}

/** What holds at the end of any run: one set a step, on the same weights, and a whole account. */
function judge(cluster: ModelCluster, what: string): void {
  const { result, plan } = cluster;
  assert.equal(result.outcome, "done", `${what}: ${result.reason}`);
  for (const { epoch, examples, skipped } of result.epochs) {
    assert.equal(examples, usedSomewhere(cluster, epoch), `${what}, epoch ${epoch}`);
    if (plan.spec.maxSteps === null) {
      assert.equal(examples + skipped, plan.spec.trainExamples, `${what}, epoch ${epoch}`);
    }
  }
  for (const value of cluster.values()) {
    for (const gradients of gradientsOf(value).values()) {
      assert.equal(new Set(gradients.map(({ step }) => step)).size, 1, what);
      assert.equal(new Set(gradients.map(({ base }) => base)).size, 1, `${what}: one model a step`);
    }
  }
}

test("four workers with one backup take steps of three, and nobody waits for the slow one", () => {
  const spec = specOf({ protocol: kOfN(1), workersMax: 4, trainExamples: 320, epochs: 2 });
  const slow = { rank: 3, factor: 12 };
  const times = [kOfN(1), { mode: "bsp" } as const].map((protocol) => {
    const plan = { seed: 5, spec: { ...spec, protocol }, chunks: 3, slow };
    const cluster = new ModelCluster(plan).start().run();
    judge(cluster, protocol.mode);
    assert.deepEqual(cluster.refusals, []);
    assert.equal(tornPushes(cluster), 0);
    const steps = cluster.values().map((value) => [...gradientsOf(value).values()]);
    for (const step of steps[0]!) assert.ok(step.length >= 3 || protocol.mode === "bsp");
    return { cluster, ms: cluster.nowMs };
  });
  const [quorum, bsp] = times as [(typeof times)[0], (typeof times)[0]];
  assert.ok(quorum.ms < bsp.ms / 2, `${quorum.ms} ms instead of ${bsp.ms}`);
  const skipped = quorum.cluster.result.epochs.map((epoch) => epoch.skipped);
  assert.ok(
    skipped.every((count) => count > 0 && count <= 80),
    `skipped ${skipped}`,
  );
  const late = quorum.cluster.worker(3) ?? quorum.cluster.workers().find(({ rank }) => rank === 3);
  assert.ok(late!.lines.some((line) => /went on without them, step \d+ is next/.test(line)));
});

test("leased batches that came too late are dealt again, and rounds do not wait", () => {
  const spec = specOf({ workersMax: 4, trainExamples: 320, epochs: 2, feed: "leased" });
  const slow = { rank: 3, factor: 12 };
  const [quorum, bsp] = [kOfN(1), { mode: "bsp" } as const].map((protocol) => {
    const plan = { seed: 5, spec: { ...spec, protocol }, chunks: 3, slow };
    const cluster = new ModelCluster(plan).start().run();
    judge(cluster, protocol.mode);
    for (const { examples, skipped } of cluster.result.epochs) {
      assert.deepEqual([examples, skipped], [320, 0], protocol.mode);
    }
    assert.deepEqual([tornPushes(cluster), cluster.refusals], [0, []]);
    return cluster.nowMs;
  }) as [number, number];
  assert.ok(quorum < bsp / 2, `${quorum} ms instead of ${bsp}`);
});

test("a worker that was late once takes part again", () => {
  const spec = specOf({ protocol: kOfN(1), workersMax: 3, trainExamples: 360, epochs: 1 });
  const cluster = new ModelCluster({ seed: 3, spec, chunks: 2 }).start();
  cluster.network.after(2500, () => {
    const worker = cluster.worker(1)!;
    for (let server = 0; server < spec.servers; server++) {
      const open = cluster.block(1, server);
      cluster.network.after(600, open);
    }
    assert.ok(worker.alive);
  });
  cluster.run();
  judge(cluster, "a worker was away");
  const mine = [...gradientsOf(cluster.values()[0]!)]
    .filter(([, gradients]) => gradients.some(({ rank }) => rank === 1))
    .map(([step]) => step);
  const gaps = mine.map((step, index) => step - (mine[index - 1] ?? step - 1));
  assert.ok(Math.max(...gaps) > 3, "it was away for some steps");
  assert.ok(mine.at(-1)! > Math.max(...gaps) + mine[0]!, "and came back");
});

test("without backup workers it is BSP, bit for bit", () => {
  for (let seed = 0; seed < 6; seed++) {
    const extra: Partial<RunSpec> = seed % 2 === 0 ? {} : { feed: "leased" };
    const [first, second] = [{ mode: "bsp" } as const, kOfN(0)].map((protocol) => {
      const cluster = new ModelCluster(planOf(seed, protocol, extra)).start().run();
      return { values: cluster.values(), epochs: cluster.result.epochs, ms: cluster.nowMs };
    });
    assert.deepEqual(second, first, `seed ${seed}`);
  }
});

for (const backups of [1, 2]) {
  test(`${backups} of some workers late: no step is torn, every example accounted for`, () => {
    let [dropped, breaks] = [0, 0];
    for (let seed = 0; seed < 24; seed++) {
      const plan = planOf(seed, kOfN(backups), { workersMax: 3 + (seed % 2) });
      const slow = seed % 3 === 0 ? { slow: { rank: 1, factor: 4 } } : {};
      const cluster = new ModelCluster({ ...plan, ...slow, chunks: 2 + (seed % 5) }).start().run();
      judge(cluster, `seed ${seed}`);
      assert.equal(tornPushes(cluster), 0, `seed ${seed}`);
      assert.equal(cluster.result.tornSteps, 0, `seed ${seed}`);
      dropped += cluster.result.epochs.reduce((sum, { skipped }) => sum + skipped, 0);
      breaks += cluster.serverLinks.broken;
    }
    assert.ok(dropped > 100, `${dropped} examples dropped`);
    assert.ok(breaks > 2, `${breaks} links between servers broke`);
  });
}

for (const [feed, seeds] of [
  ["static", 50],
  ["leased", 12],
] as const) {
  test(`${feed}: workers come and go, and only a loss tears a step`, () => {
    let torn = 0;
    for (let seed = 0; seed < seeds; seed++) {
      const plan = planOf(seed, kOfN(1 + (seed % 2)), { workersMax: 4, epochs: 3, feed });
      const cluster = new ModelCluster({ ...plan, chunks: 2 + (seed % 5) }).start();
      trouble(cluster, {}, seed % 2 === 0);
      cluster.run();
      judge(cluster, `seed ${seed}`);
      assert.equal(cluster.result.tornSteps, tornPushes(cluster), `seed ${seed}`);
      torn += cluster.result.tornSteps;
    }
    if (feed === "static") assert.ok(torn > 0, "some were torn");
  });
}
