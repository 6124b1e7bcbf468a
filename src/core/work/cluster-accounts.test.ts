/**
 * The account of the work against what the servers have: whichever worker is lost, an example
 * is used, or reported as skipped, and never both; and nothing is in flight when a run ends or
 * rests.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, ModelCluster } from "../testing/model-cluster.js";
import { everyProtocol, nameOf, plainAsp, specOf } from "../testing/model-run.js";
import { planOf, trouble } from "../testing/model-trouble.js";
import { positionsUsed, updatesOf } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

function clusterOf(seed: number, spec: Partial<RunSpec>, extra: Partial<ClusterPlan> = {}) {
  return new ModelCluster({ seed, chunks: 4, spec: specOf(spec), ...extra });
}

/** Runs it to the end; a failure names the seed. */
function finished(cluster: ModelCluster): ModelCluster {
  try {
    cluster.run();
    assert.equal(cluster.result.outcome, "done", cluster.result.reason);
  } catch (thrown) {
    throw new Error(`${cluster.describe()}: ${(thrown as Error).message}`, { cause: thrown });
  }
  return cluster;
}

for (const protocol of everyProtocol) {
  test(`${nameOf(protocol)} skips what no chunk has, and nothing else, in trouble`, () => {
    let skips = 0;
    for (const seed of seedsOf(120)) {
      const plan = planOf(seed, protocol, { epochs: 3, maxSteps: null });
      const cluster = new ModelCluster(plan);
      trouble(cluster.start(), {}, seed % 2 === 0);
      const { result } = finished(cluster);
      const { trainExamples } = plan.spec;
      const used = cluster.values().map((value) => positionsUsed(value, trainExamples));
      for (const { epoch, examples, skipped } of result.epochs) {
        const counts = Array.from({ length: trainExamples }, (_, position) =>
          used.some((chunk) => chunk.get(epoch)?.[position] === 1) ? 1 : 0,
        );
        const applied = counts.reduce((sum: number, count) => sum + count, 0);
        const where = `seed ${seed}, epoch ${epoch}`;
        assert.equal(skipped, trainExamples - applied, where);
        assert.equal(examples, applied, where);
        skips += skipped > 0 ? 1 : 0;
      }
    }
    assert.ok(skips > 2, `${skips} epochs were skipped in part`);
  });
}

test("a run that maxSteps ends waits for a worker still in an earlier epoch", () => {
  for (const seed of seedsOf(40)) {
    for (const feed of ["static", "leased"] as const) {
      const slow = { rank: seed % 3, factor: 30 };
      const spec = { protocol: plainAsp, feed, epochs: 4, workersMax: 3, maxSteps: 30 + seed };
      const cluster = finished(clusterOf(seed, spec, { slow }).start());
      const pushes = cluster.values().map((value) => updatesOf(value).length);
      assert.deepEqual(new Set(pushes), new Set([spec.maxSteps]), `seed ${seed}, ${feed}`);
      const saved = cluster.checkpoints.at(-1)!;
      assert.equal(saved.why, "final");
      const digests = (values: readonly { digest: number }[]) => values.map(({ digest }) => digest);
      assert.deepEqual(digests(saved.values), digests(cluster.values()));
    }
  }
});

for (const protocol of everyProtocol) {
  test(`in ${nameOf(protocol)} a batch that is refused in a pause holds nobody up`, () => {
    let inPause = 0;
    for (const seed of seedsOf(100)) {
      const refused = new Set<string>();
      const refuses: ClusterPlan["refuses"] = (rank, epoch, { start }) => {
        const which = `${epoch}/${start}`;
        if ((start / 4 + rank + seed) % 3 !== 0 || refused.has(which)) return null;
        refused.add(which);
        return "label 10 is above 9";
      };
      const every = { unit: "step", count: 1 + (seed % 3) } as const;
      // What everybody comes to rest for.
      const isMet = protocol.mode === "bsp";
      const cadence = isMet ? { checkpointEvery: every } : { evaluateEvery: every };
      const workersMax = 1 + (seed % 4);
      const spec = { protocol, feed: "central", workersMax, ...cadence } as const;
      const cluster = clusterOf(seed, spec, { refuses, delayMsMax: 40 }).start();
      let pauses = 0;
      cluster.onTalk = (_from, _to, { type }) => {
        if (type === "pause") pauses++;
        if (type === "resume") pauses--;
        if (type === "assignmentRefused" && pauses > 0) inPause++;
      };
      if (isMet) {
        const interrupt = () => cluster.tell({ type: "interrupt", reason: "Ctrl-C" });
        cluster.network.after(500 + 13 * seed, interrupt);
        cluster.run();
        const { outcome } = cluster.result;
        assert.ok(outcome === "done" || outcome === "interrupted", cluster.describe());
      } else finished(cluster);
    }
    assert.ok(inPause > 0, `${inPause} refusals in a pause`);
  });
}
