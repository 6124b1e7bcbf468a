/**
 * BSP as a whole, over random schedules: what a run computes depends on nothing but its choices.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { positionsUsed } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

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
  assert.ok(one.begunAhead > 0, "steps are begun before all chunks are back");
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

const seeds = seedsOf(40);

for (const unit of ["step", "epoch"] as const) {
  test(`evaluations and checkpoints come exactly where a cadence in ${unit}s asks for them`, () => {
    for (const seed of seeds) {
      const every = 1 + (seed % 4);
      const cadence = { unit, count: every } as const;
      const spec = { evaluateEvery: cadence, checkpointEvery: cadence, epochs: 3 };
      const cluster = new ModelCluster(plan(seed, spec)).start().run();
      const stepsAnEpoch = 6;
      const last = 3 * stepsAnEpoch;
      const period = unit === "step" ? every : every * stepsAnEpoch;
      const due = Array.from({ length: last }, (_, step) => step).filter((s) => s % period === 0);
      const evaluations = unit === "step" ? due : due.filter((step) => step > 0);
      const found = cluster.result.evaluations.map(({ step }) => step);
      assert.deepEqual(found, [...evaluations, last], `seed ${seed}`);
      assert.deepEqual(
        cluster.checkpoints.map(({ step, why }) => `${why} ${step}`),
        [...due.filter((step) => step > 0).map((step) => `checkpoint ${step}`), `final ${last}`],
      );
      assert.deepEqual(
        cluster.result.epochs.map(({ examples, skipped }) => [examples, skipped]),
        [96, 96, 96].map((examples) => [examples, 0]),
      );
    }
  });
}

test("a run is never longer than the steps it may take", () => {
  for (const maxSteps of [0, 1, 5, 6, 7, 17, 18, 19]) {
    const cluster = new ModelCluster(plan(maxSteps, { maxSteps, epochs: 3 })).start().run();
    assert.equal(cluster.result.globalSteps, Math.min(18, maxSteps));
    assert.equal(cluster.result.evaluations.length, 1);
  }
});

test("a run that was interrupted ends in the weights of one that never stopped", () => {
  const spec = {
    epochs: 3,
    trainExamples: 101,
    evaluateEvery: { unit: "step", count: 5 },
  } as const;
  const whole = new ModelCluster(plan(99, spec)).start().run();
  let inside = 0;
  for (const seed of seeds) {
    const first = new ModelCluster(plan(seed, spec)).start();
    first.network.after(500 + 40 * seed, () => first.tell({ type: "interrupt", reason: "Ctrl-C" }));
    first.run();
    if (first.result.outcome === "done") continue;
    assert.equal(first.result.outcome, "interrupted");
    const resume = first.checkpoints.at(-1);
    if (resume === undefined) continue;
    assert.equal(resume.why, "interrupt");
    if (resume.step % 7 !== 0) inside++;
    assert.equal(resume.step, first.result.globalSteps);
    const servers = 1 + (seed % 3);
    const second = new ModelCluster({ ...plan(seed + 1000, { ...spec, servers }), resume });
    second.start().run();
    assert.deepEqual(digests(second), digests(whole), `seed ${seed}`);
    assert.equal(second.result.globalSteps, whole.result.globalSteps);
    const steps = (cluster: ModelCluster) =>
      cluster.result.evaluations.map(({ step, loss, final }) => ({ step, loss, final }));
    assert.deepEqual(steps(second), steps(whole));
    const epochs = (cluster: ModelCluster) =>
      cluster.result.epochs.map(({ epoch, examples, skipped, trainLoss }) => {
        return { epoch, examples, skipped, trainLoss };
      });
    assert.deepEqual(epochs(second), epochs(whole), `seed ${seed}`);
  }
  assert.ok(inside > 5, `${inside} interrupts fell inside an epoch`);
});

test("a run that goes on from any of its checkpoints ends in the same weights", () => {
  const spec = { checkpointEvery: { unit: "step", count: 4 } } as const;
  const whole = new ModelCluster(plan(3, spec)).start().run();
  for (const resume of whole.checkpoints.slice(0, -1)) {
    const rest = new ModelCluster({ ...plan(resume.step, spec), resume }).start().run();
    assert.deepEqual(digests(rest), digests(whole));
  }
});
