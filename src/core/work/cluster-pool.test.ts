/**
 * Batches dealt from a pool, over random schedules: each example is used once in each epoch and
 * none is skipped, whichever worker dies, comes back, or refuses what it was sent.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, ModelCluster } from "../testing/model-cluster.js";
import { everyProtocol, nameOf, plainAsp, specOf } from "../testing/model-run.js";
import { planOf, trouble } from "../testing/model-trouble.js";
import { positionsUsed, updatesOf } from "../testing/model-values.js";

function clusterOf(seed: number, spec: Partial<RunSpec>, extra: Partial<ClusterPlan> = {}) {
  return new ModelCluster({ seed, chunks: 4, spec: specOf({ feed: "leased", ...spec }), ...extra });
}

/** Runs it to the end, whatever it is; a failure names the seed. */
function finished(cluster: ModelCluster): ModelCluster {
  try {
    cluster.run();
    assert.equal(cluster.result.outcome, "done", cluster.result.reason);
    assertAllUsed(cluster);
  } catch (thrown) {
    throw new Error(`${cluster.describe()}: ${(thrown as Error).message}`, { cause: thrown });
  }
  return cluster;
}

/**
 * Every position of every epoch is used once on each chunk; where a step is torn, on some chunks
 * only.
 */
function assertAllUsed(cluster: ModelCluster): void {
  const { trainExamples, epochs, maxSteps, batchSize } = cluster.plan.spec;
  const { result } = cluster;
  const used = cluster.values().map((value) => positionsUsed(value, trainExamples));
  assert.deepEqual(cluster.refusals, []);
  if (maxSteps !== null) return;
  assert.equal(result.epochs.length, epochs);
  let gaps = 0;
  for (const { epoch, examples, skipped } of result.epochs) {
    assert.deepEqual([examples, skipped], [trainExamples, 0], `epoch ${epoch}`);
    for (let position = 0; position < trainExamples; position++) {
      const counts = used.map((chunk) => chunk.get(epoch)?.[position] ?? 0);
      assert.ok(counts.includes(1), `position ${position} of epoch ${epoch} is used`);
      gaps += counts.includes(0) ? 1 : 0;
    }
  }
  assert.ok(gaps <= result.tornSteps * batchSize, `${gaps} gaps, ${result.tornSteps} torn steps`);
}

const seeds = Array.from({ length: 60 }, (_, index) => index);

for (const protocol of everyProtocol) {
  test(`${nameOf(protocol)} uses each example once without trouble`, () => {
    for (const seed of seeds) {
      const plan = planOf(seed, protocol, { feed: "leased" });
      const { maxSteps, trainExamples, epochs, batchSize } = plan.spec;
      const { result } = finished(new ModelCluster(plan).start());
      assert.equal(result.tornSteps, 0);
      if (maxSteps === null || protocol.mode === "bsp") continue;
      const pushes = epochs * Math.ceil(trainExamples / batchSize);
      assert.equal(result.globalSteps, Math.min(maxSteps, pushes), `seed ${seed}`);
    }
  });

  test(`${nameOf(protocol)} uses each example once in trouble, and skips none`, () => {
    const counts: Record<string, number> = {};
    let again = 0;
    for (const seed of seeds) {
      const cluster = new ModelCluster(planOf(seed, protocol, { epochs: 4, feed: "leased" }));
      trouble(cluster.start(), counts, seed % 2 === 0);
      finished(cluster);
      const isBounded = protocol.mode === "ssp";
      const staleness = isBounded ? Number(protocol.staleness) : Number.POSITIVE_INFINITY;
      assert.ok(cluster.leadMax <= staleness, `lead ${cluster.leadMax}`);
      again += cluster.events.filter(({ text }) => / are dealt again to worker-/.test(text)).length;
    }
    assert.ok(again > 20, `${again} batches were dealt again`);
    for (const count of Object.values(counts)) assert.ok(count > 10, JSON.stringify(counts));
  });

  test(`${nameOf(protocol)} goes on where an interrupt left the pool, also without workers`, () => {
    for (const seed of seeds) {
      const spec = { protocol, trainExamples: 101, epochs: 3 };
      const first = clusterOf(seed, spec).start();
      const interrupt = () => first.tell({ type: "interrupt", reason: "Ctrl-C" });
      first.network.after(500 + 40 * seed, interrupt);
      first.run(1, () => first.nowMs > 1400 + 40 * seed);
      const deaths = seed % 3 === 0 ? [0, 1, 2, 3] : seed % 3 === 1 ? [seed % 4] : [];
      for (const rank of deaths) {
        const worker = first.worker(rank);
        if (worker !== undefined) first.kill(worker, "closed");
      }
      first.run();
      const resume = first.checkpoints.at(-1);
      if (first.result.outcome === "done" || resume === undefined) continue;
      assert.equal(first.result.outcome, "interrupted", first.result.reason);
      finished(clusterOf(seed + 100, spec, { resume }).start());
    }
  });
}

