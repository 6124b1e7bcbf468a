/**
 * Groups in whole clusters: workers of like speed step together, nobody waits for a slower group,
 * and every example is used once, on all chunks alike.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Protocol } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { planOf, trouble } from "../testing/model-trouble.js";
import { type ModelUpdate, positionsUsed, updatesOf } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

const group: Protocol = { mode: "group", groups: "auto" };

function ranksOf({ gradients }: ModelUpdate): number[] {
  return gradients.map(({ rank }) => rank);
}

function judge(cluster: ModelCluster, what: string): void {
  const { result, plan } = cluster;
  const { trainExamples, workersMax } = plan.spec;
  assert.equal(result.outcome, "done", `${what}: ${result.reason}`);
  const used = cluster.values().map((value) => positionsUsed(value, trainExamples));
  for (const { epoch, examples, skipped } of result.epochs) {
    assert.equal(examples + skipped, trainExamples, `${what}, epoch ${epoch}`);
    const somewhere = Array.from({ length: trainExamples }, (_, position) => position).filter(
      (position) => used.some((chunk) => (chunk.get(epoch)?.[position] ?? 0) > 0),
    );
    assert.equal(somewhere.length, examples, `${what}, epoch ${epoch}`);
  }
  for (const value of cluster.values()) {
    for (const update of updatesOf(value)) {
      const ranks = ranksOf(update);
      assert.deepEqual(ranks, [...new Set(ranks)].sort(), `${what}: by rank, each once`);
      assert.equal(update.scale, Math.fround(ranks.length / workersMax), what);
    }
  }
}

for (const feed of ["static", "leased"] as const) {
  test(`${feed}: the fast step together, and wait for nobody who is slow`, () => {
    const spec = specOf({ workersMax: 3, trainExamples: 360, epochs: 2, feed });
    const plan = { seed: 5, spec: { ...spec, protocol: group }, chunks: 3 };
    const cluster = new ModelCluster({ ...plan, slow: { rank: 2, factor: 6 } }).start().run();
    judge(cluster, feed);
    assert.deepEqual(cluster.refusals, []);
    assert.equal(cluster.result.tornSteps, 0);
    for (const { skipped } of cluster.result.epochs) assert.equal(skipped, 0);
    const updates = updatesOf(cluster.values()[0]!);
    const mixed = updates.filter((update) => {
      return ranksOf(update).includes(2) && update.gradients.length > 1;
    });
    assert.deepEqual(mixed, [], "the slow one steps alone");
    const together = updates.filter((update) => ranksOf(update).join() === "0,1").length;
    const pushes = updates.filter((update) => ranksOf(update).includes(0)).length;
    assert.ok(together > 0.75 * pushes, `${together} of ${pushes} updates of worker 0 are both`);
    // While the slow one takes a step, the others take several.
    const slowAt = updates.flatMap((update, place) => (ranksOf(update).includes(2) ? [place] : []));
    const between = slowAt.slice(1, 5).map((place, index) => place - slowAt[index]!);
    assert.ok(between.filter((count) => count >= 4).length >= 3, `${between}`);
  });
}

test("workers that are alike are one group, and have the rate of a step of all", () => {
  const spec = specOf({ workersMax: 3, trainExamples: 240, epochs: 2 });
  const plan = { seed: 7, spec: { ...spec, protocol: group }, chunks: 3 };
  const cluster = new ModelCluster(plan).start().run();
  judge(cluster, "alike");
  const updates = updatesOf(cluster.values()[0]!);
  const whole = updates.filter(({ gradients }) => gradients.length === 3);
  assert.ok(whole.length > 0.6 * (480 / 4 / 3), `${whole.length} updates of all`);
  for (const { scale } of whole) assert.equal(scale, 1);
});

test("chunks on all servers have the same workers in an update, whatever links do", () => {
  let [several, breaks] = [0, 0];
  for (const seed of seedsOf(16)) {
    const feed = seed % 2 === 0 ? "static" : "leased";
    const groups = ([1, 2, "auto"] as const)[seed % 3]!;
    const extra = { workersMax: 3 + (seed % 2), feed, maxSteps: null } as const;
    const plan = planOf(seed, { mode: "group", groups }, extra);
    const slow = seed % 3 === 0 ? { slow: { rank: 1, factor: 4 } } : {};
    const cluster = new ModelCluster({ ...plan, ...slow, chunks: 2 + (seed % 5) }).start().run();
    judge(cluster, `seed ${seed}`);
    for (const { skipped } of cluster.result.epochs) assert.equal(skipped, 0, `seed ${seed}`);
    const [first, ...others] = cluster.values().map((value) => {
      const sets = updatesOf(value).map(({ gradients }) => {
        return gradients.map(({ rank, step }) => `${rank}@${step}`).join("+");
      });
      return sets.sort();
    });
    for (const other of others) assert.deepEqual(other, first, `seed ${seed}`);
    several += first!.filter((set) => set.includes("+")).length;
    breaks += cluster.serverLinks.broken;
  }
  assert.ok(several > 30, `${several} updates of several`);
  assert.ok(breaks > 0, `${breaks} links between servers broke`);
});

for (const feed of ["static", "leased"] as const) {
  test(`${feed}: workers come and go, and what they used is never dealt again`, () => {
    for (const seed of seedsOf(16)) {
      const groups = ([2, "auto"] as const)[seed % 2]!;
      const extra = { workersMax: 4, epochs: 3, feed, maxSteps: null };
      const plan = planOf(seed, { mode: "group", groups }, extra);
      const cluster = new ModelCluster({ ...plan, chunks: 2 + (seed % 5) }).start();
      trouble(cluster, {}, seed % 2 === 0);
      cluster.run();
      judge(cluster, `seed ${seed}`);
    }
  });
}
