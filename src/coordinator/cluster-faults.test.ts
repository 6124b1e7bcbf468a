/**
 * Clusters in trouble, over random schedules: processes die and come back, links are cut, members
 * come late. Whatever happens, the run ends, and no example is applied twice to any chunk.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Protocol, RunSpec, StalenessRule } from "../contract/run-spec.js";
import { Random } from "../random.js";
import { type ClusterPlan, type Death, ModelCluster, specOf } from "./model-cluster.test.js";
import { positionsUsed } from "./model-values.test.js";

const rule: StalenessRule = { rule: "scale+reject", scale: 0.1, floor: 0.1, max: 4 };
const protocols: readonly Protocol[] = [
  { mode: "bsp" },
  { mode: "ssp", staleness: 0 },
  { mode: "ssp", staleness: 2 },
  { mode: "asp", staleness: rule },
];

function nameOf(protocol: Protocol): string {
  return protocol.mode === "ssp" ? `SSP(${protocol.staleness})` : protocol.mode.toUpperCase();
}

/** A run with choices that follow from the seed. */
function planOf(seed: number, protocol: Protocol, extra: Partial<RunSpec> = {}): ClusterPlan {
  const random = new Random("cluster plan", seed);
  const cadence = () => {
    const unit = random.below(2) === 0 ? "step" : "epoch";
    return random.below(3) === 0 ? null : ({ unit, count: 1 + random.below(6) } as const);
  };
  const spec = specOf({
    protocol,
    servers: 1 + random.below(3),
    workersMax: 2 + random.below(3),
    trainExamples: 40 + random.below(80),
    epochs: 1 + random.below(3),
    evaluateEvery: cadence(),
    checkpointEvery: cadence(),
    maxSteps: random.below(4) === 0 ? 1 + random.below(40) : null,
    ...extra,
  });
  const delayMsMax = [2, 20, 150][random.below(3)]!;
  return { seed, spec, chunks: 1 + random.below(6), delayMsMax, returns: true };
}

/** Troubles at random times until `untilMs`; the first worker is spared unless `all`. */
function trouble(cluster: ModelCluster, counts: Record<string, number>, all: boolean): void {
  const { network } = cluster;
  const random = new Random("trouble", cluster.plan.seed);
  const strike = () => {
    const workers = cluster.workers().filter(({ alive }) => alive);
    const worker = workers[random.below(Math.max(1, workers.length))];
    const what = ["kill", "kill", "cut", "break", "late"][random.below(5)]!;
    if (worker !== undefined) {
      if (what === "kill" && (all || worker.rank > 0)) {
        const death = (["closed", "silent", "restarted"] as const)[random.below(3)]! as Death;
        cluster.kill(worker, death);
        if (death !== "restarted") cluster.startMember("worker", worker.rank);
      }
      if (what === "cut") cluster.cut(worker, 50 + random.below(2000));
      if (what === "break") {
        cluster.breakChannel(worker, random.below(cluster.plan.spec.servers));
      }
    }
    if (what === "late") cluster.startMember("worker", null, 5);
    counts[what] = (counts[what] ?? 0) + 1;
    if (random.below(8) > 0) network.after(20 + random.below(900), strike);
  };
  network.after(600 + random.below(1500), strike);
}

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
    assert.ok(cluster.leadMax <= spec.protocol.staleness, `lead ${cluster.leadMax}`);
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
    for (let seed = 0; seed < runs; seed++) {
      inContext(seed, () => {
        const cluster = new ModelCluster(planOf(seed, protocol)).start().run();
        assert.equal(cluster.result.outcome, "done", cluster.result.reason);
        assertSound(cluster);
      });
    }
  });

  test(`${nameOf(protocol)} ends, and uses no example twice, in trouble`, () => {
    const counts: Record<string, number> = {};
    for (let seed = 0; seed < runs; seed++) {
      inContext(seed, () => {
        const cluster = new ModelCluster(planOf(seed, protocol, { epochs: 4 })).start();
        trouble(cluster, counts, seed % 2 === 0);
        cluster.run();
        assert.equal(cluster.result.outcome, "done", cluster.result.reason);
        assertSound(cluster);
      });
    }
    for (const count of Object.values(counts)) assert.ok(count > 20, JSON.stringify(counts));
  });
}
