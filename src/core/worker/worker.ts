/**
 * A worker's machine. It takes assignments from the coordinator, has each step computed, pushes
 * every chunk's gradient to its primary as soon as it is final, and goes on when all are back.
 * Within an assignment it does not wait for the last of them: once a step is computed the next one
 * is handed over with the chunks that it lacks, and each is told of (`arrived`) when its answer is
 * there. What computes says no gradient before all have arrived, so a step's pushes follow the
 * answers to all pushes of the step before. Its states are in worker-state.ts.
 *
 * Invariants: pushes of one step are in flight at a time; a push stays outstanding, and is sent
 * again as it was, until it is answered; who was asked to pause starts no step past the one given.
 */
import { assert } from "../../assert.js";
import { pullsDifferences, pullsEncoded } from "../../protocol/compression.js";
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { Chunk, Layout } from "../../protocol/layout.js";
import type {
  Assignment,
  ChunkHeader,
  CoordinatorMessage,
  MemberMessage,
  WorkerStatistics,
} from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { supersedes, type View, workerOfRank } from "../../protocol/view.js";
import { paceOf, planProblem } from "../sync/modes.js";
import { isUnbounded, type Pace } from "../sync/pace.js";
import { BarrierStand } from "./barrier-stand.js";
import { IdleTime } from "./idle-time.js";
import { completeStep, noteAnswer, unusedWords } from "./late-steps.js";
import { isPauseWord, RestOrder } from "./rest-order.js";
import { StepHistory } from "./step-history.js";
import { type StepOutcome, WorkerAccount, type WorkerAccountRecord } from "./worker-account.js";
import type { WorkerEffect, WorkerEvent } from "./worker-events.js";
import { WorkerRequests } from "./worker-requests.js";
import {
  activityOf,
  awaitsAnswer,
  type EvaluationPart,
  epochWords,
  evaluatedOf,
  evaluating,
  inFlight,
  isAsking,
  isExhausted,
  isIdleInPause,
  lastWordsOf,
  readyOf,
  reportOf,
  returnedOf,
  type StepPlace,
  type Stepping,
  standUnder,
  stepAhead,
  stepBegun,
  stepIn,
  type Work,
  type WorkerState,
  workOn,
} from "./worker-state.js";

/** The machine. */
export class Worker {
  readonly #identity: WorkerIdentity;
  #state: WorkerState = { name: "idle" };
  #spec: RunSpec | null = null;
  #layout: Layout | null = null;
  #view: View | null = null;
  #requests: WorkerRequests;
  #nextStep = 0;
  #work: Work | null = null;
  /** What was done of the assignment before. */
  #lastDone: Work | null = null;
  #evaluations: Pick<EvaluationPart, "evaluation" | "range">[] = [];
  readonly #rest = new RestOrder();
  #lastEpoch = -1;
  #account = new WorkerAccount();
  #effects: WorkerEffect[] = [];
  readonly #emit = (effect: WorkerEffect) => this.#effects.push(effect);
  #history = new StepHistory(this.#emit);
  #barrier = new BarrierStand(this.#emit);
  #idle = new IdleTime();

  constructor(identity: WorkerIdentity) {
    this.#identity = identity;
    this.#requests = new WorkerRequests(identity, 0, this.#emit);
  }

