/**
 * The part of the coordinator that runs from "all members are ready" to "nothing is left to do": it
 * makes the views, has the work dealt, evaluated and saved, and lets workers go and come.
 *
 * The idea: work is dealt in assignments, and everything that needs a quiet moment happens between
 * assignments or, where workers have no common boundary, in a pause (standstill.ts). How work is
 * dealt depends on feed and pace: see work-floor.ts.
 *
 * Invariant: what is saved is a state in which no push is outstanding and no view is being agreed
 * on, and workers that keep state of their own stand at its barrier (barrier-round.ts).
 */

import type { WorkerIdentity } from "../../protocol/identity.js";
import { IdSource, shownId } from "../../protocol/ids.js";
import type { Assignment, CoordinatorMessage, MemberMessage } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { View } from "../../protocol/view.js";
import type { Member } from "../members/roster.js";
import { PhaseRounds } from "../phases/phase-rounds.js";
import { PlanProgress, type StepCounter } from "../phases/plan-progress.js";
import type { Pace } from "../sync/pace.js";
import type { BarrierRound } from "../work/barrier-round.js";
import type { EpochRecords } from "../work/epoch-records.js";
import { Evaluator } from "../work/evaluator.js";
import { RunAccount } from "../work/run-account.js";
import type { RunSetup, SaveRequest, TrainingSnapshot } from "../work/run-setup.js";
import type { EvaluationWish, WorkAccount, WorkDealer, WorkFloor } from "../work/work-floor.js";
import { type CheckpointFloor, CheckpointRounds } from "./checkpoint-rounds.js";
import { wayOfDealing } from "./choices.js";
import type { SaveEvent } from "./coordinator-events.js";
import type { CoordinatorRecord } from "./coordinator-record.js";
import { EvaluationRounds } from "./evaluation-rounds.js";
import { Gathering } from "./gathering.js";
import type { ClosedRun, Ending } from "./run-ending.js";
import { RunServers } from "./run-servers.js";
import { Saves } from "./saves.js";
import { Standstill, type StandstillFloor } from "./standstill.js";
import type { TrainingMembers, TrainingPort } from "./training-port.js";
import { dealtAgain, headCount, refusalOf } from "./training-words.js";
import type { RoundOutcome, ViewRounds } from "./view-rounds.js";

/** The machine's part for one run. */
export class Training implements WorkFloor, StandstillFloor, CheckpointFloor {
  readonly spec: RunSpec;
  readonly views: ViewRounds;
  readonly evaluator: Evaluator;
  /** Workers that are ready, in a view or not. */
  readonly joiners: Gathering;
  readonly ready: ReadonlyMap<number, number>;
  readonly saves: Saves;
  readonly #port: TrainingPort;
  readonly #account: RunAccount;
  /** Who deals the work in the present phase. */
  #dealer: WorkDealer;
  readonly #deal: () => WorkDealer;
  readonly #plan: PlanProgress;
  readonly phases: PhaseRounds;
  readonly servers: RunServers;
  readonly #term: number;
  readonly #still: Standstill;
  readonly #rounds: EvaluationRounds;
  readonly #checkpoints: CheckpointRounds;
  #stage: "placing" | "loading" | "training" | "finished" = "placing";
  /** How it is to end once everything is written; null while nothing ends it. */
  #closing: Ending | null = null;
  #closed: ClosedRun | null = null;
  #nowMs = 0;

