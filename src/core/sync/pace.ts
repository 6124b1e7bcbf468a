/**
 * What a way to keep pace decides, as the few questions that the machines ask of it: may a worker
 * start a step, what happens to a push, when is a step sealed, where does a joiner come in, what
 * does a global step count, who deals the work. Each way is one object of type `Mode` in a file of
 * its own, listed in modes.ts; no other file knows the ways by name.
 *
 * Decisions come with a sentence of reason that holds the numbers, which logs, status and tests
 * share. Everything here is pure: a pace looks at marks and views, never at values.
 */
import type { OuterOptimizerName } from "../../protocol/local/local-steps.js";
import type { Protocol, RunSpec, StalenessRule } from "../../protocol/run-spec.js";
import type { View, ViewWorker } from "../../protocol/view.js";
import type { BatchPool } from "../work/batch-pool.js";
import type { Cursor } from "../work/cursor.js";
import type { WorkDealer, WorkFloor } from "../work/work-floor.js";

/** A verdict and the sentence, with numbers, that led to it. */
export interface Decision {
  readonly allowed: boolean;
  readonly reason: string;
}

/** What nothing stands against. */
export const granted: Decision = { allowed: true, reason: "" };

/** What is said of sealing where no push is ever held. */
export const neverHeld: Decision = { allowed: false, reason: "pushes are applied on arrival" };

/** A worker's last push to a chunk, and how long its step took from the answer before. */
export interface WorkerPulse {
  readonly pushedMs: number;
  readonly tookMs: number;
}

/** What a pace looks at: one chunk's progress, as far as it is committed. */
export interface ChunkProgress {
  /** Of the chunk. */
  readonly index: number;
  /** The last step sealed, -1 if none; 0 and up only where steps are held and sealed. */
  readonly sealedStep: number;
  /** True when a contribution to the step after the last sealed one is held. */
  readonly holdsAny: boolean;
  /** True when one is held that was made for that step, and did not come too late for another. */
  readonly holdsOnTime: boolean;
  /** Steps that this worker has completed on this chunk. */
  clockOf(worker: ViewWorker): number;
  /** The last push of the worker of a rank; null where it, or how long it took, is not known. */
  pulseOf(rank: number): WorkerPulse | null;
  /** True when a contribution to that step which has examples is held. */
  readonly holdsExamples: boolean;
  /** True when a gradient of the worker is held whole, for the step after the last sealed one. */
  holds(worker: ViewWorker): boolean;
}

/** What a pace knows of time where it decides who is in a step. */
export interface Gathering {
  readonly nowMs: number;
  /** When the contributions that are held came, ascending. */
  readonly heldSince: readonly number[];
  /** When the first of those came that is in time; null where none is. */
  readonly onTimeMs: number | null;
  /** Of recent steps when their contributions came, ascending, from the step before on: ms. */
  readonly recent: readonly (readonly number[])[];
}

/** Whether a step is sealed; where time alone may change that, when to look again. */
export interface SealDecision extends Decision {
  readonly againMs?: number;
}

/** What happens to pushes whose step was sealed without them: they are merged with the next. */
export interface LateRule {
  /** May those that are held be an update by themselves, as nobody takes the open step? */
  maySealAlone(view: View, progress: ChunkProgress, gathering: Gathering): SealDecision;
}

/** A worker's life, and how long its steps take. */
export interface StepTime {
  readonly incarnation: number;
  readonly tookMs: number;
}

/** How far a group has come whose workers step together. */
export interface GroupProgress {
  /** Workers of the view that it has. */
  readonly size: number;
  /** How many of these have a gradient held. */
  readonly here: number;
  /** When the first of those came. */
  readonly sinceMs: number;
  /** How long a step of its slowest worker takes. */
  readonly stepMs: number;
}

