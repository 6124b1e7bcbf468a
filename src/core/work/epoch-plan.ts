/**
 * What the account of static ranges (cursor.ts) is made of: an epoch's plan and the shares of its
 * ranks, as they are kept in checkpoints and in a coordinator's record.
 *
 * Invariant: `next` lies between `start` and `limit`, and that not behind `end`.
 */
import type { Assignment } from "../../protocol/messages.js";

/** A rank's share of an epoch: the first position not used, the first step not taken. */
export interface Share {
  readonly rank: number;
  readonly start: number;
  readonly end: number;
  next: number;
  nextStep: number;
  /** The position at which the limit on steps ends it; `end` where it does not. */
  limit: number;
  /**
   * Examples before `next` that were not used, and are not dealt again: those of steps that every
   * chunk went on without or rejected, and what was left when the epoch's account was closed.
   */
  dropped: number;
  /** The assignment out with the worker, if any. */
  assignment: Assignment | null;
}

/** An epoch, planned. */
export interface EpochPlan {
  readonly epoch: number;
  readonly firstStep: number;
  lastStep: number;
  readonly shares: Share[];
}

/** The account in a form that a checkpoint keeps. */
export interface CursorSnapshot {
  readonly plans: readonly EpochPlan[];
  readonly pushesDealt: number;
}

/** All of the account, with the assignments that are out. */
export interface CursorRecord extends CursorSnapshot {
  readonly stand: number;
  readonly boundary: number;
  /** By rank the first step that its present life has not been dealt. */
  readonly steps: readonly (readonly [rank: number, step: number])[];
  /** By rank the epoch of the share of which it last finished an assignment. */
  readonly finished: readonly (readonly [rank: number, epoch: number])[];
  /** By rank how many examples of the assignments that its life has finished were used. */
  readonly used?: readonly (readonly [rank: number, examples: number])[];
}
