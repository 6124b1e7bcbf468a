/**
 * A worker's machine. It takes pieces of work from the coordinator, has each step computed, pushes
 * every chunk's gradient to the chunk's primary as soon as it is final, and goes on when all chunks
 * have come back.
 *
 * States: idle -> preparing -> awaiting (a view that has this incarnation) -> pulling (all chunks)
 * -> resting (between steps) <-> stepping | evaluating; `stop` leads back to idle from any of them.
 *
 * Invariants: one step is in flight at a time; a push stays outstanding, and is sent again as it
 * was, until it is answered; a worker that was asked to pause does not start a step past the one it
 * was given.
 */
import { assert } from "../assert.js";
import type { Layout } from "../contract/layout.js";
import type {
  ChunkHeader,
  CoordinatorMessage,
  MemberMessage,
  Piece,
  Range,
  WorkerStatistics,
} from "../contract/messages.js";
import type { RunSpec } from "../contract/run-spec.js";
import { supersedes, type View, type ViewServer, workerOfRank } from "../contract/view.js";
import { type StepOutcome, WorkerAccount, type WorkerAccountRecord } from "./worker-account.js";
import { pullHeader, pushHeader, type WorkerIdentity } from "./worker-headers.js";
import {
  activityOf,
  type PauseOrder,
  pieceDoneOf,
  type Stepping,
  type Work,
  type WorkerState,
  workOn,
} from "./worker-state.js";

/** What a worker can be told. */
export type WorkerEvent =
  | { readonly type: "message"; readonly message: CoordinatorMessage }
  /** The model is built and the data found. */
  | { readonly type: "prepared"; readonly layout: Layout; readonly engine: string }
  | { readonly type: "chunkReady"; readonly step: number; readonly chunk: number }
  | { readonly type: "computed"; readonly step: number; readonly outcome: StepOutcome }
  /** The examples of a step are not what the run spec says; nothing was computed. */
  | { readonly type: "refused"; readonly step: number; readonly reason: string }
  | { readonly type: "evaluated"; readonly correct: number; readonly lossSum: number }
  /** A reply whose weights, if any, lie in place already. */
  | { readonly type: "reply"; readonly header: ChunkHeader }
  /** The channel to a server is open, for the first time or again. */
  | { readonly type: "channelOpen"; readonly server: number };

/** What the host has to do, in order. */
export type WorkerEffect =
  | { readonly type: "tell"; readonly message: MemberMessage }
  | { readonly type: "prepare"; readonly spec: RunSpec }
  /** Keep a channel to each of these servers and to no others. */
  | { readonly type: "connect"; readonly view: View; readonly servers: readonly ViewServer[] }
  | { readonly type: "pull"; readonly server: number; readonly header: ChunkHeader }
  /** Send the header with the chunk's gradient, or with nothing when it has no examples. */
  | { readonly type: "push"; readonly server: number; readonly header: ChunkHeader }
  | {
      readonly type: "compute";
      readonly step: number;
      readonly epoch: number;
      readonly range: Range;
    }
  | { readonly type: "evaluate"; readonly range: Range }
  | { readonly type: "log"; readonly text: string }
  /** The job is over for this worker. */
  | {
      readonly type: "finish";
      readonly outcome: "done" | "failed" | "interrupted";
      readonly reason: string;
      readonly stay: boolean;
    };

/** What a worker measured of the run, for its final metrics. */
export type WorkerRecord = WorkerAccountRecord;

/** The machine. */
export class Worker {
  readonly #identity: WorkerIdentity;
  #state: WorkerState = { name: "idle" };
  #spec: RunSpec | null = null;
  #layout: Layout | null = null;
  #view: View | null = null;
  #versions: number[] = [];
  #nextStep = 0;
  #work: Work | null = null;
  #evaluations: { evaluation: number; range: Range }[] = [];
  #pause: PauseOrder | null = null;
  #lastEpoch = -1;
  #account = new WorkerAccount();
  #effects: WorkerEffect[] = [];

  constructor(identity: WorkerIdentity) {
    this.#identity = identity;
  }

  /** Eats one event; the effects are to be performed in order. */
  step(event: WorkerEvent, nowMs: number): WorkerEffect[] {
    this.#effects = [];
    switch (event.type) {
      case "message":
        this.#onMessage(event.message, nowMs);
        break;
      case "prepared":
        this.#onPrepared(event.layout, event.engine);
        break;
      case "chunkReady":
        this.#onChunkReady(event.step, event.chunk);
        break;
      case "computed":
        this.#onComputed(event.step, event.outcome, nowMs);
        break;
      case "refused":
        this.#onExamplesRefused(event.step, event.reason);
        break;
      case "evaluated":
        this.#onEvaluated(event.correct, event.lossSum);
        break;
      case "reply":
        this.#onReply(event.header, nowMs);
        break;
      case "channelOpen":
        this.#resend(event.server);
        break;
      default:
        event satisfies never;
    }
    this.#proceed(nowMs);
    return this.#effects;
  }

