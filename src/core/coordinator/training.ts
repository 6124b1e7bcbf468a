/**
 * The part of the coordinator that runs from "all members are ready" to "nothing is left to do": it
 * makes the views, has the work dealt, evaluated and saved, and lets workers go and come.
 *
 * The idea: work is dealt in assignments, and everything that needs a quiet moment happens between
 * assignments or, where workers have no common boundary, in a pause (quiet-moments.ts). How work is
 * dealt depends on feed and pace: see work-floor.ts.
 *
 * Invariant: what is saved is a state in which no push is outstanding and no view is being agreed
 * on, and workers that keep state of their own stand at its barrier (barrier-round.ts).
 */

import type { ErrorCode } from "../../errors.js";
import { keepsResiduals, pullsDifferences } from "../../protocol/compression.js";
import { IdSource, shownId } from "../../protocol/ids.js";
import type { Assignment, CoordinatorMessage, MemberMessage } from "../../protocol/messages.js";
import type { EvaluationRecord } from "../../protocol/run-events.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { View } from "../../protocol/view.js";
import { paceOf } from "../sync/modes.js";
import type { Pace } from "../sync/pace.js";
import { BarrierRound } from "../work/barrier-round.js";
import { EpochRecords } from "../work/epoch-records.js";
import { Evaluator } from "../work/evaluator.js";
import { QuietMoments } from "../work/quiet-moments.js";
import type { RunSetup, SaveRequest, TrainingSnapshot } from "../work/run-setup.js";
import type { EvaluationWish, WorkAccount, WorkDealer, WorkFloor } from "../work/work-floor.js";
import { viewsOf, wayOfDealing } from "./choices.js";
import type { Member } from "./roster.js";
import type { TrainingMembers, TrainingPort } from "./training-port.js";
import type { RoundOutcome, ViewRounds } from "./view-rounds.js";

/** A batch that was refused so often ends the run. */
const refusalsMax = 3;

/** The machine's part for one run. */
export class Training implements WorkFloor {
  readonly spec: RunSpec;
  readonly pace: Pace;
  readonly views: ViewRounds;
  readonly evaluator: Evaluator;
  readonly ready = new Map<number, number>();
  savedStep: number | null = null;
  finalSaved = false;
  readonly #port: TrainingPort;
  readonly #records: EpochRecords;
  readonly #account: WorkAccount;
  readonly #dealer: WorkDealer;
  readonly #serverCount: number;
  readonly #term: number;
  /** Ids of pauses and of barriers. */
  readonly #ids: IdSource;
  #stage: "placing" | "loading" | "training" | "finished" = "placing";
  readonly #quiet: QuietMoments;
  #saving: SaveRequest["why"] | null = null;
  /** What is saved once all stand at it; null from then on. */
  #barrier: BarrierRound | null = null;
  /** How an interrupt ended it. */
  #interruption: { readonly problem: string | null } | null = null;
  #tornSteps = 0;
  #nowMs = 0;

