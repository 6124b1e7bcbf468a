/**
 * Clusters in trouble, over random schedules: processes die and come back, links are cut, members
 * come late. Whatever happens, the run ends, and no example is applied twice to any chunk.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Protocol, StalenessRule } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { nameOf } from "../testing/model-run.js";
import { planOf, trouble } from "../testing/model-trouble.js";
import { positionsUsed } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

const rule: StalenessRule = { rule: "scale+reject", scale: 0.1, floor: 0.1, max: 4 };
const protocols: readonly Protocol[] = [
  { mode: "bsp" },
  { mode: "ssp", staleness: 0 },
  { mode: "ssp", staleness: 2 },
  { mode: "asp", staleness: rule },
];

function assertSound(cluster: ModelCluster): void {
  const { spec } = cluster.plan;
  const { result } = cluster;
  for (const value of cluster.values()) {
    for (const epoch of positionsUsed(value, spec.trainExamples).keys()) {
      assert.ok(epoch < spec.epochs);
    }
  }
  assert.deepEqual(cluster.refusals, []);
  if (spec.maxSteps !== null && spec.protocol.mode === "bsp") {
    assert.ok(result.globalSteps <= spec.maxSteps);
  }
  if (spec.protocol.mode === "ssp") {
    assert.ok(cluster.leadMax <= Number(spec.protocol.staleness), `lead ${cluster.leadMax}`);
  }
  for (const evaluation of result.evaluations) {
    assert.equal(evaluation.examples, spec.testExamples);
    assert.equal(evaluation.accuracyPercent, (100 * 11) / 31);
  }
  assert.equal(result.evaluations.filter(({ final }) => final).length, 1);
}

function inContext(seed: number, check: () => void): void {
  try {
    check();
  } catch (thrown) {
    throw new Error(`seed ${seed}: ${(thrown as Error).message}`, { cause: thrown });
  }
}

const runs = 100;
for (const protocol of protocols) {
  test(`${nameOf(protocol)} ends, and uses no example twice, without trouble`, () => {
    for (const seed of seedsOf(runs)) {
      inContext(seed, () => {
        const cluster = new ModelCluster(planOf(seed, protocol)).start().run();
        assert.equal(cluster.result.outcome, "done", cluster.result.reason);
        assertSound(cluster);
      });
    }
  });

  test(`${nameOf(protocol)} ends, and uses no example twice, in trouble`, () => {
    const counts: Record<string, number> = {};
    for (const seed of seedsOf(runs)) {
      inContext(seed, () => {
        const cluster = new ModelCluster(planOf(seed, protocol, { epochs: 4 })).start();
        trouble(cluster, counts, seed % 2 === 0);
        cluster.run();
        assert.equal(cluster.result.outcome, "done", cluster.result.reason);
        assertSound(cluster);
      });
    }
    for (const count of Object.values(counts)) assert.ok(count > 4, JSON.stringify(counts));
  });
}
