/**
 * The experiment file and the METRICS_JSON lines of published parameter-server experiments, field
 * by field in their order, so that tools that read those read Paceline's runs too. What that format
 * lacks stands in the field `paceline`.
 */
import { PacelineError } from "../../errors.js";
import { diskFiles, type Files, readWhole } from "../files.js";
import { parseJson } from "../json-text.js";
import { demandWorkersOnce } from "./told-once.js";

/**
 * What a server says at the end: one line per run, whatever the number of servers. Times in
 * seconds.
 */
export interface ServerFinalMetrics {
  readonly type: "SERVER_FINAL_METRICS";
  readonly mode: string;
  readonly total_workers: number;
  readonly total_training_time_seconds: number;
  readonly global_steps_completed: number;
  readonly total_parameter_updates: number;
  /** Pushes, not chunks. */
  readonly gradients_processed: number;
  readonly average_update_time_seconds: number;
  readonly updates_per_second: number;
  readonly learning_rate: number;
  /** This and the next two in every mode but sync. */
  readonly async_updates?: number | undefined;
  readonly average_gradient_staleness?: number | undefined;
  readonly max_staleness_observed?: number | undefined;
}

/**
 * What a worker says at the end. Null stands for what was never measured. Place e of both lists is
 * epoch e + 1; what lies after the last known number is left out.
 */
export interface WorkerFinalMetrics {
  readonly type: "WORKER_FINAL_METRICS";
  readonly worker_id: number;
  readonly total_workers: number;
  readonly total_training_time_seconds: number;
  readonly average_epoch_time_seconds: number | null;
  /** Null for an epoch that it took no part in. */
  readonly epoch_times_seconds: readonly (number | null)[];
  readonly final_test_accuracy_percent: number | null;
  /** The last evaluation of each epoch; null for an epoch without one. */
  readonly all_accuracies_percent: readonly (number | null)[];
  readonly local_steps_completed: number;
  readonly batch_size: number;
  readonly learning_rate: number;
  readonly num_epochs: number;
}

/** Means, sums and extremes over workers; null where no worker has the number. */
export interface AggregatedWorkerMetrics {
  readonly num_workers: number;
  /** The longest. */
  readonly total_training_time_seconds: number | null;
  readonly average_epoch_time_seconds: number | null;
  readonly final_test_accuracy_percent: number | null;
  readonly total_local_steps: number;
  readonly per_worker_metrics: readonly WorkerFinalMetrics[];
  readonly epoch_times_by_epoch: readonly {
    readonly epoch: number;
    readonly max_time: number;
    readonly avg_time: number;
    readonly min_time: number;
  }[];
  readonly accuracy_by_epoch: readonly {
    readonly epoch: number;
    readonly avg_accuracy: number;
    readonly max_accuracy: number;
    readonly min_accuracy: number;
  }[];
}

/** The experiment file; a run's result.json. */
export interface ExperimentFile {
  readonly experiment_name: string;
  readonly timestamp: string;
  readonly server_metrics: ServerFinalMetrics | null;
  readonly worker_metrics_aggregated: AggregatedWorkerMetrics;
  readonly raw_worker_metrics: readonly WorkerFinalMetrics[];
  readonly paceline?: unknown;
}

/** What a run counted, summed over its servers; the staleness counts are left out in BSP. */
export interface ServerTotals {
  /** The protocol's name: bsp, ssp, asp, ... */
  readonly protocol: string;
  readonly workers: number;
  readonly trainingSeconds: number;
  readonly globalSteps: number;
  /** Updates of the whole parameter vector. */
  readonly parameterUpdates: number;
  readonly pushes: number;
  /** Seconds spent in updates, all servers together. */
  readonly updateSeconds: number;
  readonly lr: number;
  readonly asyncUpdates: number;
  readonly stalenessSum: number;
  readonly stalenessCount: number;
  readonly stalenessMax: number;
}

