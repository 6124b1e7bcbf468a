/**
 * The counts of members that have done nothing: what sums begin from, and what whoever counts only
 * a part of it all spreads.
 *
 * Invariant: adding one of these to other counts changes nothing.
 */
import type { ServerStatistics, WorkerStatistics } from "./messages.js";

/** The counts of a server that has done nothing. */
export const idleServer: ServerStatistics = {
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
