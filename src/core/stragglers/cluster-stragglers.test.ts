/** A cluster in virtual time with a worker that straggles, under the policies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunSpec } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { positionsUsed } from "../testing/model-values.js";

const slow = { rank: 2, factor: 5 };

function clusterOf(seed: number, extra: Partial<RunSpec>): ModelCluster {
  const spec = specOf({ workersMin: 1, trainExamples: 2400, epochs: 2, ...extra });
  const cluster = new ModelCluster({ seed, spec, chunks: 3, slow, computeMs: 40, returns: true });
  return cluster.start().run();
}

const told = (cluster: ModelCluster, pattern: RegExp) =>
  cluster.events.filter(({ text }) => pattern.test(text)).map(({ text }) => text);

for (const feed of ["static", "leased"] as const) {
  test(`elastic has the straggler stand aside, with nothing lost, under --feed ${feed}`, () => {
    for (const seed of [0, 1]) {
      const cluster = clusterOf(seed, { feed, stragglerPolicy: "elastic" });
      const where = `seed ${seed}: ${cluster.result.reason}`;
      assert.equal(cluster.result.outcome, "done", where);
      assert.match(told(cluster, /^worker-\d straggles/)[0] ?? "", /^worker-2 straggles: /, where);
      assert.match(told(cluster, /^elastic/)[0] ?? "", /^elastic sets worker-2 aside: worker-2 /);
      const left = told(
        cluster,
        /^worker-2 stands aside as a straggler at step \d+, going on with 3/,
      );
      assert.equal(left.length, 1, where);
      assert.equal(told(cluster, /^elastic/).length, 1, "it stays aside");
      const last = cluster.events.findLast(({ kind }) => kind === "view");
      assert.deepEqual(last?.kind === "view" && last.workers, [0, 1, 3], where);
      const again = told(cluster, /^Worker 2 registered/);
      assert.equal(again.length, 2, "it stays a member");
      assert.equal(cluster.result.tornSteps, 0, where);
      // A range that a worker leaves is skipped for the rest of the epoch; batches are dealt again.
      const skipped = cluster.result.epochs.map((epoch) => epoch.skipped);
      assert.deepEqual(skipped.slice(1), [0], where);
      assert.equal(skipped[0]! > 0, feed === "static", where);
      for (const value of cluster.values()) {
        const used = [...positionsUsed(value, 2400).values()];
        assert.ok(
          used.every((counts) => Math.max(...counts) === 1),
          where,
        );
        const missing = used.map((counts) => counts.filter((count) => count === 0).length);
        assert.deepEqual(missing, skipped, where);
      }
    }
  });
}

test("elastic leaves a straggler that cannot be spared", () => {
  const cluster = clusterOf(0, { workersMin: 4, stragglerPolicy: "elastic" });
  assert.equal(told(cluster, /^worker-2 straggles/).length, 1);
  assert.deepEqual(told(cluster, /^elastic/), []);
});

test("without a policy nobody is watched", () => {
  const cluster = clusterOf(0, {});
  assert.deepEqual(told(cluster, /straggles|elastic/), []);
});

test("elastic takes the straggler back where too few are left without it", () => {
  for (const seed of [0, 2]) {
    const spec = specOf({ workersMin: 3, trainExamples: 4800, stragglerPolicy: "elastic" });
    const cluster = new ModelCluster({ seed, spec, chunks: 3, slow, computeMs: 40, returns: true });
    const heard = (pattern: RegExp) => told(cluster, pattern);
    cluster.start().run(1, () => heard(/^worker-2 stands aside/).length > 0);
    cluster.run(1, () => heard(/^Worker 2 registered/).length === 2);
    cluster.kill(cluster.worker(0)!, "exited");
    cluster.run(1, () => heard(/^worker-2 takes part from step \d+/).length > 0);
    assert.match(
      heard(/^elastic takes/)[0] ?? "",
      /^elastic takes worker-2 back: workers left: 2,/,
    );
    assert.equal(cluster.run().result.outcome, "done", `seed ${seed}`);
  }
});
