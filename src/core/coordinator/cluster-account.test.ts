/**
 * What counts as used: an example that some chunk has applied, and no other. Over schedules by
 * chance in which workers die while a checkpoint is due, and runs go on with more or fewer.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, type Death, ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { positionsUsed } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

const seeds = seedsOf(24);
const feeds = ["static", "leased"] as const;

function clusterOf(seed: number, spec: Partial<RunSpec> = {}, extra: Partial<ClusterPlan> = {}) {
  return new ModelCluster({ seed, chunks: 3, spec: specOf(spec), ...extra });
}

function steps(cluster: ModelCluster): number {
  return cluster.coordinator.snapshot(cluster.nowMs).globalSteps;
}

/** The account of every epoch that is over is what some chunk has applied, no more and no less. */
function assertAccount(cluster: ModelCluster): void {
  const { trainExamples } = cluster.plan.spec;
  const byChunk = cluster.values().map((value) => positionsUsed(value, trainExamples));
  for (const { epoch, examples, skipped } of cluster.result.epochs) {
    let used = 0;
    for (let position = 0; position < trainExamples; position++) {
      if (byChunk.some((counts) => (counts.get(epoch)?.[position] ?? 0) > 0)) used++;
    }
    assert.equal(examples, used, `epoch ${epoch} of ${cluster.describe()}`);
    assert.equal(examples + skipped, trainExamples, `epoch ${epoch}`);
  }
}

/** Checkpoints go on where no chunk has sealed a step already. */
function assertAhead(cluster: ModelCluster): void {
  for (const { snapshot, marks } of cluster.checkpoints) {
    const sealed = Math.max(...marks.map(({ sealedStep }) => sealedStep));
    const { cursor } = snapshot;
    const next =
      "pools" in cursor
        ? cursor.nextStep
        : Math.min(...cursor.plans.at(-1)!.shares.map(({ nextStep }) => nextStep));
    assert.ok(next > sealed, `step ${next} is taken after step ${sealed} was sealed`);
  }
}

for (const feed of feeds) {
  test(`a worker that dies while all are brought to rest takes no batch with it (${feed})`, () => {
    for (const seed of seeds) {
      const cluster = clusterOf(seed, { feed, epochs: 3 }, { delayMsMax: 60 }).start();
      cluster.run(1, () => steps(cluster) >= 1 + (seed % 5));
      const death = (["closed", "silent", "exited"] as const)[seed % 3]! as Death;
      cluster.onTalk = (from, _to, { type }) => {
        if (type !== "pausing" || from === "worker-0") return;
        cluster.onTalk = () => {};
        cluster.network.after(seed, () => cluster.kill(cluster.worker(0)!, death));
      };
      cluster.tell({ type: "interrupt", reason: "Ctrl-C" });
      cluster.run();
      assertAhead(cluster);
      const resume = cluster.checkpoints.at(-1)!;
      const rest = clusterOf(seed + 500, { feed, epochs: 3 }, { resume })
        .start()
        .run();
      assert.equal(rest.result.outcome, "done", rest.result.reason);
      assertAccount(rest);
      if (feed === "static") continue;
      for (const { skipped } of rest.result.epochs) assert.equal(skipped, 0, `seed ${seed}`);
    }
  });

  test(`steps that were sealed with nobody there are taken by nobody later (${feed})`, () => {
    let sealedAhead = 0;
    for (const seed of seeds) {
      const checkpointEvery = { unit: "step", count: 2 } as const;
      const first = clusterOf(seed, { feed, workersMax: 2, epochs: 3 }).start();
      first.run(1, () => steps(first) >= 3);
      first.tell({ type: "interrupt", reason: "Ctrl-C" });
      const resume = first.run().checkpoints.at(-1)!;
      const more = { feed, epochs: 3, checkpointEvery };
      const second = clusterOf(seed + 100, more, { resume }).start();
      second.run(1, () => second.workers().filter(({ joined }) => joined).length === 4);
      for (const rank of [0, 1]) second.kill(second.worker(rank)!, "closed");
      second.run(1, () => second.checkpoints.length > 0);
      second.tell({ type: "interrupt", reason: "Ctrl-C" });
      second.run();
      assertAhead(second);
      if (second.checkpoints[0]!.step > resume.step + 2) sealedAhead++;
      const again = second.checkpoints.at(-1)!;
      const third = clusterOf(seed + 200, more, { resume: again }).start();
      third.run();
      assert.equal(third.result.outcome, "done", third.result.reason);
      assertAccount(third);
      assert.ok(third.result.globalSteps > again.marks[0]!.version, "it trains on");
    }
    if (feed === "static") assert.ok(sealedAhead > 0, `${sealedAhead}`);
  });
}

test("a checkpoint whose chunks had sealed ahead of its account is resumed past them", () => {
  for (const seed of seeds.slice(0, 12)) {
    const first = clusterOf(seed, { epochs: 3 }).start();
    first.run(1, () => steps(first) >= 4);
    first.tell({ type: "interrupt", reason: "Ctrl-C" });
    const sound = first.run().checkpoints.at(-1)!;
    const marks = sound.marks.map((one) => ({ ...one, sealedStep: one.sealedStep + 3 }));
    const rest = clusterOf(seed + 100, { epochs: 3 }, { resume: { ...sound, marks } });
    const { outcome, reason, epochs } = rest.start().run().result;
    assert.equal(outcome, "done", reason);
    assertAccount(rest);
    assert.equal(epochs.at(-1)!.skipped, 0);
    for (const worker of rest.workers()) assert.doesNotMatch(worker.lines.join(), /not used/);
  }
});

const asp: RunSpec["protocol"] = {
  mode: "asp",
  staleness: { rule: "none", scale: 0, floor: 0, max: 0 },
};
const protocols: readonly RunSpec["protocol"][] = [
  { mode: "bsp" },
  { mode: "ssp", staleness: 1 },
  asp,
];

for (const protocol of protocols) {
  for (const feed of feeds) {
    test(`a limit on steps leaves the rest for later (${protocol.mode}, ${feed})`, () => {
      for (const maxSteps of [3, 7, 11, 15]) {
        const spec = { protocol, feed, trainExamples: 101, epochs: 2 };
        const first = clusterOf(maxSteps, { ...spec, maxSteps })
          .start()
          .run();
        assert.equal(first.result.outcome, "done");
        const most = protocol.mode === "bsp" ? 14 : maxSteps;
        assert.equal(first.result.globalSteps, Math.min(most, maxSteps));
        const resume = first.checkpoints.at(-1)!;
        const limited = { ...spec, maxSteps: maxSteps + 5 };
        const second = clusterOf(maxSteps + 50, limited, { resume })
          .start()
          .run();
        const further = second.checkpoints.at(-1)!;
        const third = clusterOf(maxSteps + 99, spec, { resume: further })
          .start()
          .run();
        assert.equal(third.result.outcome, "done", third.result.reason);
        assertAccount(third);
        const told = third.result.epochs.map(({ examples, skipped }) => [examples, skipped]);
        assert.deepEqual(told, [
          [101, 0],
          [101, 0],
        ]);
        if (protocol.mode !== "bsp") continue;
        const whole = clusterOf(7, spec).start().run();
        const digests = (cluster: ModelCluster) => cluster.values().map(({ digest }) => digest);
        assert.deepEqual(digests(third), digests(whole));
      }
    });
  }
}
