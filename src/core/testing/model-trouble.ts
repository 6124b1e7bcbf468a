/**
 * Runs of a model cluster whose choices follow from a seed, and troubles that strike them at random
 * times: processes die and come back, links are cut, members come late.
 */
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { Random } from "../../random.js";
import type { ClusterPlan, Death, ModelCluster } from "./model-cluster.js";
import { specOf } from "./model-run.js";

/** A run with choices that follow from the seed. */
export function planOf(
  seed: number,
  protocol: Protocol,
  extra: Partial<RunSpec> = {},
): ClusterPlan {
  const random = new Random("cluster plan", seed);
  const cadence = () => {
    const unit = random.below(2) === 0 ? "step" : "epoch";
    return random.below(3) === 0 ? null : ({ unit, count: 1 + random.below(6) } as const);
  };
  const spec = specOf({
    protocol,
    servers: 1 + random.below(3),
    workersMax: 2 + random.below(3),
    trainExamples: 40 + random.below(80),
    epochs: 1 + random.below(3),
    evaluateEvery: cadence(),
    checkpointEvery: cadence(),
    maxSteps: random.below(4) === 0 ? 1 + random.below(40) : null,
    ...extra,
  });
  const delayMsMax = [2, 20, 150][random.below(3)]!;
  return { seed, spec, chunks: 1 + random.below(6), delayMsMax, returns: true };
}

/** Troubles at random times until `untilMs`; the first worker is spared unless `all`. */
export function trouble(cluster: ModelCluster, counts: Record<string, number>, all: boolean): void {
  const { network } = cluster;
  const random = new Random("trouble", cluster.plan.seed);
  const strike = () => {
    const workers = cluster.workers().filter(({ alive }) => alive);
    const worker = workers[random.below(Math.max(1, workers.length))];
    const what = ["kill", "kill", "cut", "break", "late"][random.below(5)]!;
    if (worker !== undefined) {
      if (what === "kill" && (all || worker.rank > 0)) {
        const death = (["closed", "silent", "restarted"] as const)[random.below(3)]! as Death;
        cluster.kill(worker, death);
        if (death !== "restarted") cluster.startMember("worker", worker.rank);
      }
      if (what === "cut") cluster.cut(worker, 50 + random.below(2000));
      if (what === "break") {
        cluster.breakChannel(worker, random.below(cluster.plan.spec.servers));
      }
    }
    if (what === "late") cluster.startMember("worker", null, 5);
    counts[what] = (counts[what] ?? 0) + 1;
    if (random.below(8) > 0) network.after(20 + random.below(900), strike);
  };
  network.after(600 + random.below(1500), strike);
}