/** What one worker counted; the lists have a place for each epoch, null where it has no number. */
export interface WorkerTotals {
  readonly rank: number;
  readonly workers: number;
  readonly trainingSeconds: number;
  readonly epochSeconds: readonly (number | null)[];
  readonly accuraciesPercent: readonly (number | null)[];
  readonly steps: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly epochs: number;
}

/** The form's words for modes that it calls otherwise than Paceline does. */
const formWords = new Map([
  ["bsp", "sync"],
  ["asp", "async"],
]);

/** The form's word for a mode: its own where it has one, else the mode's name. */
export function modeWord(mode: string): string {
  return formWords.get(mode) ?? mode;
}

/** The words for modes in which all workers take each step. */
const wordsInStep: readonly string[] = ["sync", "local", "k-of-n", "quorum"];

/** True for the form's word, or the name, of a mode in which all workers take each step. */
export function isSynchronous(mode: string): boolean {
  return wordsInStep.includes(modeWord(mode));
}

/** Builds a server's final metrics: seconds to four decimals, means and rates to two. */
export function serverFinalMetrics(totals: ServerTotals): ServerFinalMetrics {
  const mode = modeWord(totals.protocol);
  const metrics: ServerFinalMetrics = {
    type: "SERVER_FINAL_METRICS",
    mode,
    total_workers: totals.workers,
    total_training_time_seconds: rounded(totals.trainingSeconds, 4),
    global_steps_completed: totals.globalSteps,
    total_parameter_updates: totals.parameterUpdates,
    gradients_processed: totals.pushes,
    average_update_time_seconds: rounded(ratio(totals.updateSeconds, totals.parameterUpdates), 4),
    updates_per_second: rounded(ratio(totals.parameterUpdates, totals.trainingSeconds), 2),
    learning_rate: totals.lr,
  };
  if (isSynchronous(mode)) return metrics;
  return {
    ...metrics,
    async_updates: totals.asyncUpdates,
    average_gradient_staleness: rounded(ratio(totals.stalenessSum, totals.stalenessCount), 2),
    max_staleness_observed: totals.stalenessMax,
  };
}

/** Builds a worker's final metrics, seconds to four decimals and percents to two. */
export function workerFinalMetrics(totals: WorkerTotals): WorkerFinalMetrics {
  const accuracies = untilLastKnown(totals.accuraciesPercent).map((one) => rounded(one, 2));
  return {
    type: "WORKER_FINAL_METRICS",
    worker_id: totals.rank,
    total_workers: totals.workers,
    total_training_time_seconds: rounded(totals.trainingSeconds, 4),
    average_epoch_time_seconds: rounded(mean(totals.epochSeconds), 4),
    epoch_times_seconds: untilLastKnown(totals.epochSeconds).map((one) => rounded(one, 4)),
    final_test_accuracy_percent: accuracies.at(-1) ?? null,
    all_accuracies_percent: accuracies,
    local_steps_completed: totals.steps,
    batch_size: totals.batchSize,
    learning_rate: totals.lr,
    num_epochs: totals.epochs,
  };
}

/** One line of standard output; `run` tells the lines of runs apart that share a log. */
export function metricsLine(metrics: ServerFinalMetrics | WorkerFinalMetrics, run: string): string {
  return `METRICS_JSON: ${JSON.stringify({ ...metrics, run })}`;
}

/** Puts the whole file together; workers are listed by id. */
export function experimentFile(parts: {
  readonly name: string;
  /** ISO 8601. */
  readonly timestamp: string;
  readonly server: ServerFinalMetrics | null;
  readonly workers: readonly WorkerFinalMetrics[];
  readonly paceline?: unknown;
}): ExperimentFile {
  const workers = [...parts.workers].sort((left, right) => left.worker_id - right.worker_id);
  return {
    experiment_name: parts.name,
    timestamp: parts.timestamp,
    server_metrics: parts.server,
    worker_metrics_aggregated: aggregate(workers),
    raw_worker_metrics: workers,
    ...(parts.paceline === undefined ? {} : { paceline: parts.paceline }),
  };
}