  /** From a start or a checkpoint, or from a record, amid the work. */
  constructor(setup: RunSetup, members: TrainingMembers, port: TrainingPort) {
    const { term, servers, workers, record = null } = members;
    const { spec, resume } = setup;
    this.spec = spec;
    this.#plan = new PlanProgress(spec, resume?.plan);
    this.joiners = new Gathering(spec.workersMax);
    this.ready = this.joiners.ready;
    [this.#port, this.#term] = [port, term];
    this.saves = new Saves(resume === null ? null : (setup.resumedStep ?? 0));
    this.#still = new Standstill(this, new IdSource(term));
    this.#checkpoints = new CheckpointRounds(this, this.#still, port, new IdSource(term));
    const stand = record?.stand ?? null;
    const { account: work, deal } = wayOfDealing(this, setup, term, stand?.work);
    this.#account = new RunAccount(work, resume);
    [this.#deal, this.#dealer] = [deal, deal()];
    const stepOf: StepCounter = (...told) => this.#plan.counter()(...told);
    const records = resume?.evaluations ?? [];
    this.evaluator = new Evaluator(spec.testExamples, records, new IdSource(term), stepOf);
    this.#rounds = new EvaluationRounds(this, (event) => port.emit(event));
    this.servers = new RunServers(setup, term, servers, this.#plan.phase, record);
    this.views = this.servers.views;
    const { evaluator, saves, views } = this;
    const ground = { spec, port, evaluator, saves, views, account: this.#account };
    this.phases = new PhaseRounds({ ...ground, still: this.#still }, this.#plan);
    for (const { rank, incarnation } of workers) {
      this.joiners.begin({ rank, incarnation });
      const fromStep = work.firstStepOf(rank);
      if (record === null) this.views.admit({ rank, incarnation, fromStep });
    }
    if (stand === null) return;
    this.saves.restore(stand.saves);
    if (stand.hasFinal) this.evaluator.ended();
    if (stand.saves.isDue) this.#still.want("checkpoint");
  }

  /** How workers keep pace in the present phase. */
  get pace(): Pace {
    return this.#plan.pace;
  }

  /** True when every assignment is done, evaluated and saved. */
  get finished(): boolean {
    return this.#stage === "finished";
  }

  /** True once it is to end for something other than that, when everything is written. */
  get isClosing(): boolean {
    return this.#closing !== null;
  }

  /** Not null when something other than the end of the work ended it. */
  get closed(): ClosedRun | null {
    return this.#closed;
  }

  /** True from the first view given to workers on. */
  get running(): boolean {
    return this.#stage === "training";
  }

  /** The epoch being worked on, counted from 0. */
  get epoch(): number {
    return this.#account.work.epoch;
  }

  /** One sentence: what training waits for. */
  activity(): string {
    if (this.#stage !== "training") return this.#stage;
    const still = this.#still.activity();
    if (still !== null && (this.#still.isSaving || !this.evaluator.busy)) return still;
    if (this.evaluator.busy) return this.evaluator.activity();
    if (this.views.busy) return "waiting for servers to acknowledge a view";
    return this.#checkpoints.activity() ?? `epoch ${this.epoch + 1} of ${this.spec.epochs}`;
  }

  /** The account of epochs. */
  get records(): EpochRecords {
    return this.#account.epochs;
  }

  /** What was dealt, and used. */
  get account(): WorkAccount {
    return this.#account.work;
  }

  /** Worker steps that only some chunks have applied. */
  get tornSteps(): number {
    return this.#account.tornSteps;
  }

  globalSteps(): number {
    return this.phases.globalSteps();
  }

  /** One after the other: what a cut is made of belongs to one phase. */
  enterPhase(limit: number): boolean {
    if (this.#checkpoints.isCutting) return true;
    const isEntered = this.phases.enter(limit);
    if (isEntered) this.#dealer = this.#deal();
    return isEntered;
  }

  activeRanks(): number[] {
    return this.views.workers().map((worker) => worker.rank);
  }

  /** True when this worker is in the view to come. */
  isActive(rank: number, incarnation: number): boolean {
    return this.views.worker(rank)?.incarnation === incarnation;
  }

  /** The servers have their chunks. */
  onLoaded(nowMs: number): void {
    if (this.#stage !== "loading") return;
    this.#stage = "training";
    this.#account.epochs.begin(nowMs);
    const view = this.views.standing;
    if (view !== null) this.#giveView(view);
    this.#port.emit({ kind: "started", text: `training starts with ${headCount(this)}` });
    this.advance(nowMs);
  }

  /** Training goes on in place; who is in the view and gone for certain is lost. */
  goOn(gone: readonly WorkerIdentity[], nowMs: number): void {
    this.#stage = "training";
    this.#account.epochs.begin(nowMs);
    for (const worker of gone) this.onWorkerLost(worker, nowMs);
    this.advance(nowMs);
  }

  /** All that is not begun anew by a coordinator that starts again; null before the first view. */
  record(nowMs: number): Pick<CoordinatorRecord, "view" | "progress" | "stand"> | null {
    this.#nowMs = nowMs;
    const { view, ...told } = this.views.record();
    if (view === null) return null;
    const isLoaded = this.#stage === "training" || this.#stage === "finished";
    const [work, saves] = [this.#account.work.record(), this.saves.record()];
    const stand = { isLoaded, ...told, work, saves, hasFinal: this.evaluator.hasFinal };
    return { view, progress: this.snapshot(), stand };
  }

  /** Servers have copied what a checkpoint is made of, or it is written, or was not. */
  onSaved(event: SaveEvent, nowMs: number): void {
    const why = this.#checkpoints.take(event, nowMs);
    const isEnd = why === "ending" || why === "interrupt";
    if (isEnd && this.#closing !== null && event.type === "saved") {
      this.#stage = "finished";
      this.#closed = { ending: this.#closing, step: event.step, problem: event.problem };
    }
    this.advance(nowMs);
  }

  /** A worker has prepared itself after training began. */
  onReady(member: Member, nowMs: number): void {
    this.joiners.join(member, nowMs);
    this.advance(nowMs);
  }

  /** A worker is gone; true if it was counted on. */
  onWorkerLost({ rank, incarnation }: WorkerIdentity, nowMs: number): boolean {
    this.joiners.leave({ rank, incarnation });
    if (!this.isActive(rank, incarnation)) return false;
    this.#forget(rank);
    this.advance(nowMs);
    return true;
  }

  #forget(rank: number): void {
    this.views.remove(rank);
    for (const one of [this.evaluator, this.#still]) one.lost(rank);
    this.#checkpoints.workerLost(rank);
  }

  /** True where every chunk has an in-sync replica without this server. */
  canSpare(member: Member): boolean {
    return this.#stage === "training" && this.servers.canSpare(member);
  }

  /** A server is gone; true if every chunk has an in-sync replica left, or none is needed more. */
  onServerLost(member: Member, nowMs: number): boolean {
    if (this.finished || !this.canSpare(member)) return this.finished;
    if (this.servers.lose(member)) this.#checkpoints.serverLost();
    this.#port.serverGone(member);
    this.advance(nowMs);
    return true;
  }

  /** A server has prepared itself after training began. */
  onServerReady(member: Member, nowMs: number): void {
    this.servers.join(member);
    this.advance(nowMs);
  }

  /** Brings the workers to rest, saves, and finishes in this way; the first ending stands. */
  close(ending: Ending, nowMs: number): void {
    this.#closing ??= ending;
    this.#checkpoints.hurry(nowMs);
    this.#still.want(ending.outcome === "interrupted" ? "interrupt" : "ending");
    this.advance(nowMs);
  }

  /** Counts on no worker any more: nobody is to be waited for. */
  releaseAll(nowMs: number): void {
    for (const { rank } of this.views.workers()) this.#forget(rank);
    this.joiners.clear();
    this.advance(nowMs);
  }

  /** A message that concerns the run. */
  onMessage(member: Member, message: MemberMessage, nowMs: number): void {
    this.#nowMs = nowMs;
    const { rank } = member;
    // A server and a worker may have the same number.
    const isOfServer = message.type === "viewAck" || message.type === "caughtUp";
    if (isOfServer !== (member.role === "server")) return;
    switch (message.type) {
      case "caughtUp":
        this.servers.caughtUp(message);
        break;
      case "viewAck": {
        const outcome = this.views.answer(rank, message.view, message);
        if (outcome !== null) this.#onRound(outcome);
        break;
      }
      case "assignmentDone":
        this.#account.done(rank, message);
        break;
      case "assignmentRefused":
        this.#onRefused(rank, message.assignment, message.reason);
        break;
      case "returned":
        if (this.isActive(rank, member.incarnation)) {
          this.#account.returned(rank, message, this.#term);
        }
        break;
      case "evaluated":
        this.evaluator.report(message);
        break;
      case "pausing":
        this.#still.answered(rank, message);
        break;
      case "paused": {
        // It rests there too where the pause was lifted before it said so.
        this.#still.paused(rank, message);
        if (message.position >= 0) this.#account.work.restsBefore(rank, message.step);
        break;
      }
      case "tallied":
        this.#checkpoints.tallied(member, message);
        break;
      case "barrierReached":
        this.#still.reached(member, message);
        break;
      default:
        break;
    }
    this.advance(nowMs);
  }

  /** Does whatever is due. */
  advance(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#beginRound();
    this.#still.writeAtBarrier();
    this.#checkpoints.writeAgain(nowMs);
    if (this.#stage !== "training") return;
    this.joiners.open(nowMs);
    // Below the minimum nobody trains on.
    if (this.joiners.count < this.spec.workersMin) this.#still.want("shortage");
    else this.#still.suffice();
    if (this.#still.isSaving || this.#checkpoints.isMarking) return;
    this.#evaluateOn();
    if (this.finished) return;
    this.#checkpoints.look(nowMs);
    this.phases.giveLost(this);
    if (!this.pace.meetsAtBoundaries) this.phases.endsPhase();
    this.#dealer.advance(this.#still.limit);
    if (this.running && this.#still.advance()) this.#dealer.advance(null);
    // Copies and moves take their next step once all else has had its turn in a view that stands.
    const isSaving = this.#still.isSaving || this.#checkpoints.isCutting;
    const stand = { isSaving, isBeside: this.saves.isBeside };
    if (this.running) this.servers.attend(this.#port, stand, nowMs);
    this.#beginRound();
  }

  #beginRound(): void {
    if (this.#stage === "finished") return;
    const view = this.views.begin();
    if (view === null) return;
    const workers = view.workers.map((worker) => worker.rank);
    const servers = view.servers.map((server) => server.index);
    const text = `view ${shownId(view.number)}: ${headCount(this)}`;
    this.#port.emit({ kind: "view", number: view.number, workers, servers, text });
    for (const server of view.servers) this.#port.toServer(server.index, { type: "view", view });
  }

  #onRound(outcome: RoundOutcome): void {
    this.#account.departed(outcome.departed);
    const view = this.views.standing;
    if (!outcome.stands || view === null) return;
    this.phases.stands(outcome.version);
    for (const rank of outcome.joined) {
      const fromStep = this.views.worker(rank)?.fromStep ?? 0;
      this.#account.work.begin(rank, fromStep);
      if (this.#stage === "training") {
        this.#port.emit({ kind: "info", text: `worker-${rank} takes part from step ${fromStep}` });
      }
    }
    if (this.#stage === "placing") {
      this.#stage = "loading";
      this.#port.load(view);
      return;
    }
    this.#giveView(view);
  }

  /** By now a rank may have a process that is not the one in the view. */
  #giveView(view: View): void {
    for (const { rank, incarnation } of view.workers) {
      if (this.isActive(rank, incarnation)) this.toWorker(rank, { type: "view", view });
    }
  }

  #onRefused(rank: number, assignmentId: number, reason: string): void {
    const refused = this.#account.work.refuse(rank, assignmentId);
    if (refused === null) return;
    const { text, isLast } = refusalOf(rank, refused, reason);
    if (isLast) this.close({ outcome: "failed", code: "data", reason: text }, this.#nowMs);
    else this.#port.emit({ kind: "warning", text });
  }

  letRest(rank: number, step: number): void {
    this.#still.endsBefore(rank, step);
  }

  openEpoch(epoch: number): void {
    this.#account.epochs.openEpoch(epoch, this.#nowMs);
  }

  give(rank: number, assignment: Assignment, leftBy: number | null): void {
    this.toWorker(rank, { type: "work", assignment });
    if (leftBy === null) return;
    this.#port.emit({ kind: "info", text: dealtAgain(rank, leftBy, assignment) });
  }

  evaluate(wish: EvaluationWish, reachedStep: number): void {
    const isHere = this.pace.meetsAtBoundaries || wish.final;
    // The final one takes the place of whatever else was due.
    this.#still.wantEvaluation(isHere ? null : wish);
    if (isHere) this.evaluateHere(wish, reachedStep);
  }

  evaluateHere(wish: EvaluationWish, reachedStep: number): void {
    this.#rounds.begin(wish, reachedStep, this.#nowMs);
  }

  /** Where workers see different models, none of them is sound: nothing is written any more. */
  #evaluateOn(): void {
    const reason = this.#rounds.advance(this.#nowMs);
    if (reason === null) return;
    this.#stage = "finished";
    const ending: Ending = { outcome: "failed", code: "protocol", reason };
    this.#closed = { ending, step: this.saves.keptStep ?? 0, problem: null };
  }

  recordEpoch(epoch: number, skipped: number): boolean {
    const isCut = this.#account.work.isCut(epoch);
    const record = this.#account.epochs.closeEpoch(epoch, skipped, this.#nowMs, isCut);
    if (record === null) return false;
    const text = `Epoch ${epoch + 1}/${this.spec.epochs} completed`;
    this.#port.emit({ kind: "epoch", text, ...record });
    return true;
  }

  pauseForCheckpoint(): void {
    this.#checkpoints.want(this.#nowMs);
  }

  get pausable(): boolean {
    return this.#dealer.pausable && !this.evaluator.busyWithFinal;
  }

  restingStep(limit: number): number {
    return this.#dealer.restingStep(limit);
  }

  save(why: "checkpoint" | "final", step: number): void {
    this.#checkpoints.save(why, step, this.#nowMs);
  }

  halt(): void {
    this.#account.epochs.interrupt(this.#nowMs);
  }

  standBefore(step: number): void {
    this.#account.work.standBefore(step);
  }

  cut(): void {
    this.#checkpoints.cut(this.#nowMs);
  }

  write(why: SaveRequest["why"], barrier: BarrierRound): void {
    this.#checkpoints.write(why, barrier, this.#nowMs);
  }

  /** True while this life of a worker may give residuals for this barrier. */
  awaitsResiduals(rank: number, incarnation: number, barrier: number): boolean {
    return this.#still.awaitsResiduals(rank, incarnation, barrier);
  }

  finish(): void {
    this.phases.ended();
    this.#stage = "finished";
  }

  /** What a checkpoint keeps of the coordinator. */
  snapshot(): TrainingSnapshot {
    return {
      ...this.#account.snapshot(this.#nowMs),
      evaluations: [...this.evaluator.records],
      term: this.#term,
      plan: this.#plan.record(),
      workers: this.#port.workerCounts(),
    };
  }

  toWorker(rank: number, message: CoordinatorMessage): void {
    this.#port.toWorker(rank, message);
  }
}
