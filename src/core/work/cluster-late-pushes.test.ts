/** Late pushes that are updates by themselves: whole clusters, chunk by chunk. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { updatesOf } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

test("late pushes that nobody joins are in the same updates on every chunk", () => {
  let alone = 0;
  for (const seed of seedsOf(24)) {
    const feed = seed % 2 === 0 ? "static" : "leased";
    const protocol = { mode: "quorum", quorumSize: 1 + (seed % 3 === 0 ? 1 : 0), grace: 0 };
    const every = { unit: "step", count: 3 } as const;
    const sizes = { workersMax: 5, trainExamples: 200, epochs: 2, servers: 3 } as const;
    const spec = { ...specOf({ ...sizes, feed, evaluateEvery: every }), protocol };
    const slow = { rank: 3, factor: 6 };
    const plan = { seed, spec, chunks: 5, delayMsMax: 120, computeMs: 8, slow };
    const run = new ModelCluster(plan).start().run();
    assert.equal(run.result.outcome, "done", `seed ${seed}: ${run.result.reason}`);
    const sets = run.values().map((chunk) =>
      updatesOf(chunk)
        .map(({ gradients }) => gradients.map(({ rank, step }) => `${rank}@${step}`).join("+"))
        .sort(),
    );
    for (const set of sets) assert.deepEqual(set, sets[0], `seed ${seed}`);
    const steps = (update: string) => new Set(update.split("+").map((one) => one.split("@")[1]));
    alone += sets[0]!.filter((update) => update.includes("+") && steps(update).size > 1).length;
  }
  assert.ok(alone > 0, "some were");
});
