/**
 * An epoch as it is planned under `--feed static`: one range of positions for each rank, and the
 * forms in which the account of it (cursor.ts) is kept.
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
   * chunk went on without, and what was left when the epoch's account was closed.
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