  /** True when the weights that a reply carries are still wanted; the host throws others away. */
  wants(header: ChunkHeader): boolean {
    if (header.run !== this.#spec?.run || header.incarnation !== this.#identity.incarnation)
      return false;
    if (this.#state.name === "pulling") {
      return header.step === -1 && this.#state.missing.has(header.chunk);
    }
    if (this.#state.name !== "stepping" || header.step !== this.#state.step) return false;
    return this.#state.outstanding.has(header.chunk);
  }

  /** One sentence: what this worker is doing. */
  activity(): string {
    const paused = this.#pause !== null;
    return activityOf(this.#state, this.#versions.length, this.#nextStep, paused);
  }

  /** Counts since this incarnation began. */
  statistics(): WorkerStatistics {
    return this.#account.statistics(this.#nextStep);
  }

  /** What the final metrics are made of. */
  record(): WorkerRecord {
    return this.#account.record();
  }

  #onMessage(message: CoordinatorMessage, nowMs: number): void {
    switch (message.type) {
      case "heartbeatAck":
        break;
      case "job":
        this.#begin(message.spec);
        break;
      case "view":
        this.#onView(message.view);
        break;
      case "work":
        this.#onWork(message.piece);
        break;
      case "evaluate":
        this.#evaluations.push({ evaluation: message.evaluation, range: message.range });
        break;
      case "pause":
        this.#onPause(message.pause);
        break;
      case "pauseAt":
        if (this.#pause?.id !== message.pause) break;
        this.#pause = { id: message.pause, limit: message.step, settled: true, told: false };
        break;
      case "resume":
        if (this.#pause?.id === message.pause) this.#pause = null;
        break;
      case "evaluation":
        this.#account.evaluated(message.accuracyPercent);
        break;
      case "stop":
        this.#onStop(message, nowMs);
        break;
      default:
        message satisfies never;
    }
  }

  #begin(spec: RunSpec): void {
    this.#spec = spec;
    this.#view = null;
    this.#layout = null;
    this.#work = null;
    this.#evaluations = [];
    this.#pause = null;
    this.#nextStep = 0;
    this.#lastEpoch = -1;
    this.#account = new WorkerAccount();
    this.#state = { name: "preparing" };
    this.#effects.push({ type: "prepare", spec });
  }

  #onPrepared(layout: Layout, engine: string): void {
    if (this.#state.name !== "preparing" || this.#spec === null) return;
    this.#layout = layout;
    this.#versions = layout.chunks.map(() => 0);
    this.#state = { name: "awaiting" };
    const tensors = layout.tensors.map(({ name, shape, group }) => ({ name, shape, group }));
    this.#tell({ type: "ready", run: this.#spec.run, tensors, engine });
  }

  #onView(view: View): void {
    const layout = this.#layout;
    if (layout === null || view.run !== this.#spec?.run) return;
    if (this.#view !== null && !supersedes(view, this.#view)) return;
    this.#view = view;
    this.#effects.push({ type: "connect", view, servers: view.servers });
    const self = workerOfRank(view, this.#identity.rank);
    if (self === undefined || self.incarnation !== this.#identity.incarnation) return;
    if (this.#state.name === "awaiting") {
      this.#nextStep = self.fromStep;
      const all = layout.chunks.map((chunk) => chunk.index);
      this.#state = { name: "pulling", missing: new Set(all) };
      for (const chunk of all) this.#pull(chunk);
      return;
    }
    for (const server of view.servers) this.#resend(server.index);
  }

  #onWork(piece: Piece): void {
    if (this.#work !== null) {
      this.#log(`piece ${piece.id} came before piece ${this.#work.piece.id} was done: ignored`);
      return;
    }
    this.#work = workOn(piece);
    this.#nextStep = Math.max(this.#nextStep, piece.firstStep);
    if (this.#lastEpoch >= 0 && piece.epoch > this.#lastEpoch) this.#logEpoch(this.#lastEpoch);
    this.#lastEpoch = Math.max(this.#lastEpoch, piece.epoch);
  }

  /** A worker that still pulls is in no step, and needs nobody to get out of one. */
  #onPause(id: number): void {
    let step = this.#nextStep - 1;
    if (this.#state.name === "stepping") step = this.#state.step;
    if (this.#state.name === "pulling" || this.#state.name === "awaiting") step = -1;
    this.#pause = { id, limit: step, settled: false, told: false };
    this.#tell({ type: "pausing", pause: id, step });
  }

  #onChunkReady(step: number, chunk: number): void {
    const state = this.#state;
    if (state.name !== "stepping" || state.step !== step) return;
    state.outstanding.add(chunk);
    this.#push(chunk, state);
  }

  #onComputed(step: number, outcome: StepOutcome, nowMs: number): void {
    const state = this.#state;
    if (state.name !== "stepping" || state.step !== step || this.#work === null) return;
    if (!Number.isFinite(outcome.lossSum)) {
      this.#tell({ type: "diverged", step, what: `loss is ${outcome.lossSum}` });
      return;
    }
    state.computed = true;
    state.computedAtMs = nowMs;
    this.#account.computed(state.examples, outcome, nowMs - state.startedAtMs);
    this.#work.lossSum += outcome.lossSum;
    this.#work.correct += outcome.correct;
    if (state.missing.size === 0) this.#finishStep(state, nowMs);
  }

  /** The step is still to be taken: with another piece, which the coordinator deals. */
  #onExamplesRefused(step: number, reason: string): void {
    if (this.#state.name !== "stepping" || this.#state.step !== step) return;
    const work = this.#work;
    assert(work !== null, "a step belongs to a piece", { step });
    this.#work = null;
    this.#state = { name: "resting" };
    this.#log(`examples ${work.piece.start} to ${work.piece.end} are refused: ${reason}`);
    this.#tell({ type: "pieceRefused", piece: work.piece.id, reason });
  }

  #onReply(header: ChunkHeader, nowMs: number): void {
    if (header.outcome === "refused") {
      this.#onRefused(header);
      return;
    }
    if (!this.wants(header)) return;
    if (header.outcome === "nonfinite") {
      this.#tell({ type: "diverged", step: header.step, what: header.detail });
      return;
    }
    this.#versions[header.chunk] = header.version;
    const state = this.#state;
    if (state.name === "pulling") {
      state.missing.delete(header.chunk);
      if (state.missing.size === 0) this.#state = { name: "resting" };
      return;
    }
    if (state.name !== "stepping") return;
    state.outstanding.delete(header.chunk);
    state.missing.delete(header.chunk);
    if (state.computed && state.missing.size === 0) this.#finishStep(state, nowMs);
  }

  /** A refusal by a later view is mended by that view, when it comes; any other is not. */
  #onRefused(header: ChunkHeader): void {
    this.#log(`a server refused chunk ${header.chunk}: ${header.detail}`);
    const own = header.run === this.#spec?.run && header.incarnation === this.#identity.incarnation;
    const present = this.#state.name === "stepping" && header.step === this.#state.step;
    if (!own || (!present && this.#state.name !== "pulling")) return;
    if (header.version > (this.#view?.number ?? 0)) return;
    const what = `chunk ${header.chunk} at step ${header.step}`;
    const reason = `a server refused ${what}: ${header.detail}`;
    this.#tell({ type: "failed", code: "refused", reason });
  }

  #finishStep(state: Stepping, nowMs: number): void {
    const work = this.#work;
    assert(work !== null, "a step belongs to a piece", { step: state.step });
    this.#account.stepped(state.examples, nowMs - state.computedAtMs);
    work.seconds += (nowMs - state.startedAtMs) / 1000;
    work.position += state.examples;
    work.examples += state.examples;
    this.#nextStep = state.step + 1;
    this.#state = { name: "resting" };
  }

  #onEvaluated(correct: number, lossSum: number): void {
    if (this.#state.name !== "evaluating") return;
    const { evaluation, range } = this.#state;
    this.#tell({ type: "evaluated", evaluation, range, correct, lossSum });
    this.#state = { name: "resting" };
  }

  #onStop(message: CoordinatorMessage & { type: "stop" }, _nowMs: number): void {
    if (message.outcome === "done" && this.#spec !== null) {
      if (this.#lastEpoch >= 0) this.#logEpoch(this.#lastEpoch);
      const last = this.#account.lastAccuracyPercent;
      if (last !== undefined) this.#log(`Final test accuracy: ${last.toFixed(2)}%`);
      this.#log(`Worker ${this.#identity.rank} completed training!`);
    }
    const worker = this.statistics();
    this.#tell({ type: "leave", reason: message.reason, server: null, worker });
    const { outcome, reason, stay } = message;
    this.#effects.push({ type: "finish", outcome, reason, stay });
    this.#state = { name: "idle" };
    this.#work = null;
  }

  /** Starts whatever is due, if the worker rests. */
  #proceed(nowMs: number): void {
    if (this.#state.name === "pulling" && this.#mustRest()) this.#tellPaused();
    while (this.#state.name === "resting") {
      const evaluation = this.#evaluations.shift();
      if (evaluation !== undefined) {
        this.#state = { name: "evaluating", ...evaluation };
        this.#effects.push({ type: "evaluate", range: evaluation.range });
        return;
      }
      const work = this.#work;
      if (work !== null && this.#exhausted(work)) {
        this.#finishPiece(work);
        continue;
      }
      if (this.#mustRest()) {
        this.#tellPaused();
        return;
      }
      if (work === null) return;
      this.#startStep(work, nowMs);
    }
  }

  #mustRest(): boolean {
    return this.#pause !== null && this.#nextStep > this.#pause.limit;
  }

  /**
   * A piece is done when its steps are taken or, where nobody waits for empty pushes, its examples
   * used.
   */
  #exhausted(work: Work): boolean {
    if (this.#nextStep >= work.piece.lastStep) return true;
    return this.#spec?.protocol.mode === "asp" && work.position >= work.piece.end;
  }

  #finishPiece(work: Work): void {
    this.#work = null;
    this.#account.spent(work.piece.epoch, work.seconds);
    this.#tell(pieceDoneOf(work));
  }

  /**
   * Rests where it was told to; the piece it is in ends there, and what is left of it is dealt
   * again.
   */
  #tellPaused(): void {
    const pause = this.#pause;
    if (pause === null || !pause.settled || pause.told) return;
    pause.told = true;
    const position = this.#work?.position ?? -1;
    if (this.#work !== null) this.#finishPiece(this.#work);
    this.#tell({ type: "paused", pause: pause.id, position, step: this.#nextStep });
  }

  #startStep(work: Work, nowMs: number): void {
    const layout = this.#layout;
    const spec = this.#spec;
    assert(layout !== null && spec !== null, "prepared before stepping");
    const step = this.#nextStep;
    const end = Math.min(work.position + spec.batchSize, work.piece.end);
    const examples = end - work.position;
    const state: Stepping = {
      name: "stepping",
      step,
      examples,
      outstanding: new Set(),
      missing: new Set(layout.chunks.map((chunk) => chunk.index)),
      computed: examples === 0,
      computedAtMs: nowMs,
      startedAtMs: nowMs,
    };
    this.#state = state;
    if (examples > 0) {
      const range = { start: work.position, end };
      this.#effects.push({ type: "compute", step, epoch: work.piece.epoch, range });
      return;
    }
    for (const chunk of layout.chunks) {
      state.outstanding.add(chunk.index);
      this.#push(chunk.index, state);
    }
  }

  #resend(server: number): void {
    const view = this.#view;
    if (view === null) return;
    if (this.#state.name === "pulling") {
      for (const chunk of this.#state.missing) {
        if (view.primaries[chunk] === server) this.#pull(chunk);
      }
    }
    if (this.#state.name === "stepping") {
      for (const chunk of this.#state.outstanding) {
        if (view.primaries[chunk] === server) this.#push(chunk, this.#state);
      }
    }
  }

  #pull(chunk: number): void {
    const header = pullHeader(this.#identity, this.#viewIn(), { step: this.#nextStep, chunk });
    this.#effects.push({ type: "pull", server: this.#primaryOf(chunk), header });
  }

  #push(chunk: number, { step, examples }: Stepping): void {
    const version = this.#versions[chunk]!;
    const about = { step, chunk, version, examples };
    const header = pushHeader(this.#identity, this.#viewIn(), about);
    this.#effects.push({ type: "push", server: this.#primaryOf(chunk), header });
  }

  #viewIn(): View {
    assert(this.#view !== null, "a push belongs to a view");
    return this.#view;
  }

  #primaryOf(chunk: number): number {
    const primary = this.#view?.primaries[chunk];
    assert(primary !== undefined, "every chunk has a primary", { chunk });
    return primary;
  }

  #tell(message: MemberMessage): void {
    this.#effects.push({ type: "tell", message });
  }

  #log(text: string): void {
    this.#effects.push({ type: "log", text });
  }

  #logEpoch(epoch: number): void {
    this.#log(`Epoch ${epoch + 1}/${this.#spec?.epochs ?? 0} completed`);
  }
}
