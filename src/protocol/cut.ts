/**
 * A consistent cut through a run whose workers keep no common step: for each worker's life the last
 * of its steps that belongs before the cut. It follows from what chunks had when they were marked,
 * each at a moment of its own: the farthest that any of them had come.
 *
 * Invariant: a push belongs before the cut on all chunks, or on none.
 */
import type { WorkerIdentity } from "./identity.js";
import type { AppliedMark, WorkerStatistics } from "./messages.js";
import type { ViewWorker } from "./view.js";

/** How far a worker's pushes belong before a cut. */
export interface CutLimit extends WorkerIdentity {
  /** The last step of all. */
  readonly step: number;
  /** The last of them with examples that was applied; -1 if none. */
  readonly usedStep: number;
  /** Examples of steps up to `step`, of the worker's life, that were applied. */
  readonly used: number;
}

/** An order to tell what an assignment has come to with a step. */
export interface TallyOrder {
  readonly cut: number;
  readonly assignment: number;
  /** The last of its steps that belongs before the cut. */
  readonly step: number;
}

/** What a worker's assignment had come to with a step. */
export interface StepTally {
  /** Examples used; 0, as all that follows, where the worker does not know it any more. */
  readonly examples: number;
  /** Examples of steps that were taken, and that were rejected or every chunk dropped. */
  readonly dropped: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly seconds: number;
  /** All that the worker had counted by then. */
  readonly statistics: WorkerStatistics;
}

/** The limits that follow from the marks of all chunks, by ascending rank. */
export function cutLimitsOf(chunks: readonly (readonly AppliedMark[])[]): CutLimit[] {
  const limits = new Map<number, CutLimit>();
  for (const { rank, incarnation, step, usedStep = step, used = 0 } of chunks.flat()) {
    const known = limits.get(rank);
    // Of an earlier life of the rank nothing is on its way any more.
    if (known !== undefined && known.incarnation > incarnation) continue;
    const isSame = known?.incarnation === incarnation;
    limits.set(rank, {
      ...{ rank, incarnation },
      step: isSame ? Math.max(known.step, step) : step,
      usedStep: isSame ? Math.max(known.usedStep, usedStep) : usedStep,
      used: isSame ? Math.max(known.used, used) : used,
    });
  }
  return [...limits.values()].sort((a, b) => a.rank - b.rank);
}

/** How many of these workers were lost in a step that only some chunks of a cut have. */
export function tornAt(
  workers: readonly ViewWorker[],
  chunks: readonly (readonly AppliedMark[])[],
): number {
  return workers.filter(({ rank, incarnation, fromStep }) => {
    const used = chunks.map((marks) => {
      const mark = marks.find((one) => one.rank === rank && one.incarnation === incarnation);
      return Math.max(fromStep - 1, mark?.usedStep ?? mark?.step ?? -1);
    });
    return new Set(used).size > 1;
  }).length;
}
