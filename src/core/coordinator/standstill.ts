/**
 * When training stands still: everybody is brought to rest (pause.ts), and one version of the whole
 * model can be looked at. An evaluation goes before a checkpoint of the same rest. For a checkpoint
 * all stand at a barrier where workers keep something (barrier-round.ts), servers copy what they
 * have, and they go on; what the run ends with is written first. A checkpoint that can be of a cut
 * stops nobody (checkpoint-cut.ts), unless they rest for something else. An ending lets nobody go
 * on and has nothing evaluated; and while there are fewer workers than there must be, all rest,
 * with nothing to be written. The next phase of a plan begins in a rest, too.
 *
 * Invariant: one thing at a time. What is wanted meanwhile waits, the weightiest of it; a rest for
 * want of workers, or for an evaluation, becomes one for a checkpoint or an ending without anybody
 * being moved. While all rest no step is begun, so what is evaluated is what is saved.
 */
import { pullsDifferences } from "../../protocol/compression.js";
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { IdSource } from "../../protocol/ids.js";
import { workersKeep } from "../../protocol/local/local-state.js";
import type { CoordinatorMessage, MemberMessage } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { isCutAnywhere, type Pace } from "../sync/pace.js";
import { BarrierRound } from "../work/barrier-round.js";
import type { Evaluator } from "../work/evaluator.js";
import { Pause, type PauseLimit, type PauseReason, weightOf } from "../work/pause.js";
import type { SaveRequest } from "../work/run-setup.js";
import type { EvaluationWish } from "../work/work-floor.js";
import type { ViewRounds } from "./view-rounds.js";

/** What training is to the standstill. */
export interface StandstillFloor {
  readonly spec: RunSpec;
  readonly pace: Pace;
  readonly views: ViewRounds;
  readonly evaluator: Evaluator;
  /** `why`: what the checkpoint that is being written is for; null where none is. */
  readonly saves: { readonly finalSaved: boolean; readonly why: SaveRequest["why"] | null };
  /** True while nobody waits for work that others depend on. */
  readonly pausable: boolean;
  /** The step before which everybody stands, once they rest after `limit` (-1: nobody is there). */
  restingStep(limit: number): number;
  toWorker(rank: number, message: CoordinatorMessage): void;
  /** Has the model evaluated as it stands, by workers that have come in by this step. */
  evaluateHere(wish: EvaluationWish, reachedStep: number): void;
  /** Saving begins: epochs' clocks stand still. */
  halt(): void;
  /**
   * Enters the next phase of the plan where one is due, as everybody rests after `limit`: true
   * where a view is to say so first.
   */
  enterPhase(limit: number): boolean;
  /** Begins a checkpoint of a cut, for which nobody stops. */
  cut(): void;
  /** Writes everything; all stand at the barrier. */
  write(why: SaveRequest["why"], barrier: BarrierRound): void;
}

/** The standstills of one run. */
export class Standstill {
  readonly #floor: StandstillFloor;
  readonly #ids: IdSource;
  #wanted: PauseReason | null = null;
  #evaluation: EvaluationWish | null = null;
  #pause: Pause | null = null;
  #saving: SaveRequest["why"] | null = null;
  /** True while there are fewer workers than there must be. */
  #isShort = false;
  /** What is saved once all stand at it; null from then on. */
  #barrier: BarrierRound | null = null;

  /** @param ids of pauses and of barriers. */
  constructor(floor: StandstillFloor, ids: IdSource) {
    this.#floor = floor;
    this.#ids = ids;
  }

  /** True from the barrier on until servers have copied, or the last checkpoint is written. */
  get isSaving(): boolean {
    return this.#saving !== null;
  }

  /** The last step of those who come to rest, -1 while it is not known; null where nobody does. */
  get limit(): number | null {
    return this.#pause?.limit ?? null;
  }

