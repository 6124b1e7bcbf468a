/**
 * What a worker tells of an assignment: when it is done, and again to a coordinator that was
 * started since and may not have heard of it.
 */
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
