/**
 * How a checkpoint is carried out. Where all stand at its barrier (standstill.ts) servers copy
 * their chunks, and what the coordinator keeps of the same moment is written down; then training
 * goes on, and the copies are collected and written beside it. Where the run ends with it, all
 * stand until it is written. Where nobody stops for it, it is of a cut (checkpoint-cut.ts).
 *
 * Invariant: what is written of servers, workers and the coordinator is of one moment, in which
 * nobody pushes and no view is being agreed on, or of one consistent cut.
 */
import { assert } from "../../assert.js";
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { IdSource } from "../../protocol/ids.js";
import { workersKeep } from "../../protocol/local/local-state.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { PhaseRounds } from "../phases/phase-rounds.js";
import type { StepCounter } from "../phases/plan-progress.js";
import type { Pace } from "../sync/pace.js";
import type { BarrierRound } from "../work/barrier-round.js";
import type { EpochRecords } from "../work/epoch-records.js";
import type { Evaluator } from "../work/evaluator.js";
import type { SaveRequest } from "../work/run-setup.js";
import { DueByClock } from "../work/what-is-due.js";
import { CheckpointCut, type CutFloor, type Tally } from "./checkpoint-cut.js";
import type { SaveEvent } from "./coordinator-events.js";
import type { Saves } from "./saves.js";
import type { Standstill } from "./standstill.js";
import type { TrainingPort } from "./training-port.js";
import { lateSaveWords } from "./training-words.js";
import type { ViewRounds } from "./view-rounds.js";

/** What training is to checkpoints. */
export interface CheckpointFloor extends CutFloor {
  readonly spec: RunSpec;
  readonly pace: Pace;
  readonly views: ViewRounds;
  readonly evaluator: Evaluator;
  /** The account of epochs, whose clocks stand still until servers have copied. */
  readonly records: EpochRecords;
  readonly saves: Saves;
  /** Everybody stands before this step. */
  standBefore(step: number): void;
  /** Global steps so far. */
  globalSteps(): number;
  readonly phases: Pick<PhaseRounds, "counter" | "stepsAhead" | "checkpointEvery">;
}

/** So long a checkpoint may wait for the one before without anything being said. */
const patienceMs = 1000;

/** The part of the time between two checkpoints in which one may be written at leisure. */
const leisureShare = 0.25;

/** The checkpoints of one run, as members see them. */
export class CheckpointRounds {
  readonly #floor: CheckpointFloor;
  readonly #still: Standstill;
  readonly #port: TrainingPort;
  readonly #byClock: DueByClock;
  /** When the last one was begun, or training was first looked at. */
  #begunMs: number | null = null;
  #isToldLate = false;
  readonly #ids: IdSource;
  #reached: StepCounter = (step) => step;
  /** The one on its way, until it is written or given up, where nobody stops for it. */
  #cut: CheckpointCut | null = null;
  /** What waits for the one that is being written; null while nothing does. */
  #waiting: { readonly sinceMs: number; readonly isCheckpoint: boolean } | null = null;

  /** @param ids of cuts. */
  constructor(floor: CheckpointFloor, still: Standstill, port: TrainingPort, ids: IdSource) {
    this.#ids = ids;
    this.#floor = floor;
    this.#still = still;
    this.#port = port;
    this.#byClock = new DueByClock(() => floor.phases.checkpointEvery);
  }

  /** True while no work is dealt, as servers are marking their chunks for a cut. */
  get isMarking(): boolean {
    return this.#cut?.isMarking === true;
  }

  /** True while servers are asked for what belongs before a cut. */
  get isCutting(): boolean {
    return this.#cut?.isOpen === true;
  }

  /** One sentence where a cut waits for something; else null. */
  activity(): string | null {
    return this.#cut === null || this.#cut.account !== null ? null : this.#cut.activity;
  }

