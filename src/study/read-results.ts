/**
 * Results of runs, from any writer: an experiment file of Paceline's, one of the system that the
 * form comes from, or a run's folder. Where a file says a thing twice and differently, that is an
 * error, since nobody could tell which of the two a chart should show.
 */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { PacelineError } from "../errors.js";
import { diskFiles, type Files } from "../store/files.js";
import { isSynchronous, modeWord } from "../store/runs/experiment-file.js";
import { lastOfEpochs } from "../store/runs/run-result.js";
import {
  type ExperimentForm,
  type PacelineForm,
  readExperimentForm,
  type WorkerForm,
} from "./experiment-form.js";
import { greatest } from "./extremes.js";
import { isRunFolder } from "./run-folders.js";
import type {
  Setting,
  StepTimes,
  StudyEpoch,
  StudyEvaluation,
  StudyResult,
} from "./study-result.js";

/** A file that could not be read, with what is wrong. */
export interface ReadingProblem {
  readonly path: string;
  readonly message: string;
}

/** What a folder held. */
export interface FolderResults {
  /** By name, numbers in them by size. */
  readonly results: readonly StudyResult[];
  readonly problems: readonly ReadingProblem[];
}

const resultFile = "result.json";
/** What a suite of experiments keeps beside its results; runs/ holds the same results again. */
const suiteNames = ["suite.json", "report.md", "report.json", "charts", "cells", "runs"];

/** Reads one result: an experiment file, or a run's folder with its result.json. */
export async function readStudyResult(
  path: string,
  files: Files = diskFiles,
): Promise<StudyResult> {
  const names = await files.list(path);
  if (names === null) return studyResultOf(await readExperimentForm(path, files), path);
  const inside = join(path, resultFile);
  if (names.includes(resultFile)) {
    return studyResultOf(await readExperimentForm(inside, files), inside);
  }
  const what = isRunFolder(names)
    ? `the run in ${path} has no ${resultFile} yet: it is running, or was killed`
    : `${path} is not a run folder: it holds no ${resultFile}`;
  throw new PacelineError("usage", `${what}; give a run that has ended, or an experiment file`);
}

/**
 * Reads all results of a folder: experiment files and run folders directly in it; a single file or
 * run folder is taken as the only one. What can't be read is named and hides nothing else; what a
 * suite keeps beside its results is left out. A folder that does not exist is a `usage` error.
 */
export async function readStudyResults(
  folder: string,
  files: Files = diskFiles,
): Promise<FolderResults> {
  const names = await files.list(folder);
  if (names === null || isRunFolder(names)) {
    return { results: [await readStudyResult(folder, files)], problems: [] };
  }
  const results: StudyResult[] = [];
  const problems: ReadingProblem[] = [];
  for (const name of names) {
    if (name.startsWith(".") || suiteNames.includes(name)) continue;
    const path = join(folder, name);
    try {
      results.push(await readStudyResult(await demandExperiment(path, files), files));
    } catch (thrown) {
      if (!(thrown instanceof PacelineError)) throw thrown;
      problems.push({ path, message: thrown.message });
    }
  }
  results.sort((left, right) => left.name.localeCompare(right.name, "en", { numeric: true }));
  return { results, problems };
}

async function demandExperiment(path: string, files: Files): Promise<string> {
  if (path.endsWith(".json") || (await files.list(path)) !== null) return path;
  const what = `${path} is not an experiment file: its name does not end in .json`;
  throw new PacelineError("usage", `${what}; move it elsewhere`);
}

