/** A worker's own final metrics, from what its machine recorded. */
import type { WorkerEnd } from "../host/worker-host.js";
import { workerFinalMetrics } from "../store/runs/experiment-file.js";

/** The object of a worker's METRICS_JSON line; null when it never had a run. */
export function workerMetrics(
  rank: number,
  end: WorkerEnd,
): ReturnType<typeof workerFinalMetrics> | null {
  const { spec, record, trainingSeconds } = end;
  if (spec === null) return null;
  return workerFinalMetrics({
    rank,
    workers: spec.workersMax,
    trainingSeconds,
    epochSeconds: record.epochSeconds,
    accuraciesPercent: record.accuraciesPercent,
    steps: record.steps,
    batchSize: spec.batchSize,
    lr: spec.schedule.lr,
    epochs: spec.epochs,
  });
}
