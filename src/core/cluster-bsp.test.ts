/**
 * BSP as a whole, over random schedules: what a run computes depends on nothing but its choices.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClusterPlan, ModelCluster, specOf } from "./model-cluster.test.js";
import { positionsUsed } from "./model-values.test.js";
import type { RunSpec } from "./run-spec.js";

function digests(cluster: ModelCluster): number[] {
  return cluster.values().map(({ digest }) => digest);
}

function plan(seed: number, extra: Partial<RunSpec> = {}): ClusterPlan {
  return { seed, chunks: 5, spec: specOf(extra) };
}

/** Every example is used once in each epoch, on every chunk. */
function assertAllUsed(cluster: ModelCluster): void {
  const { trainExamples, epochs } = cluster.plan.spec;
  cluster.values().forEach((value, chunk) => {
    const used = positionsUsed(value, trainExamples);
    assert.equal(used.size, epochs, `epochs on chunk ${chunk}`);
    for (const counts of used.values()) assert.ok(counts.every((count) => count === 1));
  });
}

test("every schedule and every number of servers ends in the same weights", () => {
  const choices = { trainExamples: 101, evaluateEvery: { unit: "step", count: 5 } } as const;
  const one = new ModelCluster(plan(0, { ...choices, servers: 1 })).start().run();
  assert.equal(one.result.outcome, "done", one.result.reason);
  assertAllUsed(one);
  for (let seed = 1; seed <= 40; seed++) {
    const servers = 1 + (seed % 3);
    const other = new ModelCluster(plan(seed, { ...choices, servers })).start().run();
    assert.deepEqual(digests(other), digests(one), `seed ${seed}`);
    assert.equal(other.result.globalSteps, one.result.globalSteps);
    const pick = (cluster: ModelCluster) =>
      cluster.result.evaluations.map(({ atSeconds: _, ...record }) => record);
    assert.deepEqual(pick(other), pick(one));
    assert.deepEqual(other.refusals, []);
  }
});
