/**
 * A server's machine. It eats pushes, pulls, views and loads, and answers with effects: apply these
 * slots to that chunk, reply, release. It never sees a tensor value.
 *
 * The idea: every answer that carries weights is a request to start a step, and the protocol says
 * when a step may start. So barriers, bounded staleness and asynchrony are one list of waiters per
 * chunk, looked at again after each push and each view; a view that removes a worker can only
 * release waiters.
 *
 * Invariants: a push is applied at most once per chunk (marks); a step is folded in ascending rank;
 * what a reply carries has been applied; a push that is refused leaves no trace.
 */
import { assert } from "../../assert.js";
import { shownId } from "../../protocol/ids.js";
import { type Layout, type ParameterGroup, reduceOf } from "../../protocol/layout.js";
import {
  type ChunkHeader,
  type ChunkMarks,
  type ChunkPart,
  type Departure,
  emptyHeader,
  type PushOutcome,
  type ServerStatistics,
} from "../../protocol/messages.js";
import type { Reduce, RunSpec } from "../../protocol/run-spec.js";
import { learningRate } from "../../protocol/schedule.js";
import { chunksOfServer, supersedes, type View, workerOfRank } from "../../protocol/view.js";
import { paceOf } from "../sync/modes.js";
import type { Pace } from "../sync/pace.js";
import { ChunkState, type Waiter } from "./chunk-state.js";
import { EarlyMessages } from "./early-messages.js";
import { answerTo, departuresOf, replyTo, waiterFor, waiterForPull } from "./shard-answers.js";
import { ShardCounts } from "./shard-counts.js";
import { type PayloadSizes, rawSizes, shapeObjection, viewObjection } from "./shard-objections.js";

/**
 * What a shard can be told. `channel` names where an answer goes; slots name memory of the host.
 */
export type ShardEvent =
  | { readonly type: "view"; readonly view: View }
  | {
      readonly type: "push";
      readonly header: ChunkHeader;
      /** Slot with the decoded gradient; -1 for an empty one. */
      readonly slot: number;
      /** False when a value of the gradient is NaN or infinite. */
      readonly finite: boolean;
      readonly channel: number;
    }
  | { readonly type: "pull"; readonly header: ChunkHeader; readonly channel: number }
  | {
      readonly type: "load";
      readonly chunk: number;
      readonly part: ChunkPart;
      readonly slot: number;
      /** With the weights part; null otherwise. */
      readonly marks: ChunkMarks | null;
      readonly channel: number;
    }
  | { readonly type: "save"; readonly chunk: number; readonly channel: number };

/** A gradient that takes part in an apply. */
export interface AppliedGradient {
  readonly slot: number;
  readonly examples: number;
}

/** What the host has to do, in order. */
export type ShardEffect =
  | {
      readonly type: "apply";
      readonly chunk: number;
      readonly group: ParameterGroup;
      /** In ascending rank. */
      readonly gradients: readonly AppliedGradient[];
      /** How the gradients become one; null for a single one that is applied as it is. */
      readonly reduce: Reduce | null;
      readonly lr: number;
      readonly scale: number;
      /** This is the chunk's n-th update, counted from 1 (bias correction). */
      readonly updateCount: number;
    }
  | { readonly type: "release"; readonly slot: number }
  | {
      readonly type: "install";
      readonly chunk: number;
      readonly part: ChunkPart;
      readonly slot: number;
    }
  | {
      readonly type: "reply";
      readonly channel: number;
      readonly header: ChunkHeader;
      /** Send the chunk's present weights as payload. */
      readonly withWeights: boolean;
    }
  /** Send every part of the chunk; `header` is the same for each but for `part`. */
  | { readonly type: "sendParts"; readonly channel: number; readonly header: ChunkHeader }
  | {
      readonly type: "viewAck";
      readonly view: number;
      readonly sealedStep: number;
      readonly clockMin: number;
      readonly departed: readonly Departure[];
    }
  | { readonly type: "log"; readonly level: "info" | "warn"; readonly text: string };

type EarlyEvent = ShardEvent & { readonly type: "push" | "pull" };

/** Who this shard is and what run it serves. */
export interface ShardConfig {
  readonly index: number;
  readonly spec: RunSpec;
  readonly layout: Layout;
}