/** Turns a file's content into a result; contradictions in it are `usage` errors. */
export function studyResultOf(file: ExperimentForm, path: string): StudyResult {
  const paceline = file.paceline ?? null;
  const together = file.worker_metrics_aggregated ?? null;
  const workers = file.raw_worker_metrics ?? together?.per_worker_metrics ?? [];
  const server = file.server_metrics ?? null;
  return {
    name: file.experiment_name,
    path,
    identity: identityOf(file),
    mode: modeOf(file, path),
    workers: workersOf(file, workers, path),
    // What a baseline's file says of servers is nothing that it had.
    servers: paceline?.inOneProcess ? null : (paceline?.servers ?? null),
    model: paceline?.model ?? null,
    data: paceline?.data ?? null,
    seed: paceline?.seed ?? null,
    outcome: paceline?.outcome ?? null,
    settings: paceline?.spec ? settingsOfSpec(paceline.spec) : settingsOfWorkers(workers),
    inOneProcess: paceline?.inOneProcess ?? null,
    simulated: paceline?.simulated ?? false,
    crowded: paceline?.crowded ?? null,
    seconds:
      most(workers.map((worker) => worker.total_training_time_seconds)) ??
      together?.total_training_time_seconds ??
      server?.total_training_time_seconds ??
      null,
    epochSeconds:
      mean(
        workers.map(
          (worker) => worker.average_epoch_time_seconds ?? mean(worker.epoch_times_seconds ?? []),
        ),
      ) ??
      together?.average_epoch_time_seconds ??
      null,
    accuracyPercent:
      mean(
        workers.map(
          (worker) =>
            worker.final_test_accuracy_percent ?? worker.all_accuracies_percent?.at(-1) ?? null,
        ),
      ) ??
      together?.final_test_accuracy_percent ??
      null,
    epochs: epochsOf(file, workers),
    evaluations: paceline === null ? [] : evaluationsOf(paceline),
    stalenessCounts: paceline?.staleness?.counts ?? null,
    stepTimes: stepTimesOf(paceline),
    bytesIn: paceline?.bytesIn ?? null,
    bytesOut: paceline?.bytesOut ?? null,
  };
}

/** A suite's file and that of the run itself tell of one run, and are not the same otherwise. */
function identityOf(file: ExperimentForm): string {
  const { spec, startedAt, endedAt } = file.paceline ?? {};
  const run = spec?.run;
  const told = typeof run === "string" && run !== "" ? [run, startedAt, endedAt] : file;
  return createHash("sha256").update(JSON.stringify(told)).digest("hex");
}

interface Statement<T> {
  readonly where: string;
  readonly value: T | null | undefined;
}

/** The one value of those that tell it; null when none does. */
function agreed<T>(what: string, path: string, statements: readonly Statement<T>[]): T | null {
  const told = statements.filter(({ value }) => value !== null && value !== undefined);
  const other = told.find(({ value }) => value !== told[0]!.value);
  if (other === undefined) return told[0]?.value ?? null;
  const first = `${told[0]!.where} says ${String(told[0]!.value)}`;
  const both = `${first} and ${other.where} ${String(other.value)}`;
  const sentence = `${path} contradicts itself about its ${what}: ${both}`;
  throw new PacelineError("usage", `${sentence}; correct the one that is wrong`);
}

/** sync_4workers, async_16workers_seed2: what a name tells in the published form. */
function nameParts(name: string): { mode: string; workers: number } | null {
  const match = /^(sync|async|bsp|asp|ssp|hybrid)_(\d{1,6})workers?(?![a-z0-9])/i.exec(name);
  if (match === null) return null;
  return { mode: modeWord(match[1]!.toLowerCase()), workers: Number(match[2]) };
}

function partsOf(file: ExperimentForm, path: string) {
  const own = nameParts(file.experiment_name);
  if (own !== null) return { ...own, where: `the name ${file.experiment_name}` };
  const fromFile = nameParts(basename(path, ".json"));
  return fromFile === null ? null : { ...fromFile, where: "the file's name" };
}

function modeOf(file: ExperimentForm, path: string): string {
  const word = (mode: string | null | undefined) => (mode ? modeWord(mode.toLowerCase()) : null);
  const parts = partsOf(file, path);
  const own = file.paceline?.protocol;
  const mode = agreed("mode", path, [
    { where: "server_metrics.mode", value: word(file.server_metrics?.mode) },
    { where: "paceline.protocol", value: word(own) },
    // A run that is planned, or switched, may have been named for its first mode.
    { where: parts?.where ?? "", value: own == null ? parts?.mode : null },
  ]);
  if (mode !== null) return mode;
  throw new PacelineError(
    "usage",
    `${path} does not state its mode: it has no server_metrics, and its name ` +
      `${file.experiment_name} is not like sync_4workers; give it such an experiment_name`,
  );
}

