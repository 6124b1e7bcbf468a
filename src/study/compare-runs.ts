/**
 * Runs side by side: what differs in what they were told, and what came of it against the first.
 * Nothing is compared that is not the same kind of thing: accuracies of two data sets have no
 * difference, and a time to an accuracy is known only to those that were evaluated on the way.
 */
import { PacelineError } from "../errors.js";
import { greatest, least } from "./extremes.js";
import { differingSettings, withoutRepetitions } from "./group-results.js";
import type { Setting, StudyResult } from "./study-result.js";

/** A choice in which the runs differ; undefined where a file does not tell. */
export interface Difference {
  /** Its place in the run's specification, such as schedule.lr. */
  readonly option: string;
  /** Of each run, in their order. */
  readonly values: readonly (Setting | undefined)[];
}

/** A run against the first; null where one of the two does not tell. */
export interface AgainstFirst {
  readonly name: string;
  /** The first's training time over this one's: 2 is twice as fast. */
  readonly speedup: number | null;
  readonly epochSpeedup: number | null;
  /** Percentage points above the first; null too where the data sets differ. */
  readonly accuracyDifference: number | null;
}

/** The accuracy that all evaluated runs came to, and how long each needed for it. */
export interface CommonAccuracy {
  readonly accuracyPercent: number;
  /** Of each run, in their order; null for a run without evaluations. */
  readonly seconds: readonly (number | null)[];
}

/** Everything that a comparison tells. */
export interface Comparison {
  readonly runs: readonly StudyResult[];
  readonly differences: readonly Difference[];
  readonly against: readonly AgainstFirst[];
  /** Null where fewer than two runs were evaluated, or on different data sets. */
  readonly common: CommonAccuracy | null;
  /** Sentences on what was left out, and why. */
  readonly remarks: readonly string[];
}

/**
 * Compares runs, the first being what the others are measured by.
 * @throws PacelineError `usage` where a run is there twice.
 */
export function compareResults(runs: readonly StudyResult[]): Comparison {
  const [repetition] = withoutRepetitions(runs).repetitions;
  if (repetition !== undefined) {
    const { first, again } = repetition;
    const sentence = `${first.path} and ${again.path} are of one run, ${again.name}`;
    throw new PacelineError("usage", `${sentence}; name two different runs to compare`);
  }
  const first = runs[0]!;
  const isOther = (run: StudyResult) =>
    first.data !== null && run.data !== null && run.data !== first.data;
  const others = runs.filter(isOther);
  const remarks = others.map(
    (run) =>
      `accuracies of ${first.name} and ${run.name} are not compared: ` +
      `they are of ${first.data} and ${run.data}`,
  );
  for (const { name, outcome } of runs) {
    if (outcome === "failed" || outcome === "interrupted")
      remarks.push(`${name} did not finish: it ${outcome === "failed" ? "" : "was "}${outcome}`);
  }
  return {
    runs,
    differences: differencesOf(runs),
    against: runs.slice(1).map((run) => ({
      name: run.name,
      speedup: ratio(first.seconds, run.seconds),
      epochSpeedup: ratio(first.epochSeconds, run.epochSeconds),
      accuracyDifference:
        isOther(run) || first.accuracyPercent === null || run.accuracyPercent === null
          ? null
          : run.accuracyPercent - first.accuracyPercent,
    })),
    common: others.length === 0 ? commonAccuracy(runs) : null,
    remarks,
  };
}

const ownFields = ["model", "data", "servers", "seed", "simulated"] as const;

function differencesOf(runs: readonly StudyResult[]): Difference[] {
  const fields = ownFields
    .map((option) => ({ option, values: runs.map((run) => run[option] ?? undefined) }))
    .filter(({ values }) => areUnlike(values));
  const settings = differingSettings(runs)
    .map(({ path, values }) => ({ option: path, values }))
    .filter(({ values }) => areUnlike(values));
  return [...fields, ...settings];
}

/** What one file tells and another does not is no difference. */
function areUnlike(values: readonly (Setting | undefined)[]): boolean {
  return new Set(values.filter((value) => value !== undefined)).size > 1;
}

/** The highest accuracy that each of them reached at some evaluation, and when it first did. */
function commonAccuracy(runs: readonly StudyResult[]): CommonAccuracy | null {
  const evaluated = runs.filter(({ evaluations }) => evaluations.length > 0);
  if (evaluated.length < 2) return null;
  const best = evaluated.map(({ evaluations }) =>
    greatest(evaluations.map(({ accuracyPercent }) => accuracyPercent)),
  );
  const accuracyPercent = Math.min(...best);
  const seconds = runs.map(({ evaluations }) => {
    const reached = evaluations.filter((one) => one.accuracyPercent >= accuracyPercent);
    return reached.length === 0 ? null : least(reached.map((one) => one.seconds));
  });
  return { accuracyPercent, seconds };
}

function ratio(dividend: number | null, divisor: number | null): number | null {
  return dividend === null || divisor === null || divisor === 0 ? null : dividend / divisor;
}
