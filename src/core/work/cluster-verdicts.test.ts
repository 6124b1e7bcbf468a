/**
 * One verdict a push: whatever is late, lost and sent again, a push is applied to every chunk at
 * the same scale or to none, unless its worker was lost in the middle of it; and all counts say so.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Feed, Protocol, StalenessRule } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { planOf, trouble } from "../testing/model-trouble.js";
import { type ModelValue, updatesOf } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

const rules: readonly StalenessRule["rule"][] = ["none", "scale", "reject", "scale+reject"];

/** By the epoch and the position that they begin with: the scales of a chunk's updates. */
function scalesOf(value: ModelValue): Map<string, number> {
  const updates = updatesOf(value).map(
    ({ gradients: [gradient], scale }) => [`${gradient!.epoch}/${gradient!.start}`, scale] as const,
  );
  return new Map(updates);
}

/** Seeds of three take turns with the feeds. */
function feedOf(seed: number): Feed {
  return seed % 3 === 0 ? "leased" : "static";
}

function clusterOf(seed: number, rule: StalenessRule["rule"], epochs: number): ModelCluster {
  const feed = feedOf(seed);
  const staleness = { rule, scale: 0.1, floor: 0.1, max: 1 + (seed % 3) };
  const protocol: Protocol = { mode: "asp", staleness };
  const plan = planOf(seed, protocol, { epochs, maxSteps: null, workersMax: 4, feed });
  const slow = seed % 2 === 0 ? { slow: { rank: 1, factor: 3 } } : {};
  return new ModelCluster({ ...plan, ...slow, chunks: 2 + (seed % 5) }).start();
}

for (const rule of rules) {
  test(`rule ${rule}: a push is the same on every chunk, and counts once`, () => {
    let [rejections, scaled, breaks] = [0, 0, 0];
    for (const seed of seedsOf(40)) {
      const cluster = clusterOf(seed, rule, 2);
      const cut = () => {
        const worker = cluster.workers()[seed % 4];
        if (worker?.alive !== true || cluster.results.length > 0) return;
        for (let server = 0; server < cluster.plan.spec.servers; server++) {
          cluster.breakChannel(worker, server);
        }
        breaks++;
        cluster.network.after(160, cut);
      };
      if (seed % 3 === 0) cluster.network.after(700, cut);
      const { result } = cluster.run();
      const [first, ...others] = cluster.values().map(scalesOf);
      for (const other of others) assert.deepEqual(other, first, `seed ${seed}`);
      const servers = Object.values(result.servers).filter(({ chunks }) => chunks > 0);
      const sum = (pick: (server: (typeof servers)[number]) => number) =>
        servers.reduce((total, server) => total + pick(server), 0);
      const { trainExamples, batchSize } = cluster.plan.spec;
      const steps = Object.values(result.workers).reduce((total, one) => total + one.steps, 0);
      const rejected = sum((server) => server.rejected);
      assert.equal(
        sum((server) => server.stalenessCount),
        first!.size,
        `seed ${seed}`,
      );
      assert.equal(first!.size, steps, `seed ${seed}: a step that was rejected is none`);
      const isLeased = feedOf(seed) === "leased";
      if (isLeased) assert.ok(steps >= 2 * Math.ceil(trainExamples / batchSize));
      let skippedSum = 0;
      for (const { examples, skipped } of result.epochs) {
        assert.equal(examples + skipped, trainExamples, `seed ${seed}: the epoch is whole`);
        assert.equal(isLeased ? skipped : 0, 0, `seed ${seed}: what came back is dealt again`);
        skippedSum += skipped;
      }
      assert.ok(skippedSum <= rejected * batchSize, `seed ${seed}`);
      if (!isLeased) assert.equal(skippedSum > 0, rejected > 0, `seed ${seed}`);
      for (const { pushes, versionMin, versionMax } of servers) {
        assert.deepEqual([pushes, versionMin, versionMax], Array(3).fill(first!.size));
      }
      assert.equal(result.globalSteps, first!.size);
      rejections += rejected;
      scaled += [...first!.values()].filter((scale) => scale < 1).length;
    }
    assert.ok(breaks > 6, `${breaks} breaks`);
    assert.ok(rule.includes("reject") === rejections > 6, `${rejections} rejections`);
    assert.ok(rule.includes("scale") === scaled > 6, `${scaled} scaled`);
  });
}

test("only the loss of its worker tears a push, and the torn are counted", () => {
  let torn = 0;
  for (const seed of seedsOf(60)) {
    const cluster = clusterOf(seed, "scale+reject", 4);
    trouble(cluster, {}, seed % 2 === 0);
    const { tornSteps } = cluster.run().result;
    const chunks = cluster.values().map(scalesOf);
    const pushes = new Set(chunks.flatMap((chunk) => [...chunk.keys()]));
    let gaps = 0;
    for (const push of pushes) {
      const scales = chunks.map((chunk) => chunk.get(push));
      const applied = scales.filter((scale) => scale !== undefined);
      assert.equal(new Set(applied).size, 1, `seed ${seed}, push ${push}: one scale`);
      gaps += applied.length < scales.length ? 1 : 0;
    }
    assert.ok(gaps <= tornSteps, `seed ${seed}: ${gaps} pushes in part, ${tornSteps} torn`);
    torn += tornSteps;
  }
  assert.ok(torn > 0, "some were torn");
});