  /** One sentence where training stands still, or is about to; else null. */
  activity(): string | null {
    if (this.#barrier?.complete === false) {
      return `a checkpoint waits for worker ${this.#barrier.missing().join(", ")}`;
    }
    if (this.#barrier !== null) return "a checkpoint waits until the one before is written";
    if (this.#saving !== null) return "writing a checkpoint";
    if (this.#pause === null) return null;
    if (this.#pause.reason !== "shortage") return "bringing workers to rest";
    return `waiting for workers: at least ${this.#floor.spec.workersMin} must take part`;
  }

  /** Has everybody brought to rest, as soon as may be. */
  want(reason: PauseReason): void {
    this.#isShort ||= reason === "shortage";
    if (this.#wanted === null || weightOf(reason) > weightOf(this.#wanted)) this.#wanted = reason;
  }

  /** Has the model evaluated when everybody rests; a later wish, or none, takes its place. */
  wantEvaluation(wish: EvaluationWish | null): void {
    this.#evaluation = wish;
  }

  /** There are enough workers: who rests for want of them goes on, after an evaluation if any. */
  suffice(): void {
    this.#isShort = false;
    if (this.#wanted === "shortage") this.#wanted = null;
    if (this.#pause?.reason !== "shortage") return;
    if (this.#floor.evaluator.busy) this.#pause.reason = "evaluation";
    else this.#lift();
  }

  /** Begins what is wanted, and does it once everybody rests; true where they go on after that. */
  advance(): boolean {
    if (this.#saving !== null) return false;
    this.#beginWanted();
    const pause = this.#pause;
    if (pause === null || !pause.quiet || this.#floor.views.busy) return false;
    if (this.#isEvaluating(pause)) return false;
    switch (pause.reason) {
      case "switch":
        return !this.#floor.enterPhase(pause.limit) && this.#goOn();
      case "evaluation":
        return this.#goOn();
      case "shortage":
        return false;
      default: {
        const { pace, views } = this.#floor;
        const step = this.#floor.restingStep(pause.limit);
        this.save(pause.reason, pace.meetsAtBoundaries ? Math.max(step, views.openStep) : step);
        return false;
      }
    }
  }

  #beginWanted(): void {
    const { views, pace, saves } = this.#floor;
    // Nothing is left to be kept that finished work has not had written.
    if (saves.finalSaved && this.#wanted === "checkpoint") this.#wanted = null;
    const ranks = views.workers().map(({ rank }) => rank);
    const isEvaluation = this.#evaluation !== null && ranks.length > 0;
    // Nobody is held up for one that has to wait for the one before.
    const isLater = this.#wanted === "checkpoint" && saves.why !== null;
    const wanted = (isLater ? null : this.#wanted) ?? (isEvaluation ? "evaluation" : null);
    if (wanted === null) return;
    if (this.#pause !== null) {
      const { reason } = this.#pause;
      if (isBrief(reason) && weightOf(wanted) > weightOf(reason)) this.#pause.reason = wanted;
      if (this.#pause.reason === this.#wanted) this.#wanted = null;
      return;
    }
    // Nobody is held up where nobody is left.
    if (ranks.length === 0 ? views.busy : !this.#floor.pausable) return;
    if (wanted === "checkpoint" && this.#evaluation === null && this.#stopsNobody) {
      this.#wanted = null;
      this.#floor.cut();
      return;
    }
    const pause = this.#ids.next();
    this.#pause = new Pause(pause, wanted, pace.hasBarriers, views.workers());
    this.#wanted = null;
    for (const rank of ranks) this.#floor.toWorker(rank, { type: "pause", pause });
  }

  /** What workers keep for themselves can be had at rest only. */
  get #stopsNobody(): boolean {
    const { spec, pace, views } = this.#floor;
    const { compression } = spec;
    const isKept = workersKeep(spec) || pullsDifferences(compression);
    return !isKept && isCutAnywhere(pace) && views.workers().length > 0;
  }

  /** Begins the evaluation that is wished for; true while one is under way. */
  #isEvaluating({ reason, limit }: Pause): boolean {
    const { evaluator, pace, views } = this.#floor;
    if (views.workers().length === 0) {
      // The next worker may find another version: the evaluation starts again.
      if (!pace.meetsAtBoundaries) this.#evaluation ??= evaluator.abandon();
      return false;
    }
    const wish = this.#evaluation;
    if (!evaluator.busy && wish !== null && !isEnding(reason)) {
      this.#evaluation = null;
      this.#floor.evaluateHere(wish, pace.hasBarriers ? limit + 1 : Number.POSITIVE_INFINITY);
    }
    return evaluator.busy;
  }

  /** Has workers stand at the barrier where they keep something, then everything written. */
  save(why: SaveRequest["why"], step: number): void {
    const { spec, views } = this.#floor;
    if (views.standing === null) return;
    const { compression } = spec;
    const isAlone = !workersKeep(spec) && !pullsDifferences(compression);
    this.#saving = why;
    this.#floor.halt();
    const barrier = this.#ids.next();
    this.#barrier = new BarrierRound(barrier, step, isAlone ? [] : views.workers());
    for (const rank of this.#barrier.missing()) {
      this.#floor.toWorker(rank, { type: "barrier", barrier });
    }
    this.writeAtBarrier();
  }

  /**
   * Writes as soon as all stand at the barrier, no view is being agreed on and the checkpoint
   * before is written.
   */
  writeAtBarrier(): void {
    const barrier = this.#barrier;
    const { views, saves } = this.#floor;
    if (barrier?.complete !== true || views.busy || this.#saving === null) return;
    if (saves.why !== null) return;
    this.#barrier = null;
    this.#floor.write(this.#saving, barrier);
  }

  /** What all stood for is done, or can't be: why they did, null where they did not. */
  saved(): SaveRequest["why"] | null {
    const why = this.#saving;
    this.#saving = null;
    if (why !== null && !isEnding(why)) this.#goOn();
    return why;
  }

  /** What all rested for is done; true unless they are too few to go on, and rest for that. */
  #goOn(): boolean {
    if (this.#isShort && this.#pause !== null) {
      this.#pause.reason = "shortage";
      return false;
    }
    this.#lift();
    return true;
  }

  #lift(): void {
    const pause = this.#pause?.id;
    this.#pause = null;
    if (pause === undefined) return;
    for (const { rank } of this.#floor.views.workers()) {
      this.#floor.toWorker(rank, { type: "resume", pause });
    }
  }

  /** A worker says in which step it is. */
  answered(rank: number, { pause, step }: { pause: number; step: number }): void {
    if (this.#pause?.id === pause) this.#settle(this.#pause.answered(rank, step));
  }

  /** A worker stands before this step and gets no more work: it rests there. */
  endsBefore(rank: number, step: number): void {
    this.#settle(this.#pause?.shortened(rank, step - 1) ?? []);
  }

  /** A worker rests. */
  paused(rank: number, { pause }: MemberMessage & { readonly type: "paused" }): void {
    if (this.#pause?.id === pause) this.#pause.rested(rank);
  }

  /** A worker stands at the barrier. */
  reached(
    worker: WorkerIdentity,
    message: MemberMessage & { readonly type: "barrierReached" },
  ): void {
    if (this.#barrier?.id === message.barrier) this.#barrier.taken(worker, message);
  }

  /** A worker is gone. */
  lost(rank: number): void {
    this.#barrier?.lost(rank);
    this.#settle(this.#pause?.lost(rank) ?? []);
  }

  #settle(limits: readonly PauseLimit[]): void {
    const pause = this.#pause?.id;
    if (pause === undefined) return;
    for (const { rank, step } of limits) {
      this.#floor.toWorker(rank, { type: "pauseAt", pause, step });
    }
  }

  /** True while this life of a worker may give residuals for this barrier. */
  awaitsResiduals(rank: number, incarnation: number, barrier: number): boolean {
    return this.#barrier?.id === barrier && this.#barrier.awaits(rank, incarnation);
  }
}

/** True of a rest in which nothing is written, and that may become one in which something is. */
function isBrief(reason: PauseReason): boolean {
  return weightOf(reason) < weightOf("checkpoint");
}

function isEnding(reason: PauseReason | SaveRequest["why"]): boolean {
  return reason === "interrupt" || reason === "ending";
}
