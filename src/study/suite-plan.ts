/**
 * What is done with each cell when a suite is run, and how long it will take: pure rules over what
 * lies on the disk. A decision comes with the sentence that is shown for it.
 */
import { isSynchronous } from "../store/runs/experiment-file.js";
import type { Cell, CellFacts } from "./cells.js";
import { type Priority, priorities } from "./matrix.js";

/** How far a cell has come. */
export type CellState = "waiting" | "running" | "done" | "failed" | "interrupted";

/** What suite.json keeps of a cell. */
export interface CellRecord {
  readonly state: CellState;
  /** Of the options that it was begun with. */
  readonly fingerprint: string;
  /** The matrix that it was begun for, as a whole path; missing in older files. */
  readonly matrix?: string | undefined;
  readonly attempts: number;
  /** Of all attempts together. */
  readonly seconds: number;
  /** Its run's folder, from the results' folder. */
  readonly runFolder: string;
  /** More processes than cores. */
  readonly crowded: boolean;
  readonly resumed: boolean;
  /** Why it failed, and the last lines of its log. */
  readonly error: string | null;
  readonly lastLines: readonly string[];
  /** The process that trains, while it runs. */
  readonly pid: number | null;
  /** Its job on a cluster; null where it is trained on this machine. */
  readonly job: string | null;
  /** ISO 8601. */
  readonly startedAt: string | null;
}

/** What there is of a cell. */
export interface CellTraces {
  readonly record: CellRecord | null;
  /** Its file among the results. */
  readonly result:
    | { readonly kind: "none" }
    | { readonly kind: "unreadable"; readonly reason: string }
    | {
        readonly kind: "file";
        /** Null in a file that no suite has written. */
        readonly fingerprint: string | null;
        readonly outcome: string | null;
      };
  /** Its run's folder. */
  readonly run: {
    readonly exists: boolean;
    /** Of its result.json. */
    readonly outcome: string | null;
    readonly checkpointStep: number | null;
    /** The process that trains in it at this moment. */
    readonly pid: number | null;
  };
}

/** What is to be done with a cell, and why. */
export type Decision = { readonly reason: string } & (
  | { readonly kind: "skip" | "leave" | "collect" }
  /** `isHalf`: with an unfinished run of the same options to clear away. */
  | { readonly kind: "begin"; readonly isHalf: boolean }
  | { readonly kind: "resume"; readonly step: number }
  /** It has been given to a cluster. */
  | { readonly kind: "follow"; readonly job: string }
  /** Nothing can be done before somebody has seen to it. */
  | { readonly kind: "blocked" }
);

/** Decides over one cell. */
export function decide(
  cell: Pick<Cell, "fingerprint">,
  { record, result, run }: CellTraces,
  retryFailed: boolean,
): Decision {
  const begin = (reason: string, isHalf = false) => ({ kind: "begin", isHalf, reason }) as const;
  if (run.pid !== null)
    return { kind: "blocked", reason: `process ${run.pid} still trains it: end it or wait` };
  if (result.kind === "file" && result.fingerprint === null) {
    const reason = "its file was not written by a suite: move it or choose another results-dir";
    return { kind: "blocked", reason };
  }
  const isSame = record?.fingerprint === cell.fingerprint;
  const isFinished = result.kind === "file" && result.outcome === "done";
  if (isFinished && result.fingerprint === cell.fingerprint)
    return { kind: "skip", reason: "finished" };
  // What was begun with these options comes before an older result, which it will replace.
  if (record !== null && record.state !== "waiting" && isSame) {
    const lack = isFinished ? "is of other options" : "is missing";
    if (run.outcome === "done") return { kind: "collect", reason: `trained, its file ${lack}` };
    if (record.state === "failed") {
      if (retryFailed) return begin("failed: runs again");
      return { kind: "leave", reason: `failed: ${record.error ?? "unknown"}` };
    }
    if (record.state === "running" && record.job !== null)
      return { kind: "follow", job: record.job, reason: `job ${record.job} of a cluster` };
    const step = run.checkpointStep;
    if (step !== null && record.state !== "done")
      return { kind: "resume", step, reason: `half-finished: continues from step ${step}` };
    if (record.state !== "done")
      return begin("half-finished without a checkpoint: starts over", true);
  }
  if (isFinished) return begin("finished with other options: runs again");
  if (record !== null && record.state !== "waiting" && !isSame)
    return begin("started with other options: runs again");
  if (result.kind === "unreadable")
    return begin(`its file can't be read (${result.reason}): runs again`);
  return begin("waiting");
}

