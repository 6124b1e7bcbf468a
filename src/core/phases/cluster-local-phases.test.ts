/** Plans with local steps: what a step is made of changes with the phase, and nothing is lost. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PlannedPhase } from "../../protocol/plan/plan.js";
import type { Protocol } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { plainAsp, specOf } from "../testing/model-run.js";
import { positionsUsed, updatesOf } from "../testing/model-values.js";

const bsp: Protocol = { mode: "bsp" };
const ssp: Protocol = { mode: "ssp", staleness: 1 };
const outer = { optimizer: "average", lr: 1, momentum: 0 };
const local: Protocol = { mode: "local", localSteps: 3, outer };
const localAsync: Protocol = { ...plainAsp, mode: "local-async", localSteps: 2, outer };
const orders: readonly (readonly Protocol[])[] = [
  [bsp, local, plainAsp],
  [local, bsp, local],
  [plainAsp, localAsync, ssp],
  [localAsync, local, bsp],
];

function planOf(protocols: readonly Protocol[], ends: readonly number[]): PlannedPhase[] {
  const own = { plateau: null, momentum: null, checkpointEvery: null };
  return protocols.map((protocol, index) => {
    return { protocol, end: ends[index] ?? null, lrFactor: 1 + index, ...own };
  });
}

for (const feed of ["static", "leased"] as const) {
  describe(`plans with local steps, ${feed} ranges`, () => {
    test("every example is used once, and differences are taken off as they are", () => {
      for (const [seed, protocols] of orders.entries()) {
        const names = protocols.map(({ mode }) => mode).join(", ");
        const plan = planOf(protocols, [70, 150]);
        const checkpointEvery = { unit: "step", count: 5 } as const;
        const extra = { epochs: 2, trainExamples: 110, protocol: protocols[0]!, plan };
        const spec = specOf({ ...extra, feed, workersMax: 3, checkpointEvery });
        const cluster = new ModelCluster({ seed, chunks: 2, spec, returns: true }).start();
        cluster.network.after(900, () => cluster.kill(cluster.worker(1)!, "restarted"));
        cluster.run();
        assert.equal(cluster.result.outcome, "done", `${names}: ${cluster.result.reason}`);
        assert.deepEqual(cluster.refusals, [], names);
        const { taken = [] } = cluster.checkpoints.at(-1)!.snapshot.plan!;
        assert.deepEqual(
          taken.map(({ mode }) => mode),
          protocols.map(({ mode }) => mode),
        );
        for (const { gradients, lr } of updatesOf(cluster.values()[0]!)) {
          const phase = taken.findLastIndex(({ fromStep }) => fromStep <= gradients[0]!.step);
          const protocol = protocols[phase]!;
          const isLocal = "localSteps" in protocol;
          const most = 4 * (isLocal ? Number(protocol.localSteps) : 1);
          for (const { start, end } of gradients) assert.ok(end - start <= most, names);
          if (isLocal) assert.equal(lr, 1, `${names}: the outer rate is not that of a phase`);
          else assert.ok(lr < 1, names);
          const bases = new Set(gradients.map(({ base }) => base));
          assert.equal(bases.size, 1, `${names}: an update is of one model`);
        }
        const lost = cluster.result.tornSteps > 0 || cluster.result.skippedExamples > 0;
        const used = positionsUsed(cluster.values()[0]!, 110);
        for (const counts of used.values()) {
          assert.ok(lost || counts.every((count) => count === 1), `${names}, seed ${seed}`);
        }
        for (const { examples: told, skipped } of cluster.result.epochs) {
          assert.equal(told + skipped, 110, names);
        }
      }
    });
  });
}

test("local steps are entered and left by hand where the run's state has a place for them", () => {
  const ask = (cluster: ModelCluster, request: Protocol) => {
    const event = { type: "switch", request, name: "" } as const;
    const effects = cluster.coordinator.step(event, cluster.nowMs);
    return effects.flatMap((one) => (one.type === "orderAnswered" ? [one.answer] : []))[0]!;
  };
  const spec = specOf({ epochs: 4, trainExamples: 120 });
  const cluster = new ModelCluster({ seed: 5, chunks: 2, spec }).start();
  cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 2);
  const nesterov = { ...local, outer: { optimizer: "nesterov", lr: 0.7, momentum: 0.9 } };
  assert.match(ask(cluster, nesterov).text, /nesterov has a state that other phases have no place/);
  cluster.tell({ type: "switch", request: local, name: "" });
  cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 8);
  cluster.tell({ type: "switch", request: plainAsp, name: "" });
  cluster.run();
  const told = cluster.events.map(({ text }) => text).join("; ");
  assert.equal(cluster.result.outcome, "done", told);
  const { taken = [] } = cluster.checkpoints.at(-1)!.snapshot.plan!;
  assert.deepEqual(
    taken.map(({ mode }) => mode),
    ["bsp", "local", "asp"],
  );
  for (const counts of positionsUsed(cluster.values()[0]!, 120).values()) {
    assert.ok(counts.every((count) => count === 1));
  }
  const alone = new ModelCluster({ seed: 6, chunks: 2, spec: specOf({ protocol: local }) }).start();
  alone.run(1, () => alone.coordinator.snapshot(alone.nowMs).globalSteps >= 1);
  assert.match(ask(alone, bsp).text, /the run is local alone: .* begin one with a plan/);
});
