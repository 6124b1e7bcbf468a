/**
 * The part of the coordinator that runs from "all members are ready" to "nothing is left to do": it makes
 * the views, deals the work, has it evaluated and saved, and lets workers go and come.
 *
 * The idea: work is dealt in pieces, and everything that needs a quiet moment happens between pieces. In BSP
 * all workers finish a piece at the same step, so evaluations and checkpoints see one state of the model and
 * slices are recut for whoever is there. In ASP and SSP nobody waits for an epoch's end; an evaluation is done
 * by each worker between two steps, and a checkpoint brings them to rest first (pause.ts).
 */
import { unreachable } from "../assert.js";
import { Cursor, type Cut } from "./cursor.js";
import { EpochLedger } from "./epoch-ledger.js";
import { Evaluation } from "./evaluation.js";
import type { CoordinatorMessage, MemberMessage, Piece, ServerStatistics } from "./messages.js";
import { Pause, type PauseReason } from "./pause.js";
import { placeChunks } from "./placement.js";
import type { Member } from "./roster.js";
import type { EvaluationRecord, RunEvent } from "./run-events.js";
import type { Cadence, RunSpec } from "./run-spec.js";
import type { Job, SaveRequest, TrainingSnapshot } from "./training-job.js";
import type { View } from "./view.js";
import { type RoundOutcome, ViewRounds } from "./view-rounds.js";

/** What training asks of the coordinator around it. */
export interface TrainingPort {
  toWorker(rank: number, message: CoordinatorMessage): void;
  toServer(index: number, message: CoordinatorMessage): void;
  emit(event: RunEvent): void;
  load(view: View): void;
  save(request: SaveRequest): void;
  /** The servers' latest counts. */
  serverStatistics(): ServerStatistics[];
  /** The last incarnation given. */
  incarnations(): number;
}

/** The machine's part for one run. */
export class Training {
  readonly #spec: RunSpec;
  readonly #port: TrainingPort;
  readonly #cursor: Cursor;
  readonly #views: ViewRounds;
  readonly #ledger: EpochLedger;
  readonly #serverCount: number;
  /** Ready to take part, by rank: the incarnation. */
  readonly #ready = new Map<number, number>();
  #stage: "placing" | "loading" | "training" | "finished" = "placing";
  #evaluations: EvaluationRecord[];
  #evaluation: Evaluation | null = null;
  #evaluationIds = 0;
  #pause: Pause | null = null;
  #pauses = 0;
  #pauseWanted: PauseReason | null = null;
  #saving: "checkpoint" | "interrupt" | "final" | null = null;
  #lastSavedStep = -1;
  #finalSaved = false;
  #interrupted = false;
  /** An epoch whose evaluation is due and waits for another to end. */
  #evaluationWanted: number | null = null;
  /** Where the pieces out in BSP end. */
  #segmentEnd = 0;
  #tornSteps = 0;
  #nowMs = 0;

  constructor(
    job: Job,
    members: { servers: readonly Member[]; workers: readonly Member[] },
    term: number,
    port: TrainingPort,
  ) {
    this.#spec = job.spec;
    this.#port = port;
    this.#serverCount = members.servers.length;
    const resume = job.resume;
    this.#cursor = new Cursor(job.spec, resume?.cursor);
    this.#ledger = new EpochLedger(resume);
    this.#evaluations = [...(resume?.evaluations ?? [])];
    this.#tornSteps = resume?.tornSteps ?? 0;
    const servers = members.servers.map(({ rank, incarnation, address }) => ({
      index: rank,
      incarnation,
      address,
    }));
    const { primaries } = placeChunks({
      chunks: job.layout.chunks,
      servers: servers.map((server) => server.index),
      virtualNodes: job.spec.virtualNodes,
      loadBound: job.spec.loadBound,
    });
    const base = { run: job.spec.run, term, generation: 0, phase: 0, servers, primaries };
    this.#views = new ViewRounds(base, job.spec.protocol, (resume?.viewNumber ?? 0) + 1);
    for (const { rank, incarnation } of members.workers) {
      this.#ready.set(rank, incarnation);
      const share = this.#cursor.latest?.shares.find((candidate) => candidate.rank === rank);
      const fromStep = share?.nextStep ?? this.#cursor.latest?.lastStep ?? 0;
      this.#views.admit({ rank, incarnation, fromStep }, 1);
    }
  }