  constructor(setup: RunSetup, { term, servers, workers }: TrainingMembers, port: TrainingPort) {
    const { spec, resume } = setup;
    this.spec = spec;
    this.pace = paceOf(spec, 0);
    this.#port = port;
    this.#serverCount = servers.length;
    this.#term = term;
    this.#ids = new IdSource(term);
    const { account, dealer } = wayOfDealing(this, resume?.cursor, term);
    this.#account = account;
    this.#dealer = dealer;
    this.#records = new EpochRecords(resume);
    const { testExamples } = spec;
    const { globalStep, hasBarriers } = this.pace;
    const evaluations = resume?.evaluations ?? [];
    const countsUpdates = globalStep === "push";
    this.evaluator = new Evaluator(testExamples, evaluations, new IdSource(term), countsUpdates);
    this.#quiet = new QuietMoments(this.#ids, hasBarriers, (rank, message) =>
      this.#toWorker(rank, message),
    );
    this.#tornSteps = resume?.tornSteps ?? 0;
    this.views = viewsOf(setup, term, servers);
    for (const { rank, incarnation } of workers) {
      this.ready.set(rank, incarnation);
      this.views.admit({ rank, incarnation, fromStep: account.firstStepOf(rank) });
    }
  }

  /** True when every assignment is done, evaluated and saved. */
  get finished(): boolean {
    return this.#stage === "finished";
  }

  /**
   * Not null when an interrupt ended it; `problem` says why there is no checkpoint to go on from.
   */
  get interruption(): { readonly problem: string | null } | null {
    return this.#interruption;
  }

  /** True from the first view given to workers on. */
  get running(): boolean {
    return this.#stage === "training";
  }

  /** The epoch being worked on, counted from 0. */
  get epoch(): number {
    return this.#account.epoch;
  }

  /** One sentence: what training waits for. */
  activity(): string {
    if (this.#stage !== "training") return this.#stage;
    if (this.#barrier?.complete === false) {
      return `a checkpoint waits for worker ${this.#barrier.missing().join(", ")}`;
    }
    if (this.#saving !== null) return "writing a checkpoint";
    if (this.evaluator.busy) {
      return `evaluating: waiting for worker ${this.evaluator.missing().join(", ")}`;
    }
    if (this.#quiet.limit !== null) return "bringing workers to rest";
    if (this.views.busy) return "waiting for servers to acknowledge a view";
    return `epoch ${this.epoch + 1} of ${this.spec.epochs}`;
  }

  /** Evaluations so far. */
  get evaluations(): readonly EvaluationRecord[] {
    return this.evaluator.records;
  }

  /** The account of epochs. */
  get records(): EpochRecords {
    return this.#records;
  }

  /** Worker steps that only some chunks have applied. */
  get tornSteps(): number {
    return this.#tornSteps;
  }

  globalSteps(): number {
    const statistics = this.#port.serverStatistics().filter((server) => server.chunks > 0);
    if (statistics.length === 0) return 0;
    return Math.min(...statistics.map((server) => server.versionMin));
  }

  activeRanks(): number[] {
    return this.views.workers().map((worker) => worker.rank);
  }

  /** True when this worker, or server, is in the view to come. */
  isActive(rank: number, incarnation: number): boolean {
    return this.views.worker(rank)?.incarnation === incarnation;
  }

  /** The servers have their chunks. */
  onLoaded(nowMs: number): void {
    if (this.#stage !== "loading") return;
    this.#stage = "training";
    this.#records.begin(nowMs);
    const view = this.views.standing;
    if (view !== null) this.#giveView(view);
    this.#port.emit({ kind: "started", text: `training starts with ${this.#headCount()}` });
    this.advance(nowMs);
  }

  /** The checkpoint is written, or was not (`problem`). */
  onSaved(step: number, problem: string | null, nowMs: number): void {
    const why = this.#saving;
    if (why === null) return;
    this.#saving = null;
    this.finalSaved ||= why === "final";
    this.#records.resume(nowMs);
    this.savedStep = step;
    const text =
      problem === null ? `checkpoint of step ${step} written` : `checkpoint failed: ${problem}`;
    if (problem === null) this.#port.emit({ kind: "checkpoint", step, text });
    else this.#port.emit({ kind: "warning", text });
    this.#quiet.end(why === "interrupt" ? [] : this.activeRanks());
    if (why === "interrupt") {
      this.#stage = "finished";
      this.#interruption = { problem };
    }
    this.advance(nowMs);
  }

  /** A worker has prepared itself after training began. */
  onReady(member: Member, nowMs: number): void {
    this.ready.set(member.rank, member.incarnation);
    this.advance(nowMs);
  }

  /** A worker is gone; true if it was counted on. */
  onWorkerLost({ rank, incarnation }: Member, nowMs: number): boolean {
    if (this.ready.get(rank) === incarnation) this.ready.delete(rank);
    if (!this.isActive(rank, incarnation)) return false;
    this.views.remove(rank);
    this.evaluator.lost(rank);
    this.#barrier?.lost(rank);
    this.#quiet.lost(rank);
    this.advance(nowMs);
    return true;
  }

  /** Brings the workers to rest, saves, and finishes. */
  interrupt(nowMs: number): void {
    this.#quiet.wantSave("interrupt");
    this.advance(nowMs);
  }

  /** A message that concerns the run. */
  onMessage(member: Member, message: MemberMessage, nowMs: number): void {
    this.#nowMs = nowMs;
    const { rank } = member;
    // A server and a worker may have the same number.
    if ((message.type === "viewAck") !== (member.role === "server")) return;
    switch (message.type) {
      case "viewAck": {
        const { view, sealedStep, clockMin, departed } = message;
        const outcome = this.views.answer(rank, view, { sealedStep, clockMin, departed });
        if (outcome !== null) this.#onRound(outcome);
        break;
      }
      case "assignmentDone": {
        const epoch = this.#account.finish(rank, message.assignment, message.skipped);
        if (epoch !== null) this.#records.addAssignment(epoch, rank, message);
        break;
      }
      case "assignmentRefused":
        this.#onRefused(rank, message.assignment, message.reason);
        break;
      case "evaluated":
        this.evaluator.report(message);
        break;
      case "pausing":
        this.#quiet.answered(rank, message);
        break;
      case "paused":
        if (!this.#quiet.rested(rank, message)) break;
        if (message.position >= 0) this.#account.restsBefore(rank, message.step);
        break;
      case "barrierReached":
        if (this.#barrier?.id === message.barrier) this.#barrier.taken(member, message);
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
    this.#saveAtBarrier();
    if (this.#stage !== "training" || this.#saving !== null) return;
    this.#recordEvaluation();
    if (this.finished) return;
    this.#dealer.advance(this.#quiet.limit);
    this.#advanceQuiet();
    this.#beginRound();
  }

  #beginRound(): void {
    if (this.#stage === "finished") return;
    const view = this.views.begin();
    if (view === null) return;
    const workers = view.workers.map((worker) => worker.rank);
    const servers = view.servers.map((server) => server.index);
    const text = `view ${shownId(view.number)}: ${this.#headCount()}`;
    if (this.views.binding) {
      const { run } = this.spec;
      this.#port.persist({ run, term: this.#term, view, progress: this.snapshot() });
    }
    this.#port.emit({ kind: "view", number: view.number, workers, servers, text });
    for (const server of view.servers) this.#port.toServer(server.index, { type: "view", view });
  }

  #onRound(outcome: RoundOutcome): void {
    for (const departed of outcome.departed) {
      this.#tornSteps += departed.tornSteps;
      const used = this.#account.lose(departed.rank, departed.lastStep);
      if (used !== null) this.#records.addLost(used.epoch, used.examples);
    }
    const view = this.views.standing;
    if (!outcome.stands || view === null) return;
    for (const rank of outcome.joined) {
      const fromStep = this.views.worker(rank)?.fromStep ?? 0;
      this.#account.begin(rank, fromStep);
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
      if (this.isActive(rank, incarnation)) this.#toWorker(rank, { type: "view", view });
    }
  }

  #onRefused(rank: number, assignmentId: number, reason: string): void {
    const refused = this.#account.refuse(rank, assignmentId);
    if (refused === null) return;
    const { epoch, range, refusals } = refused;
    const examples = `examples ${range.start} to ${range.end} of epoch ${epoch + 1}`;
    const text = `worker-${rank} refused ${examples}: ${reason}`;
    if (refusals < refusalsMax) {
      this.#port.emit({ kind: "warning", text: `${text}; they are dealt again` });
    } else {
      this.#fail("data", `${text}; that was time ${refusals}, look at the data set`);
    }
  }

  #fail(code: ErrorCode, reason: string): void {
    this.#stage = "finished";
    this.#port.fail(code, reason);
  }

  openEpoch(epoch: number): void {
    this.#records.openEpoch(epoch, this.#nowMs);
  }

  give(rank: number, assignment: Assignment, leftBy: number | null): void {
    this.#toWorker(rank, { type: "work", assignment });
    if (leftBy === null) return;
    const { start, end, epoch } = assignment;
    const examples = `examples ${start} to ${end} of epoch ${epoch + 1}`;
    const text = `${examples}, left by worker-${leftBy}, are dealt again to worker-${rank}`;
    this.#port.emit({ kind: "info", text });
  }

  evaluate(wish: EvaluationWish, reachedStep: number): void {
    if (!this.pace.meetsAtBoundaries && !wish.final) {
      this.#quiet.wantEvaluation(wish);
      return;
    }
    // The final one takes the place of whatever else was due.
    this.#quiet.takeEvaluation();
    this.#evaluate(wish, reachedStep);
  }

  #evaluate(wish: EvaluationWish, reachedStep: number): void {
    const ranks = this.#evaluators(reachedStep);
    if (ranks.length === 0) return;
    this.#records.interrupt(this.#nowMs);
    for (const { rank, evaluation, range } of this.evaluator.begin(wish, ranks)) {
      this.#toWorker(rank, { type: "evaluate", evaluation, range });
    }
  }

  /**
   * Workers that have come in by this step, or those that come in first: others may wait for work
   * of these.
   */
  #evaluators(reachedStep: number): number[] {
    const confirmed = this.views.workers().filter(({ rank }) => this.views.isConfirmed(rank));
    const first = Math.min(...confirmed.map(({ fromStep }) => fromStep));
    const reached = Math.max(first, reachedStep);
    return confirmed.filter(({ fromStep }) => fromStep <= reached).map(({ rank }) => rank);
  }

  #recordEvaluation(): void {
    const open = this.evaluator.giveAway(this.#evaluators(-1));
    for (const { rank, evaluation, range } of open) {
      this.#toWorker(rank, { type: "evaluate", evaluation, range });
    }
    const conflict = this.evaluator.conflict();
    if (conflict !== null) {
      this.#fail("protocol", conflict);
      return;
    }
    const record = this.evaluator.conclude(() => ({
      atSeconds: this.#records.elapsedSeconds(this.#nowMs),
      trainedExamples: this.#records.examples(),
    }));
    if (record === null) return;
    this.#records.resume(this.#nowMs);
    const { epoch, step, final, accuracyPercent, loss } = record;
    for (const rank of this.activeRanks()) {
      this.#toWorker(rank, { type: "evaluation", epoch, final, accuracyPercent, loss });
    }
    const accuracy = `test accuracy ${accuracyPercent.toFixed(2)}%`;
    const text = `${accuracy} and loss ${loss.toFixed(4)} at step ${step}`;
    this.#port.emit({ kind: "evaluation", text, ...record });
  }

  recordEpoch(epoch: number, skipped: number): boolean {
    const record = this.#records.closeEpoch(epoch, skipped, this.#nowMs);
    if (record === null) return false;
    const text = `Epoch ${epoch + 1}/${this.spec.epochs} completed`;
    this.#port.emit({ kind: "epoch", text, ...record });
    return true;
  }

  pauseForCheckpoint(): void {
    this.#quiet.wantSave("checkpoint");
  }

  /** Brings all to rest where something is wished for that needs it, and does that. */
  #advanceQuiet(): void {
    if (this.#stage !== "training" || this.#saving !== null) return;
    const quiet = this.#quiet;
    const ranks = this.activeRanks();
    if (this.#dealer.pausable && !this.evaluator.busy) quiet.begin(ranks);
    if (quiet.limit === null || !quiet.isQuiet || this.views.busy) return;
    if (ranks.length === 0) {
      const abandoned = this.evaluator.abandon();
      if (abandoned !== null) quiet.wantEvaluation(abandoned);
    }
    if (this.evaluator.busy) return;
    const wish = ranks.length === 0 ? null : quiet.takeEvaluation();
    if (wish !== null) {
      const reached = this.pace.hasBarriers ? quiet.limit + 1 : Number.POSITIVE_INFINITY;
      this.#evaluate(wish, reached);
      return;
    }
    const why = quiet.takeSave();
    if (why !== null) {
      this.#save(why, this.#dealer.restingStep(quiet.limit));
      return;
    }
    quiet.end(ranks);
    this.#dealer.advance(null);
  }

  save(why: "checkpoint" | "final", step: number): void {
    this.#save(why, step);
  }

  /** Has workers stand at the barrier where they keep something, then everything written. */
  #save(why: SaveRequest["why"], step: number): void {
    if (this.views.standing === null) return;
    const { compression } = this.spec;
    const isAlone = !keepsResiduals(compression) && !pullsDifferences(compression);
    this.#saving = why;
    this.#records.interrupt(this.#nowMs);
    const barrier = this.#ids.next();
    this.#barrier = new BarrierRound(barrier, step, isAlone ? [] : this.views.workers());
    for (const rank of this.#barrier.missing()) this.#toWorker(rank, { type: "barrier", barrier });
    this.#saveAtBarrier();
  }

  #saveAtBarrier(): void {
    const barrier = this.#barrier;
    const view = this.views.standing;
    const [why, step] = [this.#saving, barrier?.step ?? 0];
    if (barrier?.complete !== true || this.views.busy || view === null || why === null) return;
    this.#barrier = null;
    if (this.pace.meetsAtBoundaries) this.#account.standBefore(step);
    if (keepsResiduals(this.spec.compression)) {
      for (const text of barrier.warnings()) this.#port.emit({ kind: "warning", text });
    }
    const residuals = barrier.given();
    const version = why === "final" ? this.evaluator.finalVersion : null;
    this.#port.save({ view, step, why, snapshot: this.snapshot(), version, residuals });
  }

  /** True while this life of a worker may give residuals for this barrier. */
  awaitsResiduals(rank: number, incarnation: number, barrier: number): boolean {
    return this.#barrier?.id === barrier && this.#barrier.awaits(rank, incarnation);
  }

  finish(): void {
    this.#stage = "finished";
  }

  /** What a checkpoint keeps of the coordinator. */
  snapshot(): TrainingSnapshot {
    return {
      cursor: this.#account.snapshot(),
      evaluations: this.evaluator.records,
      ...this.#records.snapshot(this.#nowMs),
      term: this.#term,
      tornSteps: this.#tornSteps,
      workers: this.#port.workerCounts(),
    };
  }

  #toWorker(rank: number, message: CoordinatorMessage): void {
    this.#port.toWorker(rank, message);
  }

  #headCount(): string {
    const workers = this.views.workers().length;
    const servers = this.#serverCount;
    const plural = (count: number) => (count === 1 ? "" : "s");
    return `${workers} worker${plural(workers)} and ${servers} server${plural(servers)}`;
  }
}
