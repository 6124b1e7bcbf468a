/**
 * Checkpoints of runs whose workers keep state of their own: who is asked for it, what becomes of
 * those who are lost or can't give it, and who goes on with it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CompressionSpec, uncompressed } from "../../protocol/compression.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, type Death, ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { seedsOf } from "../testing/seeds.js";

const seeds = seedsOf(15);
const topk: CompressionSpec = { ...uncompressed, push: { codec: "topk", share: 0.1 } };
const differences: CompressionSpec = { ...uncompressed, pull: { codec: "onebit", share: 1 } };
const checkpointEvery = { unit: "step", count: 4 } as const;

function clusterOf(seed: number, spec: Partial<RunSpec>, extra: Partial<ClusterPlan> = {}) {
  const choices = { checkpointEvery, compression: topk, ...spec };
  return new ModelCluster({ seed, chunks: 3, spec: specOf(choices), ...extra });
}

/** Counts what is said of barriers over the sessions. */
function listen(cluster: ModelCluster) {
  const said = { barrier: 0, barrierReached: 0, pulls: 0 };
  cluster.onTalk = (_from, _to, message) => {
    if (message.type === "barrier" || message.type === "barrierReached") said[message.type]++;
  };
  return said;
}

const protocols: readonly RunSpec["protocol"][] = [
  { mode: "bsp" },
  { mode: "ssp", staleness: 1 },
  { mode: "asp", staleness: { rule: "none", scale: 0, floor: 0, max: 0 } },
];

for (const protocol of protocols) {
  test(`every checkpoint of a ${protocol.mode} run has the residuals of all its workers`, () => {
    for (const seed of seeds) {
      const cluster = clusterOf(seed, { protocol });
      const said = listen(cluster);
      assert.equal(cluster.start().run().result.outcome, "done");
      assert.ok(cluster.checkpoints.length > 1);
      const all = [0, 1, 2, 3].map((rank) => ({ rank, chunks: 3 }));
      for (const { residuals } of cluster.checkpoints) assert.deepEqual(residuals, all);
      const expected = 4 * cluster.checkpoints.length;
      assert.deepEqual([said.barrier, said.barrierReached], [expected, expected]);
    }
  });
}

test("workers are asked where they keep residuals or lag behind, and nowhere else", () => {
  const lossless = { ...topk, feedback: false };
  for (const [compression, isAsked] of [
    [uncompressed, false],
    [lossless, false],
    [differences, true],
    [topk, true],
  ] as const) {
    const cluster = clusterOf(1, { compression });
    const said = listen(cluster);
    assert.equal(cluster.start().run().result.outcome, "done");
    assert.equal(said.barrier > 0, isAsked);
    assert.equal(said.barrierReached, said.barrier);
  }
});

for (const death of ["closed", "silent", "restarted", "exited"] as Death[]) {
  test(`a worker lost at the barrier (${death}) is without, and the checkpoint is there`, () => {
    for (const seed of seeds) {
      for (const protocol of protocols) {
        const cluster = clusterOf(seed, { protocol, trainExamples: 200 });
        let barriers = 0;
        cluster.onTalk = (_from, to, { type }) => {
          if (type !== "barrier" || to !== "worker-2" || ++barriers !== 2) return;
          cluster.network.after(seed, () => cluster.kill(cluster.worker(2)!, death));
        };
        const { outcome, reason } = cluster.start().run().result;
        assert.equal(outcome, "done", reason);
        const ranks = cluster.checkpoints[1]!.residuals.map(({ rank }) => rank);
        assert.deepEqual(ranks, [0, 1, 3]);
        const wanted = /checkpoint of step \d+ is without residuals .*: worker-2 was lost at the/;
        const isTold = cluster.events.some(
          ({ kind, text }) => kind === "warning" && wanted.test(text),
        );
        assert.ok(isTold);
        assert.deepEqual(cluster.refusals, []);
      }
    }
  });
}

test("with all workers lost at the barrier the checkpoint is written without residuals", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed, {});
    let barriers = 0;
    cluster.onTalk = (_from, _to, { type }) => {
      if (type !== "barrier" || ++barriers !== 4) return;
      for (const rank of [0, 1, 2, 3]) cluster.kill(cluster.worker(rank)!, "restarted");
    };
    assert.equal(cluster.start().run().result.outcome, "done");
    assert.deepEqual(cluster.checkpoints[0]!.residuals, []);
  }
});