/** The cells at or above a priority, the most important first, else in the matrix's order. */
export function orderCells(cells: readonly Cell[], least: Priority | null): Cell[] {
  const rank = ({ priority }: Cell) => priorities.indexOf(priority);
  const limit = least === null ? priorities.length : priorities.indexOf(least);
  const wanted = cells.filter((cell) => rank(cell) <= limit);
  return wanted.sort((left, right) => rank(left) - rank(right));
}

/** True where a cell has more workers than there are cores: they take turns. */
export function isCrowded({ workers }: Pick<CellFacts, "workers">, cores: number): boolean {
  return workers > cores;
}

/** A finished cell, as estimates look at it. */
export interface Measured {
  readonly facts: CellFacts;
  /** From the start of its processes to their end. */
  readonly seconds: number;
  /** Training examples in one of its epochs; null where its file does not tell. */
  readonly epochExamples: number | null;
}

/**
 * Seconds that a cell will take, judged by those finished that are most like it: of the same model
 * and data and, as far as there are such, the same workers, mode and servers. Where the work of
 * both is known, seconds follow the work. Null as long as nothing has been measured.
 */
export function estimateSeconds(facts: CellFacts, measured: readonly Measured[]): number | null {
  const kin = measured.filter(
    (one) => one.facts.model === facts.model && one.facts.data === facts.data,
  );
  if (kin.length === 0) return mean(measured.map(({ seconds }) => seconds));
  const likeness = (one: Measured) =>
    (one.facts.workers === facts.workers ? 4 : 0) +
    (one.facts.mode === facts.mode ? 2 : 0) +
    (one.facts.servers === facts.servers ? 1 : 0);
  const closest = Math.max(...kin.map(likeness));
  const nearest = kin.filter((one) => likeness(one) === closest);
  return mean(
    nearest.map((one) => {
      const known = workOf(one.facts, one);
      const wanted = workOf(facts, one);
      return known === null || wanted === null || known === 0
        ? one.seconds
        : (one.seconds * wanted) / known;
    }),
  );
}

/** Seconds until all of these are done; null when one of them can't be judged. */
export function remainingSeconds(
  cells: readonly { readonly facts: CellFacts; readonly elapsedSeconds?: number }[],
  measured: readonly Measured[],
): number | null {
  let sum = 0;
  for (const { facts, elapsedSeconds } of cells) {
    const seconds = estimateSeconds(facts, measured);
    if (seconds === null) return null;
    sum += Math.max(0, seconds - (elapsedSeconds ?? 0));
  }
  return sum;
}

/** Examples that a cell goes through, where an epoch has as many as that of the cell measured. */
function workOf(facts: CellFacts, { epochExamples, facts: other }: Measured): number | null {
  if (epochExamples === null) return null;
  const { epochs, maxSteps, batchSize, workers, mode, trainLimit } = facts;
  const sameData = trainLimit === other.trainLimit || trainLimit === null;
  const all = epochs * (sameData ? epochExamples : trainLimit);
  const stepExamples = batchSize * (isSynchronous(mode) ? workers : 1);
  return maxSteps === null ? all : Math.min(all, maxSteps * stepExamples);
}

/** Seconds as a person reads them: 45 s, 3 min 20 s, 2 h 5 min. */
export function durationText(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 100) return `${seconds < 10 ? seconds.toFixed(1) : whole} s`;
  if (whole < 5400) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function mean(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