  /** True when every piece is done, evaluated and saved. */
  get finished(): boolean {
    return this.#stage === "finished";
  }

  /** True when an interrupt ended it, with a checkpoint to go on from. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** True from the first view given to workers on. */
  get running(): boolean {
    return this.#stage === "training";
  }

  /** The epoch being worked on, counted from 0. */
  get epoch(): number {
    return this.#cursor.latest?.epoch ?? 0;
  }

  /** One sentence: what training waits for. */
  activity(): string {
    if (this.#stage !== "training") return this.#stage;
    if (this.#saving !== null) return "writing a checkpoint";
    if (this.#pause !== null) return "bringing workers to rest";
    if (this.#evaluation !== null) {
      return `evaluating: waiting for worker ${this.#evaluation.missing().join(", ")}`;
    }
    if (this.#views.busy) return "waiting for servers to acknowledge a view";
    return `epoch ${this.epoch + 1} of ${this.#spec.epochs}`;
  }

  /** Evaluations so far. */
  get evaluations(): readonly EvaluationRecord[] {
    return this.#evaluations;
  }

  /** The account of epochs. */
  get ledger(): EpochLedger {
    return this.#ledger;
  }

  /** Worker steps that only some chunks have applied. */
  get tornSteps(): number {
    return this.#tornSteps;
  }

  /** Steps, or pushes, that every chunk has applied. */
  globalSteps(): number {
    const statistics = this.#port.serverStatistics().filter((server) => server.chunks > 0);
    if (statistics.length === 0) return 0;
    return Math.min(...statistics.map((server) => server.versionMin));
  }

  /** Ranks in the view to come. */
  activeRanks(): number[] {
    return this.#views.workers().map((worker) => worker.rank);
  }

  /** True when this worker, or server, is in the view to come. */
  isActive(rank: number, incarnation: number): boolean {
    return this.#views.worker(rank)?.incarnation === incarnation;
  }

  /** The servers have their chunks. */
  onLoaded(nowMs: number): void {
    if (this.#stage !== "loading") return;
    this.#stage = "training";
    this.#ledger.begin(nowMs);
    const view = this.#views.standing;
    if (view !== null) this.#giveView(view);
    this.#port.emit({ kind: "started", text: `training starts with ${this.#headCount()}` });
    this.advance(nowMs);
  }

  /** The checkpoint is written, or was not (`problem`). */
  onSaved(step: number, problem: string | null, nowMs: number): void {
    const why = this.#saving;
    if (why === null) return;
    this.#saving = null;
    this.#finalSaved ||= why === "final";
    this.#ledger.resume(nowMs);
    this.#lastSavedStep = step;
    const text =
      problem === null ? `checkpoint of step ${step} written` : `checkpoint failed: ${problem}`;
    if (problem === null) this.#port.emit({ kind: "checkpoint", step, text });
    else this.#port.emit({ kind: "warning", text });
    if (this.#pause !== null) {
      const { id, reason } = this.#pause;
      this.#pause = null;
      if (reason === "interrupt") this.#finishInterrupted();
      else
        for (const rank of this.activeRanks()) this.#toWorker(rank, { type: "resume", pause: id });
    }
    this.advance(nowMs);
  }

  /** A worker has prepared itself after training began. */
  onReady(member: Member, nowMs: number): void {
    this.#ready.set(member.rank, member.incarnation);
    this.advance(nowMs);
  }

  /** A worker is gone; true if it was counted on. */
  onWorkerLost(member: Member, nowMs: number): boolean {
    if (this.#ready.get(member.rank) === member.incarnation) this.#ready.delete(member.rank);
    if (!this.isActive(member.rank, member.incarnation)) return false;
    this.#views.remove(member.rank);
    const others = this.activeRanks();
    for (const { rank, range } of this.#evaluation?.reassign(member.rank, others) ?? []) {
      this.#assign(this.#evaluation!, rank, range);
    }
    for (const { rank, step } of this.#pause?.lost(member.rank) ?? []) {
      this.#toWorker(rank, { type: "pauseAt", pause: this.#pause!.id, step });
    }
    this.advance(nowMs);
    return true;
  }

  /** Brings the workers to rest, saves, and finishes. */
  interrupt(nowMs: number): void {
    this.#pauseWanted = "interrupt";
    if (this.#stage !== "training" || this.activeRanks().length === 0) this.#finishInterrupted();
    this.advance(nowMs);
  }

  #finishInterrupted(): void {
    this.#stage = "finished";
    this.#interrupted = true;
  }

  /** A message that concerns the run. */
  onMessage(member: Member, message: MemberMessage, nowMs: number): void {
    this.#nowMs = nowMs;
    const { rank } = member;
    switch (message.type) {
      case "viewAck": {
        const { view, sealedStep, clockMin, departed } = message;
        const outcome = this.#views.answer(rank, view, { sealedStep, clockMin, departed });
        if (outcome !== null) this.#onRound(outcome);
        break;
      }
      case "pieceDone": {
        const finished = this.#cursor.finish(rank, message.piece);
        if (finished === null) break;
        this.#ledger.addPiece(finished.cut.epoch, rank, message);
        break;
      }
      case "evaluated":
        if (this.#evaluation?.id !== message.evaluation) break;
        this.#evaluation.report(message.range, message.correct, message.lossSum);
        break;
      case "pausing":
        if (this.#pause?.id !== message.pause) break;
        for (const limit of this.#pause.answered(rank, message.step)) {
          this.#toWorker(limit.rank, { type: "pauseAt", pause: message.pause, step: limit.step });
        }
        break;
      case "paused":
        if (this.#pause?.id !== message.pause) break;
        this.#pause.rested(rank, message.step);
        this.#cursor.reached(rank, message.position, message.step);
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
    if (this.#stage !== "training" || this.#saving !== null) return;
    this.#recordEvaluation();
    if (this.#advancePause()) return;
    if (this.#spec.protocol.mode === "bsp") this.#advanceInStep();
    else this.#advanceFreely();
    this.#beginRound();
  }

  #beginRound(): void {
    if (this.#stage === "finished") return;
    const view = this.#views.begin();
    if (view === null) return;
    const workers = view.workers.map((worker) => worker.rank);
    const servers = view.servers.map((server) => server.index);
    const text = `view ${view.number}: ${this.#headCount()}`;
    this.#port.emit({ kind: "view", number: view.number, workers, servers, text });
    for (const server of view.servers) this.#port.toServer(server.index, { type: "view", view });
  }

  #onRound(outcome: RoundOutcome): void {
    for (const departed of outcome.departed) {
      this.#tornSteps += departed.tornSteps;
      this.#cursor.lose(departed.rank, departed.lastStep);
    }
    const view = this.#views.standing;
    if (!outcome.stands || view === null) return;
    for (const rank of outcome.joined) {
      const fromStep = this.#views.worker(rank)?.fromStep ?? 0;
      this.#cursor.begin(rank, fromStep);
      if (this.#stage === "training" && view.number > 1) {
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

  #giveView(view: View): void {
    for (const { rank } of view.workers) this.#toWorker(rank, { type: "view", view });
  }

  #advanceInStep(): void {
    if (this.#views.busy) return;
    const active = this.activeRanks();
    const cut = this.#cursor.latest;
    const busy = active.some((rank) => this.#cursor.shareOut(rank) !== undefined);
    if (cut !== null && (busy || active.length === 0)) {
      this.#admitReturning(cut, active);
      return;
    }
    if (this.#evaluation !== null) return;
    this.#atBoundary(cut, active);
  }

  /** Nobody is in a step: what is due here is done, one thing after the other, and then work is dealt. */
  #atBoundary(cut: Cut | null, active: readonly number[]): void {
    const alive = new Set(active);
    const exhausted = cut !== null && this.#cursor.exhausted(cut, alive);
    const step = cut === null ? 0 : exhausted ? cut.lastStep : this.#stepOfBoundary(cut, alive);
    const final = exhausted && this.#cursor.done;
    if (exhausted) this.#recordEpoch(cut);
    const epoch = cut?.epoch ?? 0;
    if (this.#evaluationDue(step, exhausted, final, epoch)) {
      this.#evaluate(epoch, step, final);
      return;
    }
    const due = step > 0 && isDue(this.#spec.checkpointEvery, step, exhausted ? epoch + 1 : null);
    if (this.#lastSavedStep !== step && (due || final)) {
      this.#save(final ? "final" : "checkpoint", step);
      return;
    }
    if (final) {
      this.#stage = "finished";
      return;
    }
    if ((cut === null || exhausted) && this.#admitAll(step)) return;
    this.#dealSegment(exhausted || cut === null ? this.#cut(active) : cut, active, step);
  }

  #stepOfBoundary(cut: Cut, alive: ReadonlySet<number>): number {
    const steps = cut.shares.filter(({ rank }) => alive.has(rank)).map(({ nextStep }) => nextStep);
    return steps.length === 0 ? cut.lastStep : Math.min(...steps);
  }

  #dealSegment(cut: Cut | null, active: readonly number[], step: number): void {
    if (cut === null) return;
    this.#segmentEnd = Math.min(
      cut.lastStep,
      nextMultiple(this.#spec.evaluateEvery, step),
      nextMultiple(this.#spec.checkpointEvery, step),
    );
    for (const rank of active) this.#deal(cut, rank, this.#segmentEnd);
  }

  /** In the middle of an epoch only a worker whose share has examples left comes back. */
  #admitReturning(cut: Cut, active: readonly number[]): void {
    for (const rank of active) {
      if (this.#views.isConfirmed(rank) && this.#cursor.shareOut(rank) === undefined) {
        this.#deal(cut, rank, this.#segmentEnd);
      }
    }
    for (const [rank, incarnation] of this.#ready) {
      if (this.#views.worker(rank) !== undefined) continue;
      const share = cut.shares.find((candidate) => candidate.rank === rank);
      const left = share !== undefined && share.next < share.end;
      if (!left && active.length > 0) continue;
      const fromStep = left ? Math.min(share.nextStep, cut.lastStep) : cut.lastStep;
      this.#views.admit({ rank, incarnation, fromStep }, 2);
    }
  }

  /** Everybody who is ready comes in; true if that makes a new view. */
  #admitAll(step: number): boolean {
    for (const [rank, incarnation] of this.#ready) {
      if (this.#views.worker(rank) === undefined) {
        this.#views.admit({ rank, incarnation, fromStep: step }, 1);
      }
    }
    return this.#views.busy;
  }

  #advanceFreely(): void {
    const active = this.activeRanks();
    for (const rank of active) {
      if (!this.#views.isConfirmed(rank) || this.#cursor.shareOut(rank) !== undefined) continue;
      if (this.#pause?.concerns(rank) === false) continue;
      const cut = this.#cursor.openCut(rank) ?? this.#cutIfFirst(rank, active);
      if (cut !== null) this.#deal(cut, rank, cut.lastStep);
    }
    for (const [rank, incarnation] of this.#ready) {
      if (this.#views.worker(rank) !== undefined || this.#views.busy) continue;
      if (this.#cursor.openCut(rank) === null) continue;
      this.#views.admit({ rank, incarnation, fromStep: this.#slowestStep() }, 1);
    }
    this.#closeEpochs(new Set(active));
  }

  /** Cuts the next epoch when the first worker has nothing left of the present one. */
  #cutIfFirst(rank: number, active: readonly number[]): Cut | null {
    const latest = this.#cursor.latest;
    const owned = latest === null || latest.shares.some((share) => share.rank === rank);
    const over = latest !== null && this.#cursor.exhausted(latest, new Set(active));
    if ((!owned && !over) || this.#cursor.done) return null;
    const ranks = [...new Set([...active, ...this.#ready.keys()])].sort((a, b) => a - b);
    return this.#cut(ranks);
  }

  #closeEpochs(alive: ReadonlySet<number>): void {
    if (alive.size === 0) return;
    const step = this.globalSteps();
    for (const cut of this.#cursor.openEpochs()) {
      if (!this.#cursor.exhausted(cut, alive)) break;
      const first = this.#recordEpoch(cut);
      if (this.#cursor.done && cut === this.#cursor.latest) {
        this.#finishFreely(cut.epoch);
        return;
      }
      if (first && isDue(this.#spec.evaluateEvery, -1, cut.epoch + 1)) {
        this.#evaluationWanted = cut.epoch;
      }
      if (first && isDue(this.#spec.checkpointEvery, -1, cut.epoch + 1)) {
        this.#pauseWanted ??= "checkpoint";
      }
      this.#cursor.forgetBefore(cut.epoch + 1);
    }
    if (this.#stepsPassed(this.#spec.evaluateEvery, step)) this.#evaluationWanted ??= this.epoch;
    if (this.#evaluation === null && this.#evaluationWanted !== null) {
      this.#evaluate(this.#evaluationWanted, step, false);
      this.#evaluationWanted = null;
    }
    const every = this.#spec.checkpointEvery;
    if (every?.unit === "step" && step >= this.#lastSavedStep + every.count && step > 0) {
      this.#pauseWanted ??= "checkpoint";
    }
  }

  /** The last epoch is used up: everybody rests, so that the final evaluation sees the final model. */
  #finishFreely(epoch: number): void {
    if (this.#evaluation !== null) return;
    const evaluated = this.#evaluations.some((record) => record.final);
    if (!evaluated) this.#evaluate(epoch, this.globalSteps(), true);
    else if (!this.#finalSaved) this.#save("final", this.globalSteps());
    else this.#stage = "finished";
  }

  #stepsPassed(cadence: Cadence | null, step: number): boolean {
    if (cadence?.unit !== "step") return false;
    const last = this.#evaluations.at(-1)?.step ?? Number.NEGATIVE_INFINITY;
    return Math.floor(step / cadence.count) > Math.floor(last / cadence.count);
  }

  #slowestStep(): number {
    const steps = this.#cursor.latest?.shares.map((share) => share.nextStep) ?? [];
    return steps.length === 0 ? 0 : Math.min(...steps);
  }

  #cut(ranks: readonly number[]): Cut | null {
    if (ranks.length === 0) return null;
    const cut = this.#cursor.cutNext(ranks);
    if (cut !== null) this.#ledger.openEpoch(cut.epoch, this.#nowMs);
    return cut;
  }

  #deal(cut: Cut, rank: number, untilStep: number): void {
    const piece: Piece | null = this.#cursor.deal(cut, rank, untilStep);
    if (piece !== null) this.#toWorker(rank, { type: "work", piece });
  }

  #evaluationDue(step: number, epochEnds: boolean, final: boolean, epoch: number): boolean {
    const done = this.#evaluations.some((record) => record.step === step && record.final === final);
    if (done) return false;
    return final || isDue(this.#spec.evaluateEvery, step, epochEnds ? epoch + 1 : null);
  }

  #evaluate(epoch: number, step: number, final: boolean): void {
    const ranks = this.activeRanks().filter((rank) => this.#views.isConfirmed(rank));
    if (ranks.length === 0) return;
    const testExamples = this.#spec.testExamples;
    const id = ++this.#evaluationIds;
    this.#evaluation = new Evaluation({ id, epoch, step, final, testExamples, ranks });
    if (this.#spec.protocol.mode === "bsp" || final) this.#ledger.interrupt(this.#nowMs);
    for (const { rank, range } of this.#evaluation.assignments()) {
      this.#assign(this.#evaluation, rank, range);
    }
  }

  #assign(evaluation: Evaluation, rank: number, range: { start: number; end: number }): void {
    this.#toWorker(rank, { type: "evaluate", evaluation: evaluation.id, range });
  }

  #recordEvaluation(): void {
    const outcome = this.#evaluation?.outcome() ?? null;
    if (this.#evaluation === null || outcome === null) return;
    const { epoch, step, final } = this.#evaluation;
    this.#evaluation = null;
    this.#ledger.resume(this.#nowMs);
    const atSeconds = this.#ledger.elapsedSeconds(this.#nowMs);
    const record: EvaluationRecord = { epoch, step, final, ...outcome, atSeconds };
    this.#evaluations.push(record);
    const { accuracyPercent, loss } = outcome;
    for (const rank of this.activeRanks()) {
      this.#toWorker(rank, { type: "evaluation", epoch, final, accuracyPercent, loss });
    }
    const text = `test accuracy ${accuracyPercent.toFixed(2)}% and loss ${loss.toFixed(4)} at step ${step}`;
    this.#port.emit({ kind: "evaluation", text, ...record });
  }

  /** Closes an epoch's account; true the first time. */
  #recordEpoch(cut: Cut): boolean {
    const record = this.#ledger.closeEpoch(cut.epoch, this.#cursor.skipped(cut), this.#nowMs);
    if (record === null) return false;
    const text = `Epoch ${cut.epoch + 1}/${this.#spec.epochs} completed`;
    this.#port.emit({ kind: "epoch", text, ...record });
    return true;
  }

  /** Moves a pause on; true while one is under way. */
  #advancePause(): boolean {
    if (this.#pause === null && this.#pauseWanted !== null) {
      const ranks = this.activeRanks().filter((rank) => this.#views.isConfirmed(rank));
      if (ranks.length === 0 || this.#evaluation?.final === true) return false;
      const barriers = this.#spec.protocol.mode !== "asp";
      this.#pause = new Pause(++this.#pauses, this.#pauseWanted, barriers, ranks);
      this.#pauseWanted = null;
      for (const rank of ranks) this.#toWorker(rank, { type: "pause", pause: this.#pauses });
    }
    if (this.#pause === null) return false;
    if (this.#pause.quiet && !this.#views.busy) {
      this.#save(this.#pause.reason, this.#restingStep());
      return true;
    }
    if (this.#spec.protocol.mode !== "bsp") this.#advanceFreely();
    return true;
  }

  /** Where everybody rests: in BSP one step, else the pushes that every chunk has applied. */
  #restingStep(): number {
    const cut = this.#cursor.latest;
    if (this.#spec.protocol.mode !== "bsp" || cut === null) return this.globalSteps();
    return this.#stepOfBoundary(cut, new Set(this.activeRanks()));
  }

  #save(why: "checkpoint" | "interrupt" | "final", step: number): void {
    this.#saving = why;
    this.#ledger.interrupt(this.#nowMs);
    const view = this.#views.standing;
    if (view !== null) this.#port.save({ view, step, why, snapshot: this.snapshot() });
  }

  /** What a checkpoint keeps of the coordinator. */
  snapshot(): TrainingSnapshot {
    return {
      cursor: this.#cursor.snapshot(),
      evaluations: this.#evaluations,
      ...this.#ledger.snapshot(this.#nowMs),
      viewNumber: this.#views.standing?.number ?? 0,
      incarnations: this.#port.incarnations(),
      tornSteps: this.#tornSteps,
    };
  }

  #toWorker(rank: number, message: CoordinatorMessage): void {
    this.#port.toWorker(rank, message);
  }

  #headCount(): string {
    const workers = this.#views.workers().length;
    return `${workers} worker${workers === 1 ? "" : "s"} and ${this.#serverCount} server${this.#serverCount === 1 ? "" : "s"}`;
  }
}

/** Is something due at this step, or at the end of the epoch with this number (from 1; null inside an epoch)? */
function isDue(cadence: Cadence | null, step: number, epochNumber: number | null): boolean {
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

function nextMultiple(cadence: Cadence | null, step: number): number {
  if (cadence?.unit !== "step") return Number.POSITIVE_INFINITY;
  return (Math.floor(step / cadence.count) + 1) * cadence.count;
}