function workersOf(file: ExperimentForm, metrics: readonly WorkerForm[], path: string): number {
  const parts = partsOf(file, path);
  const total = agreed("number of workers", path, [
    { where: "server_metrics.total_workers", value: file.server_metrics?.total_workers },
    { where: "paceline.workers", value: file.paceline?.workers },
    ...metrics.map((worker, index) => {
      return { where: `total_workers of worker ${index}`, value: worker.total_workers };
    }),
    { where: parts?.where ?? "", value: parts?.workers },
  ]);
  const known = total ?? file.worker_metrics_aggregated?.num_workers ?? metrics.length;
  if (known > 0) return known;
  const what = `${path} does not state how many workers the run had`;
  throw new PacelineError("usage", `${what}; give it an experiment_name such as sync_4workers`);
}

/** Epochs as the workers, the aggregate and Paceline tell them, put together by number. */
function epochsOf(file: ExperimentForm, workers: readonly WorkerForm[]): StudyEpoch[] {
  const { paceline, worker_metrics_aggregated: together } = file;
  const own = new Map(paceline?.epochs?.map((epoch) => [epoch.epoch, epoch]));
  const evaluated = lastOfEpochs(paceline?.evaluations ?? []);
  const times = new Map(together?.epoch_times_by_epoch?.map((one) => [one.epoch, one]));
  const accuracies = new Map(together?.accuracy_by_epoch?.map((one) => [one.epoch, one]));
  const lists = workers.flatMap((worker) => [
    worker.epoch_times_seconds?.length ?? 0,
    // Paceline may evaluate less than once an epoch, and says of each evaluation when it was.
    paceline ? 0 : (worker.all_accuracies_percent?.length ?? 0),
  ]);
  // Epochs are those that something is told of: one may have any number, however high.
  const listed = most(lists) ?? 0;
  const counted = Array.from({ length: listed }, (_, index) => index + 1);
  const numbers = new Set([...counted, ...own.keys(), ...times.keys()]);
  const ascending = [...numbers].sort((left, right) => left - right);
  return ascending.map((epoch) => {
    const index = epoch - 1;
    // In files of earlier versions a worker that came later has 0 seconds of the epochs before.
    const seconds = workers
      .map((worker) => worker.epoch_times_seconds?.[index] ?? null)
      .filter((value) => value !== null && value > 0);
    const percents = workers.map((worker) => worker.all_accuracies_percent?.[index] ?? null);
    return {
      epoch,
      longestSeconds: most(seconds) ?? times.get(epoch)?.max_time ?? null,
      meanSeconds: mean(seconds) ?? times.get(epoch)?.avg_time ?? null,
      testAccuracyPercent: paceline?.evaluations
        ? (evaluated.get(epoch)?.accuracy ?? null)
        : (mean(percents) ?? accuracies.get(epoch)?.avg_accuracy ?? null),
      trainAccuracyPercent: own.get(epoch)?.trainAccuracy ?? null,
      trainLoss: trainLossOf(own.get(epoch)),
      testLoss: evaluated.get(epoch)?.loss ?? null,
    };
  });
}

/** An epoch without examples has no loss, whatever its mean came to. */
function trainLossOf(epoch: NonNullable<PacelineForm["epochs"]>[number] | undefined) {
  return epoch === undefined || epoch.examples === 0 ? null : (epoch.trainLoss ?? null);
}

/**
 * Where a file does not tell the work at an evaluation, it is all epochs up to the one that it
 * ends: so it is in a synchronous run, where everybody stands still then, if evaluations are due
 * at epochs' ends.
 */
