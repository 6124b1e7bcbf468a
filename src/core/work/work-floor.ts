/**
 * What those who deal the work stand on. Each way of dealing has an account, which knows what was
 * dealt and used, and a dealer, which says who gets what and when. The run's feed chooses the
 * account, its pace the dealer. Static ranges are accounted for by cursor.ts and dealt by
 * work-in-step.ts or work-at-will.ts; a pool of batches by batch-pool.ts, and work-in-rounds.ts or
 * work-first-come.ts.
 *
 * Training (coordinator/training.ts) is the floor: it tells the account what workers and servers
 * say, and does what the dealer asks for.
 */
import type { CutLimit } from "../../protocol/cut.js";
import type { Assignment, Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { ViewRounds } from "../coordinator/view-rounds.js";
import type { PhaseRounds } from "../phases/phase-rounds.js";
import type { Pace } from "../sync/pace.js";
import type { PoolRecord, PoolSnapshot } from "./batch-pool.js";
import type { CursorRecord, CursorSnapshot } from "./epoch-plan.js";
import type { Evaluator } from "./evaluator.js";

/** The account of the work in a form that a checkpoint keeps. */
export type WorkSnapshot = CursorSnapshot | PoolSnapshot;

/** By rank how far a worker has come at a cut. */
export type CutLimits = ReadonlyMap<number, Pick<CutLimit, "step" | "usedStep" | "used">>;
/** All of the account: what a coordinator that starts again goes on with, amid assignments. */
export type WorkRecord = CursorRecord | PoolRecord;

/** An assignment whose examples a worker would not compute with. */
export interface RefusedAssignment {
  readonly epoch: number;
  readonly range: Range;
  /** How often these positions have been refused, this time included. */
  readonly refusals: number;
}

/** What an assignment that is out comes to at a cut. */
export interface CutAssignment {
  readonly rank: number;
  readonly assignment: number;
  readonly epoch: number;
  /** Examples that it has taken by then. */
  readonly examples: number;
  /** Of those, the ones of steps that servers rejected, or went on without. */
  readonly inVain: number;
  /** Notes in the account of the cut that so many of them were used in vain. */
  drop(examples: number): void;
}

/** What is known of the work, under any dealer. */
export interface WorkAccount {
  /** The latest epoch begun, counted from 0; 0 before the first. */
  readonly epoch: number;
  /** The step with which this rank takes part when training begins, or begins again. */
  firstStepOf(rank: number): number;
  /** A worker's life begins with this step. */
  begin(rank: number, fromStep: number): void;
  /**
   * A worker has finished its assignment, but for the last `skipped` positions if it was brought to
   * rest, and in vain for `dropped` examples, which were rejected, or which every chunk went on
   * without; returns the epoch,
   * or null if the assignment is not (or no longer) its.
   */
  finish(rank: number, assignmentId: number, skipped: number, dropped: number): number | null;
  /**
   * The worker that has just finished its assignment rests before this step, maybe a sooner one.
   */
  restsBefore(rank: number, nextStep: number): void;
  /** With what it has finished, a worker stands before this step, maybe past its assignment. */
  comesTo(rank: number, step: number): void;
  /** A worker will not compute its assignment; null if that is not (or no longer) its. */
  refuse(rank: number, assignmentId: number): RefusedAssignment | null;
  /**
   * A worker was lost after this step (-1: none), and its life has used so many examples, by the
   * servers' account. Returns how many examples of the assignment out with it were used; null if
   * none was out.
   */
  lose(rank: number, lastStep: number, used: number): { epoch: number; examples: number } | null;
  /** Everybody stands before this step. */
  standBefore(step: number): void;
  /**
   * Nobody has an assignment: from here on all keep this pace, and stand before this step. By rank
   * the first step that there is work for, which is later where others have an epoch to finish.
   */
  keepPace(pace: Pace, step: number): (rank: number) => number;
  /** Where all keep one step: nobody takes this one, or a later one, before it is dealt. */
  readonly reach: number;
  /** True where a limit on steps ends an epoch before all of it is dealt. */
  isCut(epoch: number): boolean;
  /** The assignment that is with a rank; null where none is. */
  assignmentOut(rank: number): Assignment | null;
  snapshot(): WorkSnapshot;
  /**
   * The account as a cut has it: of the assignments that are out, workers have taken the steps up
   * to their rank's limit, and none where there is no limit.
   */
  snapshotAt(limits: CutLimits): { readonly work: WorkSnapshot; readonly out: CutAssignment[] };
  /** All of it. */
  record(): WorkRecord;
}

/** An evaluation to be carried out; where a global step is a push, its step is what workers saw. */
export interface EvaluationWish {
  readonly epoch: number;
  readonly step: number;
  readonly final: boolean;
}

/** The floor on which work is dealt. */
export interface WorkFloor {
  readonly spec: RunSpec;
  /** How workers keep pace; it names the dealer. */
  readonly pace: Pace;
  readonly views: ViewRounds;
  readonly evaluator: Evaluator;
  /** Ready to take part, by rank: the incarnation. */
  readonly ready: ReadonlyMap<number, number>;
  /** Ranks in the view to come, ascending. */
  activeRanks(): number[];
  /** Steps, or pushes, that every chunk has applied. */
  globalSteps(): number;
  /** The step of the last checkpoint that was tried, and whether that of finished work was. */
  readonly saves: { readonly savedStep: number | null; readonly finalSaved: boolean };
  /** An epoch's first assignment is about to be dealt. */
  openEpoch(epoch: number): void;
  /** Sends a rank its assignment; `leftBy` is the rank that left these examples, if one did. */
  give(rank: number, assignment: Assignment, leftBy: number | null): void;
  /** In a pause: no work is left for a worker that stands before this step, so it rests there. */
  letRest(rank: number, step: number): void;
  /** Closes an epoch's account, with this many examples that nobody used; true the first time. */
  recordEpoch(epoch: number, skipped: number): boolean;
  /**
   * Has the model evaluated by workers that have come in by this step: now, where everybody stands
   * still, else in the next quiet moment.
   */
  evaluate(wish: EvaluationWish, reachedStep: number): void;
  save(why: "checkpoint" | "final", step: number): void;
  /** Brings everybody to rest for a checkpoint. */
  pauseForCheckpoint(): void;
  /** The phases of the run's plan. */
  readonly phases: Pick<PhaseRounds, "endsPhase" | "stepsLeft" | "checkpointEvery">;
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
