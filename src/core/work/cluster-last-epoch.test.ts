/**
 * The last epoch of a run whose workers leave before its end: a run that is resumed keeps its account.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, ModelCluster } from "../testing/model-cluster.js";
import { everyProtocol, nameOf, specOf } from "../testing/model-run.js";
import { positionsUsed } from "../testing/model-values.js";

const seeds = Array.from({ length: 40 }, (_, index) => index);

function clusterOf(seed: number, spec: Partial<RunSpec>, extra: Partial<ClusterPlan> = {}) {
  return new ModelCluster({ seed, chunks: 3, spec: specOf(spec), ...extra });
}

function interrupt(cluster: ModelCluster): void {
  cluster.tell({ type: "interrupt", reason: "Ctrl-C" });
}

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
    assert.ok(skips > 10, `${skips} epochs ended with examples left`);
  });
}
