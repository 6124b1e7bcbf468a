/** `paceline worker`: trains for a coordinator's runs, and prints its own metrics of each. */
import type { WorkerEnd } from "../../host/worker-host.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { startWorker } from "../../runtime/start-worker.js";
import { metricsLine, workerFinalMetrics } from "../../store/runs/experiment-file.js";
import { memberLog, untilMemberEnds } from "../member-command.js";
import { workerSettingsOf } from "../role-settings.js";
import { exitWithParent, isSupervised } from "../supervised.js";

/** Runs the command; resolves to the exit code. */
export async function worker(options: ResolvedOptions, io: CommandIo): Promise<number> {
  exitWithParent();
  const log = memberLog(io, "worker", options.workerName);
  const onRunEnd = (rank: number, end: WorkerEnd) => printMetrics(rank, end, io);
  const worker = await startWorker(workerSettingsOf(options), { log, onRunEnd });
  // A run goes on without one of several; one of a supervisor's is stopped with all the others.
  return untilMemberEnds(worker, { staysForRun: isSupervised(), log });
}

/** The METRICS_JSON line, from what the worker itself recorded of a run that is done. */
function printMetrics(
  rank: number,
  { outcome, spec, record, trainingSeconds }: WorkerEnd,
  io: CommandIo,
): void {
  if (outcome !== "done" || spec === null) return;
  const metrics = workerFinalMetrics({
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
  io.stdout.write(`${metricsLine(metrics)}\n`);
}