/** The machine. */
export class Shard {
  readonly #spec: RunSpec;
  readonly #layout: Layout;
  readonly #index: number;
  readonly #chunks = new Map<number, ChunkState>();
  #view: View | null = null;
  /** That of the view's phase. */
  #pace: Pace;
  /** Pushes and pulls that imply a view which has not come yet. */
  readonly #early: EarlyMessages<EarlyEvent>;
  #effects: ShardEffect[] = [];
  readonly #counts = new ShardCounts();

  constructor(config: ShardConfig) {
    this.#index = config.index;
    this.#spec = config.spec;
    this.#pace = paceOf(config.spec, 0);
    this.#layout = config.layout;
    this.#early = new EarlyMessages(2 * config.spec.workersMax * config.layout.chunks.length);
  }

  /** Eats one event; the effects are to be performed in order. */
  step(event: ShardEvent, _nowMs: number): ShardEffect[] {
    this.#effects = [];
    this.#dispatch(event);
    return this.#effects;
  }

  /**
   * Why a chunk message can't be taken in at all, before memory is given to it; null when it can.
   * `sizes` are those of the way in which its values are written.
   */
  objection(
    header: ChunkHeader,
    payloadBytes: number,
    sizes: PayloadSizes = rawSizes,
  ): string | null {
    return shapeObjection(this.#spec, this.#layout, header, payloadBytes, sizes);
  }

  /** One sentence: what this server waits for. */
  activity(): string {
    if (this.#view === null) return "waiting for a view";
    for (const state of this.#chunks.values()) {
      if (!state.loaded) return `chunk ${state.index} is not loaded`;
      for (const waiter of state.waiters) {
        const verdict = this.#pace.mayStart(this.#view, state, waiter.startStep);
        if (!verdict.allowed) return verdict.reason;
      }
    }
    return "serving";
  }

  /** Slots still held; the host frees them when the job ends. */
  drain(): number[] {
    const slots = this.#early
      .take()
      .flatMap((event) => (event.type === "push" && event.slot >= 0 ? [event.slot] : []));
    for (const state of this.#chunks.values()) slots.push(...state.drain());
    return slots;
  }

  /** Counts; times and bytes are the host's to add. */
  statistics(): ServerStatistics {
    return this.#counts.statistics([...this.#chunks.values()]);
  }

  #dispatch(event: ShardEvent): void {
    switch (event.type) {
      case "view":
        this.#onView(event.view);
        break;
      case "push":
        this.#onPush(event);
        break;
      case "pull":
        this.#onPull(event);
        break;
      case "load":
        this.#onLoad(event);
        break;
      case "save":
        this.#onSave(event);
        break;
      default:
        event satisfies never;
    }
  }

  #onView(view: View): void {
    const previous = this.#view;
    if (previous !== null && !supersedes(view, previous)) {
      const [late, held] = [shownId(view.number), shownId(previous.number)];
      this.#log("warn", `view ${late} is not after view ${held}: ignored`);
      return;
    }
    this.#view = view;
    this.#pace = paceOf(this.#spec, view.phase);
    const owned = new Set(chunksOfServer(view, this.#index));
    for (const index of owned) {
      if (!this.#chunks.has(index)) this.#chunks.set(index, new ChunkState(index));
    }
    const states = [...this.#chunks.values()];
    const departed = departuresOf(previous, view, states);
    for (const state of states) {
      state.waiters = state.waiters.filter(
        (waiter) =>
          waiter.rank < 0 || workerOfRank(view, waiter.rank)?.incarnation === waiter.incarnation,
      );
      this.#advance(state, view);
    }
    this.#effects.push(answerTo(view, states, departed));
    this.#takeEarly();
  }

  /** Keeps what a view or a load that is yet to come may allow. */
  #keepEarly(event: EarlyEvent): void {
    const { kept, replaced } = this.#early.keep(event);
    if (replaced?.type === "push") this.#release(replaced.slot);
    if (kept) return;
    if (event.type === "push") this.#release(event.slot);
    const detail = `${this.#early.places} messages already wait for a view here`;
    this.#refuse(event.header, event.channel, detail);
  }

  #takeEarly(): void {
    for (const event of this.#early.take()) this.#dispatch(event);
  }

  #onPush(event: ShardEvent & { type: "push" }): void {
    const { header, slot, channel } = event;
    const { rank, incarnation, step } = header;
    const view = this.#view;
    const state = this.#chunks.get(header.chunk);
    const objection = viewObjection(this.#view, header);
    if (objection === "early" || (objection === null && state?.loaded === false)) {
      this.#keepEarly(event);
      return;
    }
    if (view === null || state === undefined || objection !== null) {
      this.#release(slot);
      this.#refuse(header, channel, objection ?? `chunk ${header.chunk} is not held here`);
      return;
    }
    if (state.seen(rank, incarnation, step)) {
      this.#release(slot);
      this.#counts.duplicates++;
      const about = { outcome: "duplicate", staleness: 0, detail: "seen before" } as const;
      this.#answer(state, view, waiterFor(header, channel, about));
      return;
    }
    if (!event.finite) {
      this.#release(slot);
      const whose = `from worker ${rank} at step ${step}`;
      const detail = `gradient of chunk ${header.chunk} ${whose} is not finite`;
      this.#reply(channel, header, "nonfinite", state.version, detail);
      return;
    }
    this.#onFreshPush(event, state, view);
  }

  /** One that has not been seen: the pace says what happens to it. */
  #onFreshPush(event: ShardEvent & { type: "push" }, state: ChunkState, view: View): void {
    const { header, slot, channel } = event;
    const { rank, incarnation, step, examples } = header;
    const staleness = Math.max(0, state.version - header.version);
    const arrival = this.#pace.onPush(view, state, { step, examples, staleness });
    switch (arrival.kind) {
      case "hold":
        this.#hold(event, state, view);
        break;
      case "apply":
        state.mark(rank, incarnation, step);
        if (examples > 0) {
          this.#counts.accepted(staleness);
          state.pushes++;
          this.#apply(state, [{ slot, examples }], null, arrival.scale);
        }
        this.#answerMarked(event, state, view, {
          outcome: "applied",
          staleness,
          detail: arrival.reason,
        });
        break;
      case "reject":
      case "drop":
        state.mark(rank, incarnation, step);
        if (arrival.kind === "reject") this.#counts.rejected++;
        this.#answerMarked(event, state, view, {
          ...(arrival.kind === "reject"
            ? { outcome: "rejected", staleness }
            : { outcome: "dropped", staleness: 0 }),
          detail: arrival.reason,
        });
        break;
      case "refuse":
        this.#release(slot);
        this.#refuse(header, channel, arrival.reason);
        break;
      default:
        arrival satisfies never;
    }
  }

  #answerMarked(
    { header, slot, channel }: ShardEvent & { type: "push" },
    state: ChunkState,
    view: View,
    about: Pick<Waiter, "outcome" | "staleness" | "detail">,
  ): void {
    this.#release(slot);
    state.await(waiterFor(header, channel, about));
    this.#advance(state, view);
  }

  #hold(event: ShardEvent & { type: "push" }, state: ChunkState, view: View): void {
    const { header, slot, channel } = event;
    const { rank, incarnation, examples } = header;
    if (state.holds(header)) {
      this.#counts.duplicates++;
      this.#release(slot);
    } else {
      state.hold({ rank, incarnation, examples, slot });
    }
    const about = { outcome: "applied", staleness: 0, detail: "" } as const;
    state.await(waiterFor(header, channel, about));
    this.#advance(state, view);
  }

  /** Seals every step that is complete, then answers whoever may go on. */
  #advance(state: ChunkState, view: View): void {
    while (this.#sealNext(state, view));
    const waiting = state.waiters;
    state.waiters = [];
    for (const waiter of waiting) this.#answer(state, view, waiter);
  }

  #sealNext(state: ChunkState, view: View): boolean {
    if (!state.loaded || !this.#pace.maySeal(view, state).allowed) return false;
    const contributions = state.seal();
    const gradients = contributions.filter(({ examples }) => examples > 0);
    this.#apply(state, gradients, reduceOf(this.#groupOf(state), this.#spec.reduce), 1);
    state.pushes += gradients.length;
    for (const { slot } of contributions) this.#release(slot);
    return true;
  }

  #apply(
    state: ChunkState,
    gradients: readonly AppliedGradient[],
    reduce: Reduce | null,
    scale: number,
  ): void {
    if (gradients.length === 0) return;
    const lr = this.#learningRate(state);
    this.#counts.updated(lr);
    state.version++;
    this.#effects.push({
      type: "apply",
      chunk: state.index,
      group: this.#groupOf(state),
      gradients: gradients.map(({ slot, examples }) => ({ slot, examples })),
      reduce,
      lr,
      scale,
      updateCount: state.version,
    });
    for (const { examples } of gradients) state.examples += examples;
  }

  #groupOf({ index }: ChunkState): ParameterGroup {
    return this.#layout.chunks[index]!.group;
  }

  #learningRate(state: ChunkState): number {
    const lr = learningRate(this.#spec.schedule, state.examples);
    if (this.#spec.lrScaling === "none" || this.#view === null) return lr;
    return (lr * this.#view.workers.length) / this.#spec.workersMax;
  }

  /** Answers at once if the protocol lets the asker start its step, else lets it wait. */
  #answer(state: ChunkState, view: View, waiter: Waiter): void {
    const verdict = this.#pace.mayStart(view, state, waiter.startStep);
    if (!state.loaded || !verdict.allowed) {
      state.await(waiter);
      return;
    }
    this.#effects.push({
      type: "reply",
      channel: waiter.channel,
      header: replyTo(waiter, view, state),
      withWeights: waiter.wantsWeights,
    });
  }

  #onPull(event: ShardEvent & { type: "pull" }): void {
    const { header, channel } = event;
    const view = this.#view;
    const state = this.#chunks.get(header.chunk);
    const objection = header.rank < 0 ? null : viewObjection(this.#view, header);
    if (objection === "early") {
      this.#keepEarly(event);
      return;
    }
    if (view === null || state === undefined || objection !== null) {
      this.#refuse(header, channel, objection ?? `chunk ${header.chunk} is not held here`);
      return;
    }
    this.#answer(state, view, waiterForPull(header, channel));
  }

  #onLoad(event: ShardEvent & { type: "load" }): void {
    const state = this.#chunks.get(event.chunk);
    const header = { ...emptyHeader, run: this.#spec.run, chunk: event.chunk, part: event.part };
    if (state === undefined) {
      this.#release(event.slot);
      this.#refuse(header, event.channel, `chunk ${event.chunk} is not held here`);
      return;
    }
    this.#effects.push({
      type: "install",
      chunk: event.chunk,
      part: event.part,
      slot: event.slot,
    });
    if (event.part === "weights") {
      if (event.marks !== null) state.restore(event.marks);
      state.loaded = true;
    }
    this.#effects.push({
      type: "reply",
      channel: event.channel,
      header: { ...header, kind: "loaded" },
      withWeights: false,
    });
    if (!state.loaded || this.#view === null) return;
    this.#advance(state, this.#view);
    this.#takeEarly();
  }

  #onSave(event: ShardEvent & { type: "save" }): void {
    const state = this.#chunks.get(event.chunk);
    const header = { ...emptyHeader, run: this.#spec.run, chunk: event.chunk };
    if (state === undefined || !state.loaded) {
      this.#refuse(header, event.channel, `chunk ${event.chunk} is not held here`);
      return;
    }
    this.#effects.push({
      type: "sendParts",
      channel: event.channel,
      header: {
        ...header,
        kind: "saved",
        version: state.version,
        detail: JSON.stringify(state.marks()),
      },
    });
  }

  #refuse(header: ChunkHeader, channel: number, detail: string): void {
    this.#reply(channel, header, "refused", this.#view?.number ?? 0, detail);
  }

  #reply(
    channel: number,
    header: ChunkHeader,
    outcome: PushOutcome,
    version: number,
    detail: string,
  ): void {
    const answer = { ...header, kind: "reply", outcome, version, detail, examples: 0 } as const;
    this.#effects.push({ type: "reply", channel, header: answer, withWeights: false });
  }

  #release(slot: number): void {
    if (slot >= 0) this.#effects.push({ type: "release", slot });
  }

  #log(level: "info" | "warn", text: string): void {
    assert(text !== "", "a log line says something");
    this.#effects.push({ type: "log", level, text });
  }
}
