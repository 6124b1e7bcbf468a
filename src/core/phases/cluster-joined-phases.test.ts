/** Where a phase begins when workers take part that have taken no step yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PlannedPhase } from "../../protocol/plan/plan.js";
import type { Protocol } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { plainAsp, specOf } from "../testing/model-run.js";
import { positionsUsed, updatesOf } from "../testing/model-values.js";

const bsp: Protocol = { mode: "bsp" };
const ssp: Protocol = { mode: "ssp", staleness: 2 };

function planOf(protocols: readonly Protocol[], ends: readonly number[]): PlannedPhase[] {
  const own = { plateau: null, lrFactor: 1, momentum: null, checkpointEvery: null };
  return protocols.map((protocol, index) => ({ protocol, end: ends[index] ?? null, ...own }));
}

test("a phase begins behind the last step that anybody took, also with more workers", () => {
  const orders: readonly (readonly Protocol[])[] = [
    [bsp, plainAsp, bsp],
    [bsp, ssp, bsp],
    [plainAsp, bsp, plainAsp],
    [ssp, bsp, ssp],
  ];
  for (const protocols of orders) {
    for (const seed of [1, 2]) {
      const plan = planOf(protocols, [100, 180]);
      const checkpointEvery = { unit: "step", count: 3 } as const;
      const extra = { epochs: 2, trainExamples: 240, protocol: protocols[0]!, plan };
      const spec = specOf({ ...extra, workersMax: 2, checkpointEvery });
      const first = new ModelCluster({ seed, chunks: 3, spec }).start().run();
      const resume = first.checkpoints.find(({ step }) => step >= 3)!;
      const more = { ...spec, workersMax: 3, checkpointEvery: null };
      const cluster = new ModelCluster({ seed: seed + 9, chunks: 3, spec: more, resume });
      cluster.start().run();
      const names = protocols.map(({ mode }) => mode).join(", ");
      const where = `${names}, seed ${seed}`;
      assert.equal(cluster.result.outcome, "done", `${where}: ${cluster.result.reason}`);
      const updates = updatesOf(cluster.values()[0]!);
      // Each update is a global step, in step and elsewhere.
      const { taken = [] } = cluster.checkpoints.at(-1)!.snapshot.plan!;
      assert.equal(taken.length, protocols.length, where);
      assert.equal(cluster.result.globalSteps, updates.length, where);
      for (const { fromStep, fromExamples } of taken.slice(1)) {
        let [steps, examples] = [0, 0];
        for (const { gradients } of updates) {
          if (examples >= fromExamples) break;
          examples += gradients.reduce((sum, { start, end }) => sum + end - start, 0);
          steps++;
        }
        assert.equal(fromStep, steps, `${where}: after ${fromExamples} examples`);
      }
      for (const counts of positionsUsed(cluster.values()[0]!, 240).values()) {
        assert.ok(counts.every((count) => count === 1) || cluster.result.skippedExamples > 0);
      }
    }
  }
});