test("BSP deals the next batches in ascending rank, the last round only what is left", () => {
  const cluster = finished(clusterOf(1, { trainExamples: 22, epochs: 1 }).start());
  assert.equal(cluster.result.globalSteps, 2);
  const [value] = cluster.values();
  const rounds = updatesOf(value!).map(({ gradients }) =>
    gradients.map(({ rank, start, end }) => `${rank}: ${start} to ${end}`),
  );
  assert.deepEqual(rounds, [
    ["0: 0 to 4", "1: 4 to 8", "2: 8 to 12", "3: 12 to 16"],
    ["0: 16 to 20", "1: 20 to 22"],
  ]);
});

test("BSP ends in the same weights whatever the schedule, the servers and the feed", () => {
  const spec = { trainExamples: 101, evaluateEvery: { unit: "step", count: 5 } } as const;
  const digests = (cluster: ModelCluster) => cluster.values().map(({ digest }) => digest);
  const one = finished(clusterOf(0, { ...spec, servers: 1 }).start());
  for (const seed of seeds.slice(1)) {
    const feed = seed % 2 === 0 ? "leased" : "central";
    const other = finished(clusterOf(seed, { ...spec, feed, servers: 1 + (seed % 3) }).start());
    assert.deepEqual(digests(other), digests(one), `seed ${seed}`);
    const steps = ({ result }: ModelCluster) => result.evaluations.map(({ step }) => step);
    assert.deepEqual(steps(other), steps(one));
  }
});

test("BSP goes on after an interrupt, or from any checkpoint, to the same weights", () => {
  const spec = {
    trainExamples: 101,
    epochs: 3,
    checkpointEvery: { unit: "step", count: 4 },
  } as const;
  const digests = (cluster: ModelCluster) => cluster.values().map(({ digest }) => digest);
  const whole = finished(clusterOf(99, spec).start());
  let inside = 0;
  for (const seed of seeds) {
    const first = clusterOf(seed, spec).start();
    first.network.after(500 + 40 * seed, () => first.tell({ type: "interrupt", reason: "Ctrl-C" }));
    first.run();
    const resume = first.checkpoints.at(-1);
    if (first.result.outcome === "done" || resume === undefined) continue;
    if (resume.why === "interrupt" && resume.step % 7 !== 0) inside++;
    const second = finished(clusterOf(seed + 1000, spec, { resume }).start());
    assert.deepEqual(digests(second), digests(whole), `seed ${seed}`);
  }
  assert.ok(inside > 5, `${inside} interrupts fell inside an epoch`);
  for (const resume of whole.checkpoints.slice(0, -1)) {
    const rest = finished(clusterOf(resume.step, spec, { resume }).start());
    assert.deepEqual(digests(rest), digests(whole));
  }
});

test("in ASP a slow worker gets fewer batches, and all are used", () => {
  const slow = { rank: 1, factor: 8 };
  const spec = { protocol: plainAsp, trainExamples: 400, epochs: 1, workersMax: 3 };
  const cluster = finished(clusterOf(3, spec, { slow }).start());
  const steps = [0, 1, 2].map((rank) => cluster.result.workers[rank]!.steps);
  assert.equal(
    steps.reduce((sum, count) => sum + count, 0),
    100,
  );
  assert.ok(steps[1]! < steps[0]! / 3 && steps[1]! < steps[2]! / 3, `${steps}`);
});

test("a lone survivor uses what the others left", () => {
  for (const protocol of everyProtocol) {
    for (const seed of seeds.slice(0, 20)) {
      const cluster = clusterOf(seed, { protocol, trainExamples: 200 }).start();
      cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 2);
      for (const rank of [0, 1, 3]) cluster.kill(cluster.worker(rank)!, "closed");
      finished(cluster);
    }
  }
});

for (const protocol of everyProtocol) {
  test(`in ${nameOf(protocol)} a refused batch goes to another worker, and is used`, () => {
    for (const seed of seeds.slice(0, 20)) {
      const refuses: ClusterPlan["refuses"] = (rank, epoch, { start }) =>
        rank === 1 && epoch === 0 && start % 16 === 4 ? "label 10 is above 9" : null;
      const spec = { protocol, feed: "central", workersMax: 3 } as const;
      const cluster = finished(clusterOf(seed, spec, { refuses }).start());
      const said = cluster.events.filter(({ kind }) => kind === "warning").map(({ text }) => text);
      for (const text of said) {
        assert.match(
          text,
          /^worker-1 refused examples \d+ to \d+ of epoch 1: label 10 is above 9;/,
        );
      }
      if (protocol.mode === "bsp") assert.ok(said.length > 0);
    }
  });

  test(`in ${nameOf(protocol)} the third refusal of a batch ends the run`, () => {
    for (const workersMax of [1, 2, 4]) {
      const refuses: ClusterPlan["refuses"] = (_rank, _epoch, { start }) =>
        start === 40 ? "3 examples came and 4 were asked for" : null;
      const spec = { protocol, feed: "central", workersMax } as const;
      const { result, events } = clusterOf(workersMax, spec, { refuses }).start().run();
      assert.deepEqual([result.outcome, result.code], ["failed", "data"]);
      assert.match(
        result.reason,
        /^worker-\d refused examples 40 to 44 of epoch 1: 3 examples came/,
      );
      const warnings = events.filter(({ kind }) => kind === "warning");
      assert.equal(warnings.length, 2);
      const ranks = new Set(warnings.map(({ text }) => /^worker-\d/.exec(text)![0]));
      assert.equal(ranks.size, Math.min(2, workersMax), "another worker is asked first");
    }
  });
}
