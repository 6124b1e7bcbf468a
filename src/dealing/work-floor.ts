/**
 * What those who deal the work may look at and do: the account of the work, the views, the
 * evaluations, and the few verbs of training. Two of them deal: work-in-step.ts where everybody
 * keeps one step (BSP), and work-at-will.ts where nobody waits at an epoch's end (SSP, ASP).
 */
import { unreachable } from "../assert.js";
import type { Cadence, RunSpec } from "../contract/run-spec.js";
import type { ViewRounds } from "../core/view-rounds.js";
import type { Cursor, Cut } from "./cursor.js";
import type { Evaluator } from "./evaluator.js";

/** The floor on which work is dealt. */
export interface WorkFloor {
  readonly spec: RunSpec;
  readonly cursor: Cursor;
  readonly views: ViewRounds;
  readonly evaluator: Evaluator;
  /** Ready to take part, by rank: the incarnation. */
  readonly ready: ReadonlyMap<number, number>;
  /** Ranks in the view to come, ascending. */
  activeRanks(): number[];
  /** Steps, or pushes, that every chunk has applied. */
  globalSteps(): number;
  /** The step of the last checkpoint tried; null before the first. */
  readonly savedStep: number | null;
  readonly finalSaved: boolean;
  cut(ranks: readonly number[]): Cut;
  /** Gives a rank its next piece of a cut, ending at this step at the latest, if it has any. */
  deal(cut: Cut, rank: number, untilStep: number): void;
  /** Closes an epoch's account; true the first time. */
  recordEpoch(cut: Cut): boolean;
  /** Has the model evaluated by workers that get to see it before this step. */
  evaluate(about: { epoch: number; step: number; final: boolean }, reachedStep: number): void;
  save(why: "checkpoint" | "final", step: number): void;
  /** Brings everybody to rest for a checkpoint. */
  pauseForCheckpoint(): void;
  finish(): void;
}

/** A way of dealing work. */
export interface WorkDealer {
  /**
   * Does whatever is due. In a pause only those are dealt work who need it to get past the pause's
   * limit, -1 while that is not known; null where there is no pause.
   */
  advance(pauseLimit: number | null): void;
  /** True while everybody may be brought to rest: nobody waits for work that others depend on. */
  readonly pausable: boolean;
  /** The step before which everybody stands, once they rest after `limit` (-1: nobody is there). */
  restingStep(limit: number): number;
}

/**
 * Is something due at this step, or at the end of the epoch with this number (from 1; null inside
 * an epoch)?
 */
export function isDue(cadence: Cadence | null, step: number, epochNumber: number | null): boolean {
  if (cadence === null) return false;
  switch (cadence.unit) {
    case "step":
      return step >= 0 && step % cadence.count === 0;
    case "epoch":
      return epochNumber !== null && epochNumber % cadence.count === 0;
    default:
      return unreachable(cadence.unit);
  }
}
