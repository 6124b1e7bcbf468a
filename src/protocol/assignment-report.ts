/**
 * What came of work that was dealt: a worker tells of an assignment when it is done, and again to a
 * coordinator that was started since and may not have heard of it; of a worker that a view has
 * removed servers tell.
 */
import type { WorkerIdentity } from "./identity.js";
import type { WorkerStatistics } from "./messages.js";

/** What came of an assignment. */
export interface AssignmentReport {
  readonly assignment: number;
  /** Examples used. */
  readonly examples: number;
  /** Examples at the end of the assignment whose steps were not taken. */
  readonly skipped: number;
  /** Examples of steps that were taken in vain: rejected, or dropped by every chunk. */
  readonly dropped: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly seconds: number;
  /** All that the worker has counted by then. */
  readonly statistics: WorkerStatistics;
}

/**
 * How far a removed worker had come on one server: the lowest and highest, over the chunks, of the
 * last step with examples that an entry has; the step before its first for none. What was held of
 * it and not sealed is dropped. Steps up to the highest are used; the highest is torn where some
 * chunk has not come as far.
 */
export interface Departure extends WorkerIdentity {
  readonly stepMin: number;
  readonly stepMax: number;
  /** Examples of its life that were used, over all its assignments; the most of any chunk. */
  readonly used: number;
}
