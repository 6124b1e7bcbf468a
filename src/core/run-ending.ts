/**
 * How a run ends: the verdict, and the result made of it and of everything that was counted. The
 * verdict falls before members say goodbye, the result is drawn up after, so that it holds their
 * last counts.
 */
import type { ErrorCode } from "../errors.js";
import type { MemberCounts } from "./member-counts.js";
import type { RunOutcome, RunResult } from "./run-events.js";
import type { Training } from "./training.js";

/** The verdict. */
export interface Ending {
  readonly outcome: RunOutcome;
  /** Null unless the run failed. */
  readonly code: ErrorCode | null;
  readonly reason: string;
}

/** The verdict on training that has finished. */
export function endingOf(training: Training): Ending {
  const { interruption } = training;
  if (interruption === null) return { outcome: "done", code: null, reason: "training is done" };
  const { problem } = interruption;
  const reason = problem === null ? "interrupted" : `interrupted, not saved: ${problem}`;
  return { outcome: "interrupted", code: null, reason };
}

/** The result of a run whose verdict fell at `endedMs`; `training` is null when it never began. */
export function resultOf(
  ending: Ending,
  training: Training | null,
  counts: MemberCounts,
  endedMs: number,
): RunResult {
  const epochs = training?.ledger.closed ?? [];
  return {
    ...ending,
    trainingSeconds: training?.ledger.elapsedSeconds(endedMs) ?? 0,
    globalSteps: training?.globalSteps() ?? 0,
    tornSteps: training?.tornSteps ?? 0,
    skippedExamples: epochs.reduce((sum, epoch) => sum + epoch.skipped, 0),
    epochs,
    evaluations: training?.evaluations ?? [],
    servers: counts.servers,
    workers: counts.workers,
  };
}
