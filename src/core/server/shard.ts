/**
 * A server's machine. It eats pushes, pulls, views and loads, and answers with effects: fold these
 * slots, apply that entry, reply, release. It never sees a tensor value.
 *
 * Here a message is weighed against the view. What follows is elsewhere: what happens to a push in
 * push-arrivals.ts, entries and their beats in entry-beats.ts, who is answered and with what in
 * chunk-replies.ts, which chunks there are in held-chunks.ts.
 *
 * Invariant: what implies a view, a load or a commit that is yet to come waits for it, in a place
 * of its sender's own.
 */
import { assert } from "../../assert.js";
import { shownId } from "../../protocol/ids.js";
import type { Layout } from "../../protocol/layout.js";
import type { ChunkHeader, ServerStatistics } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { supersedes, type View, workerOfRank } from "../../protocol/view.js";
import { ChunkReplies } from "./chunk-replies.js";
import { EarlyMessages } from "./early-messages.js";
import { EntryBeats, type NeedsAcknowledgement } from "./entry-beats.js";
import { HeldChunks } from "./held-chunks.js";
import { PushArrivals, type PushEvent } from "./push-arrivals.js";
import { answerTo, departuresOf, waiterForPull } from "./shard-answers.js";
import { ShardContext } from "./shard-context.js";
import type { AskingEvent, ShardEffect, ShardEvent } from "./shard-events.js";
import { type PayloadSizes, rawSizes, shapeObjection, viewObjection } from "./shard-objections.js";

/** Who this shard is and what run it serves. */
export interface ShardConfig {
  readonly index: number;
  readonly spec: RunSpec;
  readonly layout: Layout;
  /** Which entries wait for `acknowledged`; none if left out, as a chunk has one replica. */
  readonly needsAcknowledgement?: NeedsAcknowledgement;
}

/** The machine. */
export class Shard {
  readonly #context: ShardContext;
  readonly #replies: ChunkReplies;
  readonly #beats: EntryBeats;
  readonly #arrivals: PushArrivals;
  readonly #chunks: HeldChunks;
  /** Pushes and pulls whose time has not come. */
  readonly #early: EarlyMessages<AskingEvent>;

  constructor({ index, spec, layout, needsAcknowledgement = () => false }: ShardConfig) {
    this.#context = new ShardContext(spec, layout);
    this.#replies = new ChunkReplies(this.#context);
    this.#beats = new EntryBeats(this.#context, this.#replies, needsAcknowledgement);
    this.#arrivals = new PushArrivals(this.#context, this.#replies, this.#beats);
    this.#chunks = new HeldChunks(index, this.#context, this.#replies);
    this.#early = new EarlyMessages(2 * spec.workersMax * layout.chunks.length);
  }

  /** Eats one event; the effects are to be performed in order. */
  step(event: ShardEvent, _nowMs: number): ShardEffect[] {
    this.#context.effects = [];
    this.#dispatch(event);
    return this.#context.effects;
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
    const { spec, layout } = this.#context;
    return shapeObjection(spec, layout, header, payloadBytes, sizes);
  }

  /** One sentence: what this server waits for. */
  activity(): string {
    const { view, pace } = this.#context;
    if (view === null) return "waiting for a view";
    for (const state of this.#chunks.states()) {
      if (!state.loaded) return `chunk ${state.index} is not loaded`;
      if (state.pending !== null) {
        return `entry ${state.pending.seq} of chunk ${state.index} is not committed`;
      }
      for (const waiter of state.waiters) {
        const verdict = pace.mayStart(view, state, waiter.startStep);
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
    for (const state of this.#chunks.states()) slots.push(...state.drain());
    return slots;
  }

  /** Counts; times and bytes are the host's to add. */
  statistics(): ServerStatistics {
    return this.#context.counts.statistics(this.#chunks.states());
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
        this.#chunks.save(event);
        break;
      case "acknowledged":
        this.#onAcknowledged(event.chunk, event.seq);
        break;
      default:
        event satisfies never;
    }
  }

  #onView(view: View): void {
    const previous = this.#context.view;
    if (previous !== null && !supersedes(view, previous)) {
      const [late, held] = [shownId(view.number), shownId(previous.number)];
      this.#log("warn", `view ${late} is not after view ${held}: ignored`);
      return;
    }
    this.#context.follow(view);
    this.#replies.keepOnly(view);
    this.#chunks.follow(view);
    const states = this.#chunks.states();
    const departed = departuresOf(previous, view, states);
    for (const state of states) {
      for (const slot of state.dropAbsent(view)) this.#context.release(slot);
      state.waiters = state.waiters.filter(
        (waiter) =>
          waiter.rank < 0 || workerOfRank(view, waiter.rank)?.incarnation === waiter.incarnation,
      );
      this.#beats.advance(state, view);
    }
    this.#context.emit(answerTo(view, states, departed));
    this.#takeEarly();
  }

  /** Keeps what a view, a load or an acknowledgement that is yet to come may allow. */
  #keepEarly(event: AskingEvent): void {
    const { kept, replaced } = this.#early.keep(event);
    if (replaced?.type === "push") this.#context.release(replaced.slot);
    if (kept) return;
    if (event.type === "push") this.#context.release(event.slot);
    const detail = `${this.#early.places} messages already wait for a view here`;
    this.#context.refuse(event.header, event.channel, detail);
  }

  #takeEarly(): void {
    for (const event of this.#early.take()) this.#dispatch(event);
  }

  #onPush(event: PushEvent): void {
    const { header, slot, channel } = event;
    const { view } = this.#context;
    const state = this.#chunks.get(header.chunk);
    const objection = viewObjection(view, header);
    const isAhead = state !== undefined && (!state.loaded || state.generation > header.generation);
    if (objection === "early" || (objection === null && isAhead)) {
      this.#keepEarly(event);
      return;
    }
    if (view === null || state === undefined || objection !== null) {
      this.#context.release(slot);
      const why = objection ?? this.#chunks.whereIs(header.chunk);
      this.#context.refuse(header, channel, why);
      return;
    }
    if (!this.#arrivals.take(event, state, view)) this.#keepEarly(event);
  }

  #onPull(event: ShardEvent & { readonly type: "pull" }): void {
    const { header, channel } = event;
    const { view } = this.#context;
    const state = this.#chunks.get(header.chunk);
    const objection = header.rank < 0 ? null : viewObjection(view, header);
    if (objection === "early") {
      this.#keepEarly(event);
      return;
    }
    if (view === null || state === undefined || objection !== null) {
      const why = objection ?? this.#chunks.whereIs(header.chunk);
      this.#context.refuse(header, channel, why);
      return;
    }
    this.#replies.asked(header);
    this.#replies.answer(state, view, waiterForPull(header, channel));
  }

  #onLoad(event: ShardEvent & { readonly type: "load" }): void {
    const { view } = this.#context;
    const loaded = this.#chunks.load(event);
    if (loaded === null || view === null) return;
    this.#beats.advance(loaded, view);
    this.#takeEarly();
  }

  /** An entry is committed; what came meanwhile has its turn. */
  #onAcknowledged(chunk: number, seq: number): void {
    const { view } = this.#context;
    const state = this.#chunks.get(chunk);
    if (view === null || state === undefined) return;
    if (this.#beats.acknowledged(state, view, seq)) this.#takeEarly();
  }

  #log(level: "info" | "warn", text: string): void {
    assert(text !== "", "a log line says something");
    this.#context.emit({ type: "log", level, text });
  }
}