function evaluationsOf(paceline: PacelineForm): StudyEvaluation[] {
  const cadence = paceline.spec?.evaluateEvery as { unit?: unknown } | null | undefined;
  const standsStill = isSynchronous(paceline.protocol ?? "");
  const atEnds = cadence?.unit === "epoch" && paceline.outcome === "done" && standsStill;
  const examplesUpTo = (epoch: number): number | null => {
    const until = (paceline.epochs ?? []).filter((one) => one.epoch <= epoch);
    const counts = until.map((one) => one.examples ?? null);
    if (until.length !== epoch || counts.includes(null)) return null;
    return counts.reduce((sum: number, one) => sum + one!, 0);
  };
  return (paceline.evaluations ?? []).flatMap((evaluation) => {
    const { seconds, step, examples, accuracy, loss, epoch, version } = evaluation;
    // A model that diverged has no loss, and its accuracy is chance.
    if (accuracy == null || loss == null) return [];
    const work = examples ?? (atEnds && epoch ? examplesUpTo(epoch) : null);
    const values = { seconds, step, examples: work, accuracyPercent: accuracy, loss };
    return version == null ? values : { ...values, version };
  });
}

function stepTimesOf(paceline: PacelineForm | null): StepTimes | null {
  const { inputSeconds, computeSeconds, waitSeconds } = paceline?.stepTimes ?? {};
  if (inputSeconds == null || computeSeconds == null || waitSeconds == null) return null;
  return { inputSeconds, computeSeconds, waitSeconds };
}

/** What a run is named by, and what a result has a field of its own for. */
const toldElsewhere = [
  // It follows from trainExamples and epochs.
  "schedule.totalExamples",
  "run",
  "name",
  "seed",
  "model",
  "data",
  "servers",
  "serversMax",
  "workersMax",
  "protocol.mode",
];

function settingsOfSpec(spec: Readonly<Record<string, unknown>>): Record<string, Setting> {
  const settings: Record<string, Setting> = {};
  const collect = (value: unknown, path: string): void => {
    if (toldElsewhere.includes(path)) return;
    if (path === "workersMin" && value === spec.workersMax) return;
    if (Array.isArray(value)) settings[path] = value.map(textOf).join(",");
    else if (isCadence(value)) settings[path] = `${value.count} ${value.unit}`;
    else if (typeof value === "object" && value !== null) {
      for (const [key, inner] of Object.entries(value)) collect(inner, `${path}.${key}`);
    } else if (value !== undefined) settings[path] = value as Setting;
  };
  for (const [key, value] of Object.entries(spec)) collect(value, key);
  return settings;
}

/** An item of a list; of one that has parts, as a plan's phases have, those that say something. */
function textOf(item: unknown): string {
  if (typeof item !== "object" || item === null) return String(item);
  const { protocol, ...parts } = item as Record<string, unknown>;
  const told = Object.entries(parts)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  const { mode, ...parameters } = { ...(protocol as object) } as Record<string, unknown>;
  const own = Object.keys(parameters).length === 0 ? "" : JSON.stringify(parameters);
  return [mode, own, ...told].filter((one) => one !== undefined && one !== "").join(" ");
}

/** How often something is done: 1 epoch, 5 step. */
function isCadence(value: unknown): value is { unit: string; count: number } {
  if (typeof value !== "object" || value === null) return false;
  return Object.keys(value).sort().join() === "count,unit";
}

/** What the workers' metrics tell of the run's choices, under the names that Paceline has. */
function settingsOfWorkers(workers: readonly WorkerForm[]): Record<string, Setting> {
  const settings: Record<string, Setting> = {};
  const keep = (path: string, values: readonly (number | null | undefined)[]) => {
    const [first] = values;
    if (first != null && values.every((value) => value === first)) settings[path] = first;
  };
  keep(
    "batchSize",
    workers.map((worker) => worker.batch_size),
  );
  keep(
    "schedule.lr",
    workers.map((worker) => worker.learning_rate),
  );
  keep(
    "epochs",
    workers.map((worker) => worker.num_epochs),
  );
  return settings;
}

function known(values: readonly (number | null | undefined)[]): number[] {
  return values.filter((value): value is number => value !== null && value !== undefined);
}

function mean(values: readonly (number | null | undefined)[]): number | null {
  const numbers = known(values);
  if (numbers.length === 0) return null;
  return numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
}

function most(values: readonly (number | null | undefined)[]): number | null {
  const numbers = known(values);
  return numbers.length === 0 ? null : greatest(numbers);
}