  /** Eats one event; the effects are to be performed in order. */
  step(event: WorkerEvent, nowMs: number): WorkerEffect[] {
    this.#effects = [];
    switch (event.type) {
      case "message":
        this.#onMessage(event.message);
        break;
      case "prepared":
        this.#onPrepared(event);
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
      case "residualsGiven":
        this.#onResidualsGiven(event);
        break;
      case "failed":
        if (event.run === this.#spec?.run) this.#fail(event.code, event.reason);
        break;
      case "returned":
        this.#onReturned();
        break;
      case "channelOpen":
        this.#requests.againOf(event.server, this.#state, this.#nextStep);
        break;
      default:
        event satisfies never;
    }
    this.#proceed(nowMs);
    return this.#effects;
  }

  /** True when the weights that a reply carries are still wanted. */
  wants(header: ChunkHeader): boolean {
    return header.generation === this.#view?.generation && this.#isOwn(header);
  }

  /** One sentence: what this worker is doing. */
  activity(): string {
    return activityOf(this.#state, this.#requests.chunks, this.#nextStep, this.#rest.stands);
  }

  /** Counts since this incarnation began. */
  statistics(): WorkerStatistics {
    return this.#account.statistics(this.#nextStep);
  }

  /** What the final metrics are made of. */
  record(): WorkerAccountRecord {
    return this.#account.record();
  }

  #onMessage(message: CoordinatorMessage): void {
    if (isPauseWord(message)) {
      const answer = this.#rest.hear(message, stepIn(this.#state, this.#nextStep));
      if (answer !== null) this.#tell(answer);
      return;
    }
    switch (message.type) {
      case "prepare":
        this.#takeJob(message.spec, message.residuals);
        break;
      case "view":
        this.#onView(message.view);
        break;
      case "work":
        this.#onWork(message.assignment);
        break;
      case "evaluate":
        this.#evaluations.push({ evaluation: message.evaluation, range: message.range });
        break;
      case "tally":
        this.#history.ask(message);
        break;
      case "barrier":
        this.#barrier.hear(message.barrier);
        break;
      case "evaluation":
        this.#account.evaluated(this.#nextStep > 0 ? message.epoch : null, message.accuracyPercent);
        break;
      case "stop":
        if (!this.#rest.leave(message, this.#state.name)) this.#onStop(message);
        break;
      case "heartbeatAck":
      case "move":
        break;
      default:
        message satisfies never;
    }
  }

  #takeJob(spec: RunSpec, residuals: boolean): void {
    const reason = planProblem(spec);
    if (reason !== null) {
      this.#tell({ type: "failed", code: "protocol", reason });
      return;
    }
    this.#spec = spec;
    [this.#view, this.#layout, this.#evaluations] = [null, null, []];
    [this.#barrier, this.#idle] = [new BarrierStand(this.#emit), new IdleTime()];
    [this.#nextStep, this.#lastEpoch, this.#work, this.#lastDone] = [0, -1, null, null];
    this.#rest.lift(null);
    [this.#account, this.#history] = [new WorkerAccount(), new StepHistory(this.#emit)];
    this.#state = { name: "preparing" };
    this.#effects.push({ type: "prepare", spec, residuals });
  }

  #onPrepared(event: WorkerEvent & { readonly type: "prepared" }): void {
    const { run, layout, engine, algorithms } = event;
    if (this.#state.name !== "preparing" || this.#spec?.run !== run) return;
    this.#layout = layout;
    this.#requests = new WorkerRequests(this.#identity, layout.chunks.length, this.#emit);
    this.#state = { name: "awaiting" };
    this.#tell(readyOf(run, layout, { engine, algorithms }));
  }

  #onView(view: View): void {
    const layout = this.#layout;
    if (layout === null || view.run !== this.#spec?.run) return;
    if (this.#view !== null && !supersedes(view, this.#view)) return;
    const self = workerOfRank(view, this.#identity.rank);
    const steps = { fromStep: self?.fromStep ?? 0, nextStep: this.#nextStep };
    const stand = standUnder(this.#state, this.#view, view, steps);
    this.#view = view;
    this.#requests.follow(view);
    this.#effects.push({ type: "connect", view, servers: view.servers });
    if (self?.incarnation !== this.#identity.incarnation) return;
    this.#nextStep = stand.nextStep;
    if (stand.isNew) this.#pullAll(layout.chunks);
    else this.#requests.again(this.#state, this.#nextStep, () => true);
  }

  #onWork(assignment: Assignment): void {
    if (this.#work !== null) {
      this.#log(`assignment ${assignment.id} came before ${this.#work.assignment.id} was done`);
      return;
    }
    this.#work = workOn(assignment);
    this.#nextStep = Math.max(this.#nextStep, assignment.firstStep);
    if (assignment.epoch > this.#lastEpoch) this.#leaveEpoch();
    this.#lastEpoch = Math.max(this.#lastEpoch, assignment.epoch);
  }

  #onChunkReady(step: number, chunk: number): void {
    const state = this.#state;
    if (state.name !== "stepping" || state.step !== step) return;
    const lacking = state.before?.missing.size ?? 0;
    assert(lacking === 0, "a gradient follows all parameters", { step, chunk, lacking });
    this.#requests.pushFinal(chunk, state);
  }

  #onComputed(step: number, outcome: StepOutcome, nowMs: number): void {
    const state = this.#state;
    if (state.name !== "stepping" || state.step !== step || this.#work === null) return;
    if (!Number.isFinite(outcome.lossSum)) {
      this.#tell({ type: "diverged", step, what: `loss is ${outcome.lossSum}` });
      return;
    }
    Object.assign(state, { computed: true, outcome, computedAtMs: nowMs });
    this.#account.computed(state.examples, outcome, nowMs - state.startedAtMs);
    if (state.missing.size === 0) this.#finishStep(state, nowMs);
  }

  #onExamplesRefused(step: number, reason: string): void {
    if (this.#state.name !== "stepping" || this.#state.step !== step) return;
    assert(this.#work !== null, "a step belongs to an assignment", { step });
    assert(this.#state.before === null, "no step is begun on examples that are sent", { step });
    const { id: assignment, start, end } = this.#work.assignment;
    [this.#work, this.#state] = [null, { name: "resting" }];
    this.#log(`examples ${start} to ${end} are refused: ${reason}`);
    this.#tell({ type: "assignmentRefused", assignment, reason });
  }

  #onReply(header: ChunkHeader, nowMs: number): void {
    const { outcome, step, detail } = header;
    if (outcome === "refused") this.#onRefused(header);
    if (outcome === "refused" || !this.wants(header)) return;
    if (outcome === "nonfinite") {
      this.#tell({ type: "diverged", step, what: detail });
      return;
    }
    const state = this.#state;
    if (state.name === "fetching") state.versions[header.chunk] = header.version;
    // Else it goes on with what it has laid aside.
    const isKept = state.name !== "fetching" || !state.laysAside;
    if (isKept) this.#requests.received(header);
    if (isAsking(state)) {
      state.missing.delete(header.chunk);
      if (state.missing.size === 0) this.#onAllHere(state);
      return;
    }
    const answered = inFlight(state, header.step)!;
    noteAnswer(answered, header, this.#pace);
    for (const held of answered.verdict.decided(header.chunk, header.scale)) {
      this.#requests.push(held, answered);
    }
    if (answered !== state) this.#effects.push({ type: "arrived", chunk: header.chunk });
    if (answered.computed && answered.missing.size === 0) this.#finishStep(answered, nowMs);
  }

  /**
   * A refusal by a later view is mended by that view, when it comes; one of what an earlier view
   * had sent is mended under the present one; any other is not.
   */
  #onRefused(header: ChunkHeader): void {
    const refusal = `a server refused chunk ${header.chunk}: ${header.detail}`;
    this.#log(refusal);
    const { number = 0 } = this.#view ?? {};
    if (!this.#isOwn(header) || header.version > number) return;
    if (header.fence < number) {
      this.#requests.again(this.#state, this.#nextStep, (chunk) => chunk === header.chunk);
    } else this.#fail("refused", `${refusal} (step ${header.step})`);
  }

  #isOwn(header: ChunkHeader): boolean {
    const own = header.run === this.#spec?.run && header.incarnation === this.#identity.incarnation;
    return own && awaitsAnswer(this.#state, header);
  }

  /** All chunks are back. Where the next step was begun, this one's time ended with that. */
  #finishStep(finished: Stepping, nowMs: number): void {
    const work = this.#work;
    assert(work !== null, "a step belongs to an assignment", { step: finished.step });
    const endMs = finished.leftAtMs ?? nowMs;
    const ground = { layout: this.#layout!, spec: this.#spec!, pace: this.#pace };
    const { used, nextStep, behind } = completeStep(work, finished, ground, endMs);
    this.#account.stepped(used, endMs - finished.computedAtMs);
    this.#idle.stepped(endMs - finished.startedAtMs);
    for (const line of unusedWords(finished, used, nextStep)) this.#log(line);
    this.#nextStep = this.#requests.weightsStep = nextStep;
    this.#history.completed(work, finished.step, this.statistics());
    if (this.#state === finished) this.#state = { name: "resting" };
    else if (this.#state.name === "stepping") this.#state.before = null;
    if (behind.length > 0) this.#pullAll(behind);
  }

  /** Asks for the model as it is; where it trains on something near it, that is laid aside. */
  #fetch(part: Pick<EvaluationPart, "evaluation" | "range">): void {
    const laysAside = pullsEncoded(this.#spec!.compression);
    if (laysAside) this.#effects.push({ type: "layAside" });
    const asking = this.#requests.ask(this.#layout!.chunks, -1);
    this.#state = { name: "fetching", ...part, laysAside, versions: [], ...asking };
  }

  #onAllHere(state: WorkerState & { readonly name: "pulling" | "fetching" }): void {
    this.#state = state.name === "pulling" ? { name: "resting" } : evaluating(state);
    if (state.name === "fetching") this.#effects.push({ type: "evaluate", range: state.range });
  }

  #onEvaluated(correct: number, lossSum: number): void {
    if (this.#state.name !== "evaluating") return;
    this.#tell(evaluatedOf(this.#state, correct, lossSum));
    if (this.#state.laysAside) this.#effects.push({ type: "takeBack" });
    this.#state = { name: "resting" };
  }

  #onStop({ outcome, reason, stay }: CoordinatorMessage & { type: "stop" }): void {
    if (outcome === "done" && this.#spec !== null) {
      this.#leaveEpoch();
      for (const line of lastWordsOf(this.#identity.rank, this.#account)) this.#log(line);
    }
    this.#tell({ type: "leave", reason, server: null, worker: this.statistics() });
    this.#effects.push({ type: "finish", outcome, reason, stay });
    [this.#state, this.#work] = [{ name: "idle" }, null];
  }

  /** Takes whole weights where replies are differences, then gives its residuals. */
  #standAtBarrier(): void {
    if (pullsDifferences(this.#spec!.compression) && this.#barrier.takesWhole()) {
      this.#pullAll(this.#layout!.chunks.filter(({ group }) => group === "weight"));
      return;
    }
    this.#state = { name: "giving" };
    this.#barrier.give();
  }

  #onResidualsGiven(event: WorkerEvent & { readonly type: "residualsGiven" }): void {
    // Another coordinator may have a barrier of its own by then.
    if (this.#state.name === "giving") this.#state = { name: "resting" };
    this.#barrier.given(event);
  }

  #proceed(nowMs: number): void {
    const leave = this.#rest.takeLeave(this.#state.name);
    if (leave !== null) this.#onStop(leave);
    const mustRest = () =>
      this.#rest.forbids(this.#nextStep) || isIdleInPause(this.#work, this.#pace, this.#rest);
    if (this.#state.name === "pulling") this.#attendWhilePulling(mustRest());
    while (this.#state.name === "resting") {
      const evaluation = this.#evaluations.shift();
      if (evaluation !== undefined) {
        this.#fetch(evaluation);
        return;
      }
      const work = this.#work;
      if (work !== null && isExhausted(work, this.#nextStep, this.#pace)) {
        this.#finishAssignment(work);
        continue;
      }
      if (this.#barrier.stands) {
        if (this.#barrier.isGiving) return;
        this.#standAtBarrier();
        continue;
      }
      if (mustRest()) {
        this.#idle.ordered(nowMs);
        this.#tellPaused();
        return;
      }
      this.#idle.noted(work === null, nowMs);
      if (work === null) return;
      if (this.#hasOldWeights()) {
        this.#pullAll(this.#layout!.chunks);
        return;
      }
      this.#begin(work, { step: this.#nextStep, start: work.position, before: null }, nowMs);
    }
    this.#startAhead(nowMs);
  }

  #hasOldWeights(): boolean {
    if (this.#idle.takeLong()) return isUnbounded(this.#pace);
    return this.#pace.hasDecider && this.#requests.weightsStep < this.#nextStep;
  }

  /**
   * Nobody may depend on one that waits for its first chunks: it rests as it is, and what it gives
   * at a barrier it has already. Its weights come whole.
   */
  #attendWhilePulling(mustRest: boolean): void {
    if (mustRest) this.#tellPaused();
    this.#barrier.giveWhilePulling();
  }

  #startAhead(nowMs: number): void {
    const [spec, work] = [this.#spec, this.#work];
    if (spec === null || work === null || this.#evaluations.length > 0) return;
    const ahead = stepAhead(this.#state, work, { spec, pace: this.#pace });
    if (ahead === null || this.#rest.forbids(ahead.step)) return;
    ahead.before.leftAtMs = nowMs;
    this.#begin(work, ahead, nowMs);
  }

  #finishAssignment(work: Work): void {
    this.#work = null;
    this.#lastDone = work;
    this.#account.spent(work.assignment.epoch, work.seconds);
    this.#tell({ type: "assignmentDone", ...reportOf(work, this.statistics()) });
  }

  /** Another coordinator may not know what was done last. */
  #onReturned(): void {
    this.#rest.lift(null);
    this.#evaluations = [];
    this.#barrier.returned();
    this.#tell(returnedOf([this.#work, this.#lastDone], this.#nextStep, this.statistics()));
  }

  /** Rests where it was told to: its assignment ends there, and what is left is dealt again. */
  #tellPaused(): void {
    const pause = this.#rest.takeReached();
    if (pause === null) return;
    const position = this.#work?.position ?? -1;
    if (this.#work !== null) this.#finishAssignment(this.#work);
    this.#tell({ type: "paused", pause, position, step: this.#nextStep });
  }

  #begin(work: Work, place: StepPlace, nowMs: number): void {
    const [layout, spec, pace, requests] = [this.#layout!, this.#spec!, this.#pace, this.#requests];
    const { state, compute } = stepBegun(work, place, { layout, spec, pace, requests }, nowMs);
    this.#state = state;
    if (compute !== null) this.#effects.push(compute);
    else for (const { index } of layout.chunks) requests.pushFinal(index, state);
  }

  #pullAll(chunks: readonly Chunk[]): void {
    const asking = this.#requests.ask(chunks, this.#nextStep);
    this.#state = chunks.length === 0 ? { name: "resting" } : { name: "pulling", ...asking };
  }

  get #pace(): Pace {
    return paceOf(this.#view?.protocol ?? this.#spec!.protocol);
  }

  #leaveEpoch(): void {
    if (this.#lastEpoch >= 0) this.#log(epochWords(this.#lastEpoch, this.#spec?.epochs ?? 0));
  }

  #tell(message: MemberMessage): void {
    this.#effects.push({ type: "tell", message });
  }

  #fail(code: string, reason: string): void {
    this.#log(reason);
    this.#tell({ type: "failed", code, reason });
  }

  #log(text: string): void {
    this.#emit({ type: "log", text });
  }
}