  /** Has one written if the clock asks for it. */
  look(nowMs: number): void {
    this.#begunMs ??= nowMs;
    if (this.#byClock.isDue(nowMs)) this.want(nowMs);
  }

  /** One is due and finds workers anywhere. */
  want(nowMs: number): void {
    this.hurry(nowMs, true);
    this.#still.want("checkpoint");
  }

  /** One is due, and everybody stands before this step. */
  save(why: "checkpoint" | "final", step: number, nowMs: number): void {
    this.hurry(nowMs, why === "checkpoint");
    this.#still.save(why, step);
  }

  /** Something waits for the one that is written beside training, if one is. */
  hurry(nowMs: number, isCheckpoint = false): void {
    if (!this.#floor.saves.isBeside || this.#waiting !== null) return;
    this.#waiting = { sinceMs: nowMs, isCheckpoint };
    this.#port.hurrySave();
  }

  /** All stand at the barrier: servers are asked, with what is kept beside what they have. */
  write(why: SaveRequest["why"], barrier: BarrierRound, nowMs: number): void {
    const { spec, pace, views, evaluator, saves } = this.#floor;
    const view = views.standing;
    assert(view !== null, "what is written is a view's", { why });
    // While a checkpoint waited, servers may have sealed steps that nobody is left to take.
    const step = pace.meetsAtBoundaries ? Math.max(barrier.step, views.openStep) : barrier.step;
    if (pace.meetsAtBoundaries) this.#floor.standBefore(step);
    if (workersKeep(spec)) {
      for (const text of barrier.warnings()) this.#port.emit({ kind: "warning", text });
    }
    saves.begin(why, barrier, step);
    this.#byClock.tried(nowMs);
    const residuals = barrier.given();
    const version = why === "final" ? evaluator.finalVersion : null;
    const leisureMs = this.#leisureMs(why, nowMs);
    const [snapshot, stepsAhead] = [this.#floor.snapshot(), this.#begin()];
    const about = { view, step, why, snapshot, isCut: false, version, residuals } as const;
    this.#port.save({ ...about, stepsAhead, leisureMs });
  }

  /** One begins, and counts as the present phase does. */
  #begin(): number | null {
    this.#reached = this.#floor.phases.counter();
    return this.#floor.phases.stepsAhead;
  }

  /** Nobody stops for the one that is due. */
  cut(nowMs: number): void {
    const { views, saves } = this.#floor;
    const view = views.standing;
    assert(view !== null, "a cut is through what a view's workers do");
    const step = this.#floor.globalSteps();
    saves.begin("checkpoint", null, step);
    this.#byClock.tried(nowMs);
    this.#cut = new CheckpointCut(this.#ids.next(), view, this.#floor, this.#port);
    const leisureMs = this.#leisureMs("checkpoint", nowMs);
    const [snapshot, stepsAhead] = [this.#floor.snapshot(), this.#begin()];
    const about = { why: "checkpoint", isCut: true, version: null, residuals: [] } as const;
    this.#port.save({ ...about, view, step, snapshot, stepsAhead, leisureMs });
  }

  /** A worker tells what its assignment has come to at a cut. */
  tallied(worker: WorkerIdentity, tally: Tally): void {
    this.#cut?.told(worker, tally);
    this.#giveAccount();
  }

  /** A worker is gone. */
  workerLost(rank: number): void {
    this.#cut?.lost(rank);
    this.#giveAccount();
  }

  #giveAccount(): void {
    const snapshot = this.#cut?.account ?? null;
    if (snapshot === null) return;
    this.#cut = null;
    this.#port.giveAccount(snapshot);
  }

  /** What is lost with a server is what came after the last checkpoint that is whole. */
  #leisureMs(why: SaveRequest["why"], nowMs: number): number {
    const sinceMs = nowMs - (this.#begunMs ?? nowMs);
    this.#begunMs = nowMs;
    return why === "checkpoint" ? sinceMs * leisureShare : 0;
  }

  /** Asks for one anew whose servers have changed. */
  writeAgain(nowMs: number): void {
    const { saves, views } = this.#floor;
    const { due } = saves;
    if (due?.barrier != null && !views.busy) this.write(due.why, due.barrier, nowMs);
  }

  /** A server is gone. */
  serverLost(): void {
    if (this.#floor.saves.abandon()) this.#port.abandonSave();
  }

  /** Servers have copied, or one has ended: what that was for, null where none has. */
  take(event: SaveEvent, nowMs: number): SaveRequest["why"] | null {
    const { saves } = this.#floor;
    if (event.type === "marked") {
      this.#cut?.settle(event.limits);
      return null;
    }
    if (event.type === "copied") {
      if (this.#cut === null) {
        if (saves.copied()) this.#goOn(nowMs);
        return null;
      }
      this.#cut.copied();
      this.#giveAccount();
      return null;
    }
    this.#cut = null;
    const { why, isBeside } = saves;
    if (why === null || saves.isDueAgain(event)) return null;
    this.#tellOfWait(nowMs);
    if (!isBeside) this.#goOn(nowMs);
    const reached = this.#reached(event.step, event.version);
    this.#port.emit(saves.keep(event, why, reached));
    if (saves.isTakenAgain(event)) {
      this.#port.emit({ kind: "info", text: "another checkpoint is taken in its place" });
      this.#still.want("checkpoint");
    }
    return why;
  }

  #goOn(nowMs: number): void {
    this.#floor.records.resume(nowMs);
    this.#still.saved();
  }

  /** A checkpoint that had to wait long for the one before: once, as it will be so again. */
  #tellOfWait(nowMs: number): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null || !waiting.isCheckpoint || this.#isToldLate) return;
    const waitedMs = nowMs - waiting.sinceMs;
    if (waitedMs < patienceMs) return;
    this.#isToldLate = true;
    const text = lateSaveWords(waitedMs, this.#floor.phases.checkpointEvery);
    this.#port.emit({ kind: "warning", text });
  }
}
