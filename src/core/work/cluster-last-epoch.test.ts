/**
 * The last epoch of a run whose workers come late to it, or leave before its end: whatever brings
 * all to rest then finds them where no work is left, and a run that is resumed keeps its account.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, ModelCluster } from "../testing/model-cluster.js";
import { everyProtocol, nameOf, specOf } from "../testing/model-run.js";
import { positionsUsed } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

const seeds = seedsOf(40);

function clusterOf(seed: number, spec: Partial<RunSpec>, extra: Partial<ClusterPlan> = {}) {
  return new ModelCluster({ seed, chunks: 3, spec: specOf(spec), ...extra });
}

function interrupt(cluster: ModelCluster): void {
  cluster.tell({ type: "interrupt", reason: "Ctrl-C" });
}

function joins(cluster: ModelCluster): number[] {
  return cluster.events.flatMap(({ kind, text }) => {
    const step = kind === "info" ? /takes part from step (\d+)/.exec(text)?.[1] : undefined;
    return step === undefined ? [] : [Number(step)];
  });
}

test("all come to rest though one came in at a step that the last epoch does not reach", () => {
  let past = 0;
  for (const seed of seeds) {
    // Each worker has four steps, and one that comes in must stay ahead of the others by three.
    const spec = { protocol: { mode: "ssp", staleness: 3 }, epochs: 1, trainExamples: 64 } as const;
    const cluster = clusterOf(seed, spec, { computeMs: 400 }).start();
    cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 5);
    cluster.kill(cluster.worker(seed % 4)!, "restarted");
    cluster.run(1, () => joins(cluster).length > 0 || cluster.results.length > 0);
    if (cluster.results.length > 0) continue;
    cluster.network.after(seed * 10, () => interrupt(cluster));
    cluster.run();
    const { outcome, reason } = cluster.result;
    assert.ok(outcome === "interrupted" || outcome === "done", reason);
    if (joins(cluster).at(-1)! > 4 && outcome === "interrupted") past++;
  }
  assert.ok(past > 1, `${past} came in past the last step`);
});

for (const protocol of everyProtocol) {
  test(`nothing is dealt of an epoch that is over when ${nameOf(protocol)} is resumed`, () => {
    let skips = 0;
    for (const seed of seeds) {
      const choices = { protocol, epochs: 1 };
      const first = clusterOf(seed, choices).start();
      first.run(1, () => first.coordinator.snapshot(first.nowMs).globalSteps >= 2);
      interrupt(first);
      const resume = first.run().checkpoints.at(-1)!;
      // Half of them go through what is theirs, and the run ends.
      const half = clusterOf(seed + 100, { ...choices, workersMax: 2 }, { resume });
      half.start().run();
      assert.equal(half.result.outcome, "done", half.result.reason);
      const [over] = half.result.epochs;
      const end = half.checkpoints.at(-1)!;
      const longer = { ...choices, epochs: 2 };
      const rest = clusterOf(seed + 200, longer, { resume: end })
        .start()
        .run();
      assert.equal(rest.result.outcome, "done", rest.result.reason);
      assert.deepEqual(rest.result.epochs[0], over);
      const { trainExamples } = rest.plan.spec;
      const counts = rest.values().map((value) => positionsUsed(value, trainExamples));
      for (const { epoch, examples, skipped } of rest.result.epochs) {
        const used = counts[0]!.get(epoch)!.filter((count) => count > 0).length;
        assert.deepEqual([used, skipped], [examples, trainExamples - examples], `epoch ${epoch}`);
      }
      if (over!.skipped > 0) skips++;
    }
    assert.ok(skips > 2, `${skips} epochs ended with examples left`);
  });
}