/** Aggregates over workers; an epoch's numbers are over the workers that have it, if any has. */
export function aggregate(workers: readonly WorkerFinalMetrics[]): AggregatedWorkerMetrics {
  const times = workers.map((worker) => worker.total_training_time_seconds);
  return {
    num_workers: workers.length,
    total_training_time_seconds: workers.length === 0 ? null : Math.max(...times),
    average_epoch_time_seconds: rounded(
      mean(workers.map((worker) => worker.average_epoch_time_seconds)),
      4,
    ),
    final_test_accuracy_percent: rounded(
      mean(workers.map((worker) => worker.final_test_accuracy_percent)),
      2,
    ),
    total_local_steps: workers.reduce((sum, worker) => sum + worker.local_steps_completed, 0),
    per_worker_metrics: workers,
    epoch_times_by_epoch: byEpoch(workers.map((worker) => worker.epoch_times_seconds)).map(
      ({ epoch, max, avg, min }) => ({
        epoch,
        max_time: max,
        avg_time: rounded(avg, 4),
        min_time: min,
      }),
    ),
    accuracy_by_epoch: byEpoch(workers.map((worker) => worker.all_accuracies_percent)).map(
      ({ epoch, max, avg, min }) => ({
        epoch,
        avg_accuracy: rounded(avg, 2),
        max_accuracy: max,
        min_accuracy: min,
      }),
    ),
  };
}

const experimentBytesMax = 64 * 1024 * 1024;

/**
 * Reads an experiment file of any origin. The workers' own numbers count, and the aggregate is
 * computed from them anew; `server_metrics` may be null or absent. A file of another form is a
 * `usage` error.
 */
export async function readExperimentFile(
  path: string,
  files: Files = diskFiles,
): Promise<ExperimentFile> {
  const text = (await readWhole(files, path, experimentBytesMax, "usage")).toString("utf8");
  let parsed: unknown;
  try {
    parsed = parseJson(text);
  } catch (thrown) {
    const reason = (thrown as Error).message;
    throw new PacelineError("usage", `${path} is not JSON: give an experiment file (${reason})`, {
      cause: thrown,
    });
  }
  const { experimentSchema } = await import("./experiment-schema.js");
  const checked = experimentSchema.safeParse(parsed);
  if (!checked.success) {
    const issue = checked.error.issues[0]!;
    const where = issue.path.join(".") || "the whole";
    const what = `${path} is not an experiment file: ${where}: ${issue.message}`;
    throw new PacelineError("usage", `${what}; give a run's result.json`);
  }
  const { experiment_name, timestamp, server_metrics, paceline } = checked.data;
  const raw = checked.data.raw_worker_metrics;
  const listed = checked.data.worker_metrics_aggregated?.per_worker_metrics;
  demandWorkersOnce(path, "raw_worker_metrics", raw);
  demandWorkersOnce(path, "per_worker_metrics", listed);
  const workers = raw ?? listed ?? [];
  return experimentFile({
    name: experiment_name,
    timestamp,
    server: server_metrics ?? null,
    workers,
    paceline,
  });
}

function byEpoch(
  lists: readonly (readonly (number | null)[])[],
): { epoch: number; max: number; avg: number; min: number }[] {
  const epochs = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: epochs }, (_, index) => index).flatMap((index) => {
    const values = lists.map((list) => list[index] ?? null).filter((value) => value !== null);
    const avg = mean(values);
    if (avg === null) return [];
    return [{ epoch: index + 1, max: Math.max(...values), avg, min: Math.min(...values) }];
  });
}

function untilLastKnown(values: readonly (number | null)[]): (number | null)[] {
  return values.slice(0, values.findLastIndex((value) => value !== null) + 1);
}

/**
 * To so many decimals, as the published files have it; what would become zero keeps its first digit
 * that counts.
 */
function rounded<Value extends number | null>(value: Value, decimals: number): Value {
  if (value === null) return value;
  return (Number(value.toFixed(decimals)) || Number(value.toPrecision(1))) as Value;
}

/** Null values are left out; null when none is left. */
function mean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

function ratio(dividend: number, divisor: number): number {
  return divisor === 0 ? 0 : dividend / divisor;
}
