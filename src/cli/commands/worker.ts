/** `paceline worker`: trains for a coordinator's runs, and prints its own metrics of each. */
import type { WorkerEnd } from "../../host/worker-host.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { printsMetrics } from "../../report/progress.js";
import { startWorker } from "../../runtime/start-worker.js";
import {
  metricsLine,
  type WorkerFinalMetrics,
  workerFinalMetrics,
} from "../../store/runs/experiment-file.js";
import { memberLog, withMember } from "../member-command.js";
import { workerSettingsOf } from "../role-settings.js";
import { sufferedFaults, tellStraggling } from "../suffered-faults.js";
import { exitWithParent, isSupervised } from "../supervised.js";

/** Runs the command; resolves to the exit code. */
export async function worker(options: ResolvedOptions, io: CommandIo): Promise<number> {
  exitWithParent();
  const log = memberLog(io, "worker", options.workerName);
  const metrics: WorkerFinalMetrics[] = [];
  const onRunEnd = (rank: number, end: WorkerEnd) => {
    const own = metricsOf(rank, end);
    if (own === null || end.spec === null) return;
    metrics.push(own);
    if (!printsMetrics(options, io.stdout)) return;
    io.stdout.write(`${metricsLine(own, end.spec.run)}\n`);
  };
  const start = () =>
    startWorker(workerSettingsOf(options), {
      ...{ log, onRunEnd },
      ...{ onChunkStep: sufferedFaults(), onStraggling: tellStraggling },
    });
  const { drainWithinMs, healthSocket } = options;
  const manners = { isSupervised: isSupervised(), drainWithinMs, log };
  const { exitCode, end } = await withMember({ role: "worker", healthSocket }, start, manners);
  if (options.json) io.stdout.write(`${JSON.stringify({ ...end, metrics })}\n`);
  return exitCode;
}

/** What the worker itself recorded of a run; null of one that is not done. */
function metricsOf(
  rank: number,
  { outcome, spec, record, trainingSeconds }: WorkerEnd,
): WorkerFinalMetrics | null {
  if (outcome !== "done" || spec === null) return null;
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
