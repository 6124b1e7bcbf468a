/**
 * What members count: the counts of those that have done nothing, which sums begin from and partial
 * counts spread, and the sum over the lives of a worker's rank.
 *
 * Invariant: adding the counts of a member that has done nothing changes no sum.
 */
import type { ServerStatistics, WorkerStatistics } from "./messages.js";

/** The counts of a server that has done nothing. */
export const idleServer: ServerStatistics = {
  generation: 0,
  versionMin: 0,
  versionMax: 0,
  chunks: 0,
  pushes: 0,
  updates: 0,
  updateSeconds: 0,
  stalenessSum: 0,
  stalenessCount: 0,
  stalenessMax: 0,
  stalenessCounts: [],
  rejected: 0,
  duplicates: 0,
  tornSteps: 0,
  bytesIn: 0,
  bytesOut: 0,
  lr: 0,
};

/** The counts of a worker that has done nothing. */
export const idleWorker: WorkerStatistics = {
  clock: 0,
  steps: 0,
  examples: 0,
  lossSum: 0,
  lossCount: 0,
  correct: 0,
  inputSeconds: 0,
  computeSeconds: 0,
  waitSeconds: 0,
};

/**
 * The counts of a rank over all its lives: those of the lives that have ended, and of the last one,
 * whose clock it is.
 */
export function sumOfLives(ended: WorkerStatistics, last: WorkerStatistics): WorkerStatistics {
  return {
    clock: last.clock,
    steps: ended.steps + last.steps,
    examples: ended.examples + last.examples,
    lossSum: ended.lossSum + last.lossSum,
    lossCount: ended.lossCount + last.lossCount,
    correct: ended.correct + last.correct,
    inputSeconds: ended.inputSeconds + last.inputSeconds,
    computeSeconds: ended.computeSeconds + last.computeSeconds,
    waitSeconds: ended.waitSeconds + last.waitSeconds,
  };
}

/** What a rank has counted since it had counted this much. */
export function countedSince(earlier: WorkerStatistics, whole: WorkerStatistics): WorkerStatistics {
  return {
    clock: whole.clock,
    steps: whole.steps - earlier.steps,
    examples: whole.examples - earlier.examples,
    lossSum: whole.lossSum - earlier.lossSum,
    lossCount: whole.lossCount - earlier.lossCount,
    correct: whole.correct - earlier.correct,
    inputSeconds: whole.inputSeconds - earlier.inputSeconds,
    computeSeconds: whole.computeSeconds - earlier.computeSeconds,
    waitSeconds: whole.waitSeconds - earlier.waitSeconds,
  };
}

/** What a rank itself has worked; the rest of a step it waits for others and for the update. */
export function busySeconds({ inputSeconds, computeSeconds }: WorkerStatistics): number {
  return inputSeconds + computeSeconds;
}