test("a worker that can't give its residuals is without, with its reason", () => {
  const withholds = (rank: number) => (rank === 1 ? "the link is too slow" : "");
  const cluster = clusterOf(1, {}, { withholds }).start().run();
  assert.equal(cluster.result.outcome, "done");
  for (const { residuals } of cluster.checkpoints) {
    assert.deepEqual(
      residuals.map(({ rank }) => rank),
      [0, 2, 3],
    );
  }
  const warnings = cluster.events.filter(({ kind }) => kind === "warning");
  assert.equal(warnings.length, cluster.checkpoints.length);
  assert.match(warnings[0]!.text, /worker-1 could not give them: the link is too slow$/);
});

test("links that are cut while residuals are given cost time only", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed, {});
    cluster.onTalk = (_from, to, { type }) => {
      if (type === "barrier" && to === "worker-1") cluster.cut(cluster.worker(1)!, 40 * seed);
    };
    assert.equal(cluster.start().run().result.outcome, "done");
    for (const { residuals } of cluster.checkpoints) assert.equal(residuals.length, 4);
  }
});

test("the first life of a rank goes on with its residuals, later ones and strangers do not", () => {
  for (const seed of seeds) {
    const withholds = (rank: number) => (rank === 3 ? "no" : "");
    const first = clusterOf(seed, { epochs: 3 }, { withholds }).start();
    first.run(1, () => first.coordinator.snapshot(first.nowMs).globalSteps >= 3);
    first.tell({ type: "interrupt", reason: "Ctrl-C" });
    const resume = first.run().checkpoints.at(-1)!;
    assert.equal(resume.residuals.length, 3);
    const rest = clusterOf(seed, { epochs: 3 }, { resume }).start();
    const reborn = rest.workers();
    rest.run(1, () => rest.workers().filter(({ joined }) => joined).length === 4);
    rest.kill(rest.worker(0)!, "restarted");
    assert.equal(rest.run().result.outcome, "done");
    const lives = reborn.concat(rest.workers()).map(({ rank, inherits }) => ({ rank, inherits }));
    const of = (rank: number) => lives.filter((life) => life.rank === rank);
    assert.deepEqual(
      of(0).map(({ inherits }) => inherits),
      [true, false],
    );
    assert.deepEqual([of(1)[0]!.inherits, of(3)[0]!.inherits], [true, false]);
    assert.deepEqual([...rest.inherited].sort(), [0, 1, 2]);
  }
});

test("residuals of ranks that a smaller run has not are dropped with a warning", () => {
  const first = clusterOf(1, {}).start().run();
  const resume = first.checkpoints.at(-1)!;
  const rest = clusterOf(1, { workersMax: 2, epochs: 3 }, { resume }).start().run();
  assert.equal(rest.result.outcome, "done", rest.result.reason);
  assert.deepEqual([...rest.inherited].sort(), [0, 1, 2, 3]);
  const warnings = rest.events.filter(({ kind }) => kind === "warning").map(({ text }) => text);
  assert.equal(warnings.length, 2);
  assert.match(warnings[1]!, /^residuals of worker 3 .* are dropped: this run has 2 workers$/);
});

for (const compression of [topk, differences]) {
  const codec = compression === topk ? "residuals" : "differences";
  test(`workers that wait for a later first step hold up no checkpoint (${codec})`, () => {
    for (const seed of seeds) {
      for (const protocol of protocols) {
        const spec = { protocol, compression, epochs: 3, trainExamples: 200 };
        const first = clusterOf(seed, { ...spec, workersMax: 2 }).start();
        first.run(1, () => first.coordinator.snapshot(first.nowMs).globalSteps >= 6);
        first.tell({ type: "interrupt", reason: "Ctrl-C" });
        const resume = first.run().checkpoints.at(-1)!;
        const rest = clusterOf(seed + 100, spec, { resume }).start();
        rest.run(1, () => rest.checkpoints.length > 0);
        if (compression === topk) {
          const ranks = rest.checkpoints[0]!.residuals.map(({ rank }) => rank);
          assert.deepEqual(ranks, [0, 1, 2, 3]);
        }
        rest.tell({ type: "interrupt", reason: "Ctrl-C" });
        assert.equal(rest.run().result.outcome, "interrupted", rest.result.reason);
      }
    }
  });
}
