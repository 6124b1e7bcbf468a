/**
 * What a run counts, against what was applied: steps of workers, pushes, staleness. A run that goes
 * on from a checkpoint counts on.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunResult } from "../../protocol/run-events.js";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { planOf, trouble } from "../testing/model-trouble.js";
import { type ModelValue, updatesOf } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

const asp: Protocol = { mode: "asp", staleness: { rule: "scale", scale: 1, floor: 0, max: 0 } };
const protocols: readonly Protocol[] = [{ mode: "bsp" }, { mode: "ssp", staleness: 1 }, asp];
const feeds = ["static", "leased"] as const;
const cases = protocols.flatMap((protocol) => feeds.map((feed) => ({ protocol, feed })));

function clusterOf(seed: number, spec: Partial<RunSpec>, extra: Partial<ClusterPlan> = {}) {
  return new ModelCluster({ seed, chunks: 4, spec: specOf(spec), ...extra });
}

function countsOf({ workers, servers }: RunResult) {
  const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
  return {
    steps: sum(Object.values(workers).map(({ steps }) => steps)),
    examples: sum(Object.values(workers).map(({ examples }) => examples)),
    lossSum: sum(Object.values(workers).map(({ lossSum }) => lossSum)),
    gradients: Math.max(...Object.values(servers).map(({ pushes }) => pushes)),
    judged: sum(Object.values(servers).map(({ stalenessCount }) => stalenessCount)),
    byStaleness: sum(Object.values(servers).flatMap(({ stalenessCounts }) => stalenessCounts)),
  };
}

/** How many gradients some chunks have and some have not. */
function inPart(values: readonly ModelValue[]): number {
  const chunks = new Map<string, number>();
  for (const { gradients } of values.flatMap(updatesOf)) {
    for (const { rank, step, epoch, start } of gradients) {
      const which = [rank, step, epoch, start].join();
      chunks.set(which, (chunks.get(which) ?? 0) + 1);
    }
  }
  return [...chunks.values()].filter((count) => count < values.length).length;
}

for (const { protocol, feed } of cases) {
  const name = `${protocol.mode}, ${feed}`;

  test(`${name}: workers' steps are the gradients that were applied`, () => {
    for (const seed of seedsOf(30)) {
      const plan = planOf(seed, protocol, { feed });
      const cluster = new ModelCluster(plan).start().run();
      const { steps, gradients, examples } = countsOf(cluster.result);
      const [applied] = cluster.values().map((value) => {
        return updatesOf(value).reduce((sum, update) => sum + update.gradients.length, 0);
      });
      assert.deepEqual([steps, gradients], [applied, applied], `seed ${seed}`);
      const told = cluster.result.epochs.reduce((sum, epoch) => sum + epoch.examples, 0);
      assert.equal(examples, told, `seed ${seed}`);
    }
  });

  test(`${name}: no step of a worker is counted that was not applied, in trouble`, () => {
    for (const seed of seedsOf(30)) {
      const cluster = new ModelCluster(planOf(seed, protocol, { feed, epochs: 3 })).start();
      trouble(cluster, {}, seed % 2 === 0);
      const { steps, gradients } = countsOf(cluster.run().result);
      const { tornSteps } = cluster.result;
      assert.ok(
        steps <= gradients + tornSteps,
        `seed ${seed}: ${steps} steps, ${gradients} pushes`,
      );
    }
  });

  test(`${name}: the torn steps are those that only some chunks have applied, in trouble`, () => {
    // In step, every second step of all workers but one has no examples.
    const spec = { feed, workersMax: 3, trainExamples: 13, epochs: 20, maxSteps: null };
    let torn = 0;
    for (const seed of seedsOf(60)) {
      const cluster = new ModelCluster(planOf(seed, protocol, spec)).start();
      trouble(cluster, {}, seed % 2 === 0);
      const { tornSteps } = cluster.run().result;
      assert.equal(tornSteps, inPart(cluster.values()), `seed ${seed}`);
      torn += tornSteps;
    }
    assert.ok(torn > 0, "some were torn");
  });

  test(`${name}: a run that is resumed counts what an unbroken one does`, () => {
    for (const seed of seedsOf(10)) {
      const workersMax = 1 + (seed % 4);
      const schedule = specOf({ epochs: 4 }).schedule;
      const spec = { protocol, feed, workersMax, epochs: 4, schedule };
      const unbroken = clusterOf(seed, spec).start().run();
      const first = clusterOf(seed, { ...spec, epochs: 2 })
        .start()
        .run();
      const resume = first.checkpoints.at(-1)!;
      const second = clusterOf(seed + 50, spec, { resume })
        .start()
        .run();
      const [whole, resumed] = [unbroken, second].map(({ result }) => countsOf(result));
      assert.deepEqual(resumed, whole, `seed ${seed}`);
      assert.equal(resumed!.gradients, resumed!.steps);
      if (protocol.mode !== "bsp") assert.equal(resumed!.byStaleness, resumed!.gradients);
      const earlier = Object.values(second.result.earlierWorkers!);
      const before = earlier.reduce((sum, { steps }) => sum + steps, 0);
      assert.equal(2 * before, resumed!.steps);
    }
  });
}

test("a checkpoint without counts is continued; they begin at zero", () => {
  const first = clusterOf(1, { epochs: 1 }).start().run();
  const { workers: _, ...snapshot } = first.checkpoints.at(-1)!.snapshot;
  const marks = first.checkpoints.at(-1)!.marks.map(({ counts: __, ...rest }) => rest);
  const resume = { ...first.checkpoints.at(-1)!, snapshot, marks };
  const { result } = clusterOf(2, { epochs: 2 }, { resume }).start().run();
  assert.equal(result.outcome, "done");
  const { steps, gradients } = countsOf(result);
  assert.deepEqual([steps, gradients], [24, 24]);
});
