/**
 * Repeats of one experiment as one: mean and spread over the runs that differ in nothing but seed
 * and name. Whatever else differs keeps runs apart, and runs that did not come to their end are
 * listed but never averaged.
 */
import { PacelineError } from "../errors.js";
import type { Setting, StudyEpoch, StudyResult } from "./study-result.js";

/** Mean and spread of the values that are known. */
export interface Spread {
  readonly mean: number;
  /** Sample standard deviation (n - 1 below); null where there is a single value. */
  readonly std: number | null;
  readonly n: number;
}

/** An epoch of a group; null where no run tells. */
export interface GroupEpoch {
  /** Counts from 1. */
  readonly epoch: number;
  readonly longestSeconds: Spread | null;
  readonly meanSeconds: Spread | null;
  readonly testAccuracyPercent: Spread | null;
  readonly trainAccuracyPercent: Spread | null;
  readonly trainLoss: Spread | null;
  readonly testLoss: Spread | null;
}

/** Runs that are repeats of each other. */
export interface StudyGroup
  extends Pick<
    StudyResult,
    "mode" | "workers" | "servers" | "model" | "data" | "simulated" | "crowded" | "settings"
  > {
  /** The first run's name. */
  readonly name: string;
  /** What the numbers are of: runs that ended well, or whose files do not tell how they ended. */
  readonly results: readonly StudyResult[];
  /** Runs that failed or were interrupted; they are in no number. */
  readonly unfinished: readonly StudyResult[];
  readonly seconds: Spread | null;
  readonly epochSeconds: Spread | null;
  readonly accuracyPercent: Spread | null;
  readonly epochs: readonly GroupEpoch[];
}

/** Mean and sample standard deviation of what is known; null when nothing is. */
export function spreadOf(values: readonly (number | null | undefined)[]): Spread | null {
  const known = values.filter((value) => value !== null && value !== undefined);
  const n = known.length;
  if (n === 0) return null;
  const mean = known.reduce((sum, value) => sum + value / n, 0);
  if (n === 1) return { mean, std: null, n };
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, std: Math.sqrt(squares / (n - 1)), n };
}

/** A run that is there twice, by two names or in two files. */
export interface Repetition {
  readonly first: StudyResult;
  readonly again: StudyResult;
}

/** Each run once: a mean over copies of one run would be called one over several. */
export function withoutRepetitions(results: readonly StudyResult[]): {
  readonly results: readonly StudyResult[];
  readonly repetitions: readonly Repetition[];
} {
  const seen = new Map<string, StudyResult>();
  const once: StudyResult[] = [];
  const repetitions: Repetition[] = [];
  for (const result of results) {
    const { identity } = result;
    const first = identity === undefined ? undefined : seen.get(identity);
    if (first !== undefined) {
      repetitions.push({ first, again: result });
      continue;
    }
    once.push(result);
    if (identity !== undefined) seen.set(identity, result);
  }
  return { results: once, repetitions };
}

/** Groups repeats, in the order of each group's first run. */
export function groupResults(results: readonly StudyResult[]): StudyGroup[] {
  const groups = new Map<string, StudyResult[]>();
  for (const result of results) {
    const key = experimentKey(result);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [result]);
    else group.push(result);
  }
  return [...groups.values()].map(groupOf);
}

/**
 * Refuses results that no chart or mean may hold together: those of two data sets or two models.
 * What a file does not tell goes with anything.
 * @throws PacelineError `usage`, naming two files and their values.
 */
export function demandComparable(results: readonly StudyResult[]): void {
  for (const what of ["data", "model"] as const) {
    const told = results.filter((result) => result[what] !== null);
    const other = told.find((result) => result[what] !== told[0]![what]);
    if (other === undefined) continue;
    const kind = what === "data" ? "data sets" : "models";
    const first = `${told[0]!.path} is of ${told[0]![what]}`;
    const sentence = `results of different ${kind} can't be compared: ${first}, ${other.path} of`;
    throw new PacelineError("usage", `${sentence} ${other[what]}; leave one of the two out`);
  }
}

/** Settings in which some of the results differ, with each one's value; sorted by path. */
export function differingSettings(
  results: readonly StudyResult[],
): { readonly path: string; readonly values: readonly (Setting | undefined)[] }[] {
  const paths = new Set(results.flatMap(({ settings }) => Object.keys(settings)));
  return [...paths]
    .sort()
    .map((path) => ({ path, values: results.map(({ settings }) => settings[path]) }))
    .filter(({ values }) => values.some((value) => value !== values[0]));
}

function experimentKey(result: StudyResult): string {
  const { mode, workers, servers, model, data, simulated, crowded, settings } = result;
  const sorted = Object.entries(settings).sort(([left], [right]) => (left < right ? -1 : 1));
  return JSON.stringify([mode, workers, servers, model, data, simulated, crowded, sorted]);
}

function groupOf(all: readonly StudyResult[]): StudyGroup {
  const { name, mode, workers, servers, model, data, simulated, crowded, settings } = all[0]!;
  const ended = ({ outcome }: StudyResult) => outcome === "done" || outcome === null;
  const results = all.filter(ended);
  const rows = results.flatMap(({ epochs }) => epochs);
  const byEpoch = new Map<number, StudyEpoch[]>();
  for (const row of rows) {
    const known = byEpoch.get(row.epoch);
    if (known === undefined) byEpoch.set(row.epoch, [row]);
    else known.push(row);
  }
  const ascending = [...byEpoch].sort(([left], [right]) => left - right);
  return {
    ...{ name, mode, workers, servers, model, data, simulated, crowded, settings },
    results,
    unfinished: all.filter((result) => !ended(result)),
    seconds: spreadOf(results.map((result) => result.seconds)),
    epochSeconds: spreadOf(results.map((result) => result.epochSeconds)),
    accuracyPercent: spreadOf(results.map((result) => result.accuracyPercent)),
    epochs: ascending.map(([epoch, told]) => groupEpoch(told, epoch)),
  };
}

function groupEpoch(rows: readonly StudyEpoch[], epoch: number): GroupEpoch {
  return {
    epoch,
    longestSeconds: spreadOf(rows.map((row) => row.longestSeconds)),
    meanSeconds: spreadOf(rows.map((row) => row.meanSeconds)),
    testAccuracyPercent: spreadOf(rows.map((row) => row.testAccuracyPercent)),
    trainAccuracyPercent: spreadOf(rows.map((row) => row.trainAccuracyPercent)),
    trainLoss: spreadOf(rows.map((row) => row.trainLoss)),
    testLoss: spreadOf(rows.map((row) => row.testLoss)),
  };
}