/** How workers are put in groups whose gradients become one update, apart from other groups'. */
export interface GroupRule {
  /** Divides workers by how long their steps take: the lives in each group, fastest first. */
  divide(times: readonly StepTime[]): readonly (readonly number[])[];
  /** May what is held of a group, of which some is, be an update? */
  maySeal(progress: GroupProgress, nowMs: number): SealDecision;
}

/** A push that has arrived whole and has not been seen before. */
export interface ArrivedPush {
  readonly step: number;
  readonly examples: number;
  /** Updates of the chunk since the version that the push was computed with. */
  readonly staleness: number;
}

/**
 * What happens to a push. Held: it waits for its step to be sealed. Applied: it becomes an entry of
 * its own, times `scale`. Rejected or dropped: it is marked as seen and not applied, for its
 * staleness or because its step went on without it. Refused: it can't be right, and leaves no mark.
 */
export type Arrival =
  | { readonly kind: "hold" }
  | { readonly kind: "apply"; readonly scale: number; readonly reason: string }
  | { readonly kind: "reject"; readonly reason: string }
  | { readonly kind: "drop"; readonly reason: string }
  | { readonly kind: "refuse"; readonly reason: string };

/** What servers say of their chunks when they acknowledge a view. */
export interface AcknowledgedProgress {
  /** The highest step that any chunk has sealed, -1 if none. */
  readonly sealedStep: number;
  /** No worker that takes part is before this step. */
  readonly clockMin: number;
}

/** The answers of one way to keep pace, its parameters bound. */
export interface Pace {
  /** May a worker, of this rank, have the chunk to start `step` (0 is the first)? */
  mayStart(view: View, progress: ChunkProgress, step: number, rank?: number): Decision;
  /** True where that goes by how long steps take, so that it is measured. */
  readonly isTimed: boolean;
  /** What happens to a push? The scale of one that is applied is an f32 number of at most 1. */
  onPush(view: View, progress: ChunkProgress, push: ArrivedPush): Arrival;
  /**
   * True where `onPush` weighs a push by what its chunk alone has seen, so that chunks would come
   * to different verdicts. Then only the chunk that leads the push is asked, and the worker's other
   * chunks of the step are applied, or not, by what that said. False costs nobody a wait.
   */
  readonly judges: boolean;
  /**
   * True where a step is sealed without all workers of the view, so that who is in it follows from
   * who came first. Then one chunk, the decider, asks `maySeal`; all others are sealed with the
   * contributors that it names. A worker whose push was dropped goes on with the step that is open.
   */
  readonly hasDecider: boolean;
  /**
   * How many batches a worker takes in a step, on weights of its own, before it pushes what they
   * differ by; null where a step is the gradient of one batch.
   */
  readonly localSteps: number | null;
  /**
   * Where a push is merged with the open step when its own was sealed without it, so that nothing
   * is dropped; null where it is dropped. Its worker waits until it counts.
   */
  readonly late: LateRule | null;
  /**
   * Where pushes are held until those of a group of workers are there, and no step is sealed. The
   * decider's primary divides the workers; null where there are no groups.
   */
  readonly groups: GroupRule | null;
  /** Are the contributions held for the open step complete, so that it may be sealed? */
  maySeal(view: View, progress: ChunkProgress, gathering: Gathering): SealDecision;
  /**
   * The step with which a joiner comes in, where what servers acknowledged has passed its own first
   * step; null where that stands. A later one is such that the next round can't find it late.
   */
  laterStart(joiner: ViewWorker, acknowledged: AcknowledgedProgress): number | null;
  /**
   * What a global step is: a step that all workers take, one push, or an update of the pushes that
   * happen to be in it, of which nobody knows in advance how many there are.
   */
  readonly globalStep: "step" | "push" | "update";
  /**
   * True where a worker may need the others' pushes to get out of its step. Then each takes all
   * steps of its plan, without examples where it has none left, and all rest before one step.
   */
  readonly hasBarriers: boolean;
  /**
   * True where everybody stands before the same step whenever no assignment is out: evaluations and
   * checkpoints are of that step, and the clock of an epoch stops for them. Elsewhere each worker
   * evaluates between two steps of its own, and a checkpoint stops nobody.
   */
  readonly meetsAtBoundaries: boolean;
  /** Who deals static ranges. */
  dealRanges(floor: WorkFloor, account: Cursor): WorkDealer;
  /** Who deals the batches of a pool. */
  dealBatches(floor: WorkFloor, account: BatchPool): WorkDealer;
}

