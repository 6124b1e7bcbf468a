/**
 * A quorum in whole clusters: nobody waits for a slow worker for longer than the grace, what it
 * makes is merged with a later step, and every example is used once, on all chunks alike.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Protocol } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { planOf, trouble } from "../testing/model-trouble.js";
import { positionsUsed, updatesOf } from "../testing/model-values.js";

const quorum = (count: number, grace: number | "auto" = "auto"): Protocol => {
  return { mode: "quorum", quorumSize: count, grace };
};

/** How often some chunk has applied the positions of an epoch, and in how many updates. */
function usedSomewhere(cluster: ModelCluster, epoch: number): number {
  const { trainExamples } = cluster.plan.spec;
  const byChunk = cluster.values().map((value) => positionsUsed(value, trainExamples).get(epoch));
  return Array.from({ length: trainExamples }, (_, position) => position).filter((position) =>
    byChunk.some((counts) => (counts?.[position] ?? 0) > 0),
  ).length;
}

/** Pushes that were folded with others of a later step, and those that were alone. */
function lateIn(cluster: ModelCluster): { readonly merged: number; readonly updates: number } {
  const updates = updatesOf(cluster.values()[0]!);
  const merged = updates.filter(({ gradients }) => {
    return new Set(gradients.map(({ step }) => step)).size > 1;
  });
  return { merged: merged.length, updates: updates.length };
}

function judge(cluster: ModelCluster, what: string): void {
  const { result, plan } = cluster;
  assert.equal(result.outcome, "done", `${what}: ${result.reason}`);
  for (const { epoch, examples, skipped } of result.epochs) {
    assert.equal(examples, usedSomewhere(cluster, epoch), `${what}, epoch ${epoch}`);
    if (plan.spec.maxSteps !== null) continue;
    assert.equal(examples + skipped, plan.spec.trainExamples, `${what}, epoch ${epoch}`);
  }
  for (const value of cluster.values()) {
    for (const { gradients } of updatesOf(value)) {
      const places = gradients.map(({ rank, step }) => rank * 1e6 + step);
      assert.deepEqual(
        places,
        places.toSorted((one, other) => one - other),
        "by rank and step",
      );
    }
  }
}

for (const feed of ["static", "leased"] as const) {
  test(`${feed}: a slow worker holds up nobody, and all of its examples are used`, () => {
    const spec = specOf({ workersMax: 4, trainExamples: 320, epochs: 2, feed });
    const slow = { rank: 3, factor: 6 };
    const [fast, bsp] = [quorum(3), { mode: "bsp" } as const].map((protocol) => {
      const plan = { seed: 5, spec: { ...spec, protocol }, chunks: 3, slow };
      const cluster = new ModelCluster(plan).start().run();
      judge(cluster, protocol.mode);
      assert.deepEqual(cluster.refusals, []);
      for (const { examples, skipped } of cluster.result.epochs) {
        assert.deepEqual([examples, skipped], [320, 0], protocol.mode);
      }
      assert.equal(cluster.result.tornSteps, 0);
      return cluster;
    }) as [ModelCluster, ModelCluster];
    const { merged } = lateIn(fast);
    assert.ok(merged >= 3, `${merged} steps have late contributions`);
    if (feed === "leased") assert.ok(fast.nowMs < 0.75 * bsp.nowMs, `${fast.nowMs} ms`);
  });
}

for (const [count, grace] of [
  [1, 0],
  [2, "auto"],
  [3, 40],
] as const) {
  test(`a quorum of ${count} with a grace of ${grace}: nothing is skipped or torn`, () => {
    let [merged, breaks] = [0, 0];
    for (let seed = 0; seed < 16; seed++) {
      const feed = seed % 2 === 0 ? "static" : "leased";
      const plan = planOf(seed, quorum(count, grace), { workersMax: 3 + (seed % 2), feed });
      const slow = seed % 3 === 0 ? { slow: { rank: 1, factor: 4 } } : {};
      const cluster = new ModelCluster({ ...plan, ...slow, chunks: 2 + (seed % 5) }).start().run();
      judge(cluster, `seed ${seed}`);
      const { tornSteps, epochs } = cluster.result;
      assert.equal(tornSteps, 0, `seed ${seed}`);
      if (plan.spec.maxSteps === null) {
        assert.ok(
          epochs.every(({ skipped }) => skipped === 0),
          `seed ${seed}`,
        );
      }
      merged += lateIn(cluster).merged;
      breaks += cluster.serverLinks.broken;
    }
    assert.ok(merged > 10, `${merged} steps with late contributions`);
    assert.ok(breaks > 2, `${breaks} links between servers broke`);
  });
}

for (const feed of ["static", "leased"] as const) {
  test(`${feed}: workers come and go, and what they used is never dealt again`, () => {
    for (let seed = 0; seed < 16; seed++) {
      const plan = planOf(seed, quorum(1 + (seed % 3)), { workersMax: 4, epochs: 3, feed });
      const cluster = new ModelCluster({ ...plan, chunks: 2 + (seed % 5) }).start();
      trouble(cluster, {}, seed % 2 === 0);
      cluster.run();
      judge(cluster, `seed ${seed}`);
    }
  });
}