/** What a run's user chooses that some mode has a use for. */
export interface PaceSettings {
  /** Steps that a worker may be ahead of the slowest. */
  readonly staleness: number;
  /** What it may be at least, where the bound is dynamic. */
  readonly stalenessMin: number;
  readonly stalenessRule: StalenessRule["rule"];
  readonly stalenessScale: number;
  readonly stalenessFloor: number;
  readonly stalenessMax: number;
  /** A gradient of so many updates ago is thrown away. */
  readonly delayBound: number;
  /** Workers that a step is sealed without. */
  readonly backupWorkers: number;
  /** Contributions with which a step may be sealed. */
  readonly quorumSize: number;
  /** Milliseconds that a step waits for the others then; or by what was seen of them. */
  readonly grace: number | "auto";
  /** Into how many groups workers are divided; or as many as their step times suggest. */
  readonly groups: number | "auto";
  /** Batches that a worker takes between two exchanges. */
  readonly localSteps: number;
  readonly outerOptimizer: OuterOptimizerName;
  readonly outerLr: number;
  readonly outerMomentum: number;
}

/** A way to keep pace: the facts that it states of itself, and its pace. */
export interface Mode {
  /** As it stands in run specs and results. */
  readonly name: string;
  /** Further words that people may write for it. */
  readonly aliases: readonly string[];
  /** What it is, in the few words of a list. */
  readonly summary: string;
  /** The settings that it has a use for. */
  readonly settings: readonly (keyof PaceSettings)[];
  /** The protocol of a run with these settings. */
  protocolOf(settings: PaceSettings): Protocol;
  /** What is wrong with parameters that came from elsewhere; null when nothing is. */
  problem(protocol: Protocol): string | null;
  /** The pace of a protocol of this mode in which nothing is wrong. */
  paceOf(protocol: Protocol): Pace;
}

/**
 * True where a checkpoint is of a consistent cut, as workers meet nowhere: each push is an entry of
 * its own, and so belongs before a cut or behind it.
 */
export function isCutAnywhere({ globalStep, meetsAtBoundaries }: Pace): boolean {
  return globalStep === "push" && !meetsAtBoundaries;
}

/** True where nothing bounds how far others go on while a worker waits. */
export function isUnbounded({ hasBarriers, meetsAtBoundaries }: Pace): boolean {
  return !hasBarriers && !meetsAtBoundaries;
}

/** How many examples a worker takes in a step at most. */
export function examplesOfStep(
  { batchSize }: Pick<RunSpec, "batchSize">,
  { localSteps }: Pick<Pace, "localSteps">,
): number {
  return batchSize * (localSteps ?? 1);
}

/**
 * How many of a view's workers take part in a step: where each counts steps of its own, all of
 * them, whatever step they came in at.
 */
export function partnersAt(
  { workers }: Pick<View, "workers">,
  { globalStep }: Pick<Pace, "globalStep">,
  step: number,
): number {
  if (globalStep !== "step") return workers.length;
  return workers.filter(({ fromStep }) => fromStep <= step).length;
}

/**
 * How many batches the learning rate of a global step belongs to where so many workers take part:
 * an update of some of them has their share of the rate that all of them have.
 */
export function batchesOfGlobalStep({ globalStep }: Pick<Pace, "globalStep">, workers: number) {
  return globalStep === "push" ? 1 : workers;
}
