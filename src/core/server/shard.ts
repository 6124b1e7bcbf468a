/**
 * A server's machine. It eats pushes, pulls, views and loads, and answers with effects: fold these
 * slots, apply that entry, reply, release. It never sees a tensor value.
 *
 * Here a message is weighed against the view. What follows is elsewhere: what happens to a push in
 * push-arrivals.ts, entries and their beats in entry-beats.ts, who is answered and with what in
 * chunk-replies.ts, which chunks there are in held-chunks.ts, what a checkpoint has of them in
 * chunk-copies.ts, who follows them in followers.ts, and whose chunks this server follows in
 * following.ts.
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
import { ChunkCopies } from "./chunk-copies.js";
import { ChunkReplies } from "./chunk-replies.js";
import type { ChunkState } from "./chunk-state.js";
import { EarlyMessages, earlyMax } from "./early-messages.js";
import { EntryBeats } from "./entry-beats.js";
import { Followers } from "./followers.js";
import { Following } from "./following.js";
import { HeldChunks } from "./held-chunks.js";
import { PushArrivals, type PushEvent } from "./push-arrivals.js";
import { answerTo, departuresOf, waiterForPull } from "./shard-answers.js";
import { ShardContext } from "./shard-context.js";
import type { AskingEvent, ShardEffect, ShardEvent } from "./shard-events.js";
import { type PayloadSizes, rawSizes, shapeObjection, viewObjection } from "./shard-objections.js";
import { deciderChunk, StepDecisions } from "./step-decisions.js";

/** Who this shard is and what run it serves. */
export interface ShardConfig {
  readonly index: number;
  readonly spec: RunSpec;
  readonly layout: Layout;
}

/** The machine. */
export class Shard {
  readonly #context: ShardContext;
  readonly #replies: ChunkReplies;
  readonly #beats: EntryBeats;
  readonly #arrivals: PushArrivals;
  readonly #chunks: HeldChunks;
  readonly #followers: Followers;
  readonly #following: Following;
  readonly #copies: ChunkCopies;
  readonly #decisions: StepDecisions;
  /** True while the view is yet to be acknowledged. */
  #owesAnswer = false;
  /** Pushes and pulls whose time has not come. */
  readonly #early: EarlyMessages<AskingEvent>;

  constructor({ index, spec, layout }: ShardConfig) {
    this.#context = new ShardContext(spec, layout);
    this.#replies = new ChunkReplies(this.#context);
    this.#followers = new Followers(this.#context);
    this.#following = new Following(index, this.#context);
    this.#chunks = new HeldChunks(index, this.#context, this.#replies);
    this.#copies = new ChunkCopies(this.#context, this.#chunks);
    this.#decisions = new StepDecisions(index, this.#context);
    this.#beats = new EntryBeats({
      ...{ context: this.#context, replies: this.#replies, followers: this.#followers },
      ...{ copies: this.#copies, chunks: this.#chunks, decisions: this.#decisions },
    });
    this.#arrivals = new PushArrivals(this.#context, this.#replies, this.#beats);
    this.#early = new EarlyMessages(earlyMax(spec, layout.chunks.length));
  }

  /** Eats one event; the effects are to be performed in order. */
  step(event: ShardEvent, nowMs: number): ShardEffect[] {
    this.#context.effects = [];
    this.#context.nowMs = nowMs;
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
    for (const state of this.#chunks.led()) {
      if (state.cut?.isMarked === true) return `chunk ${state.index} waits for the limits of a cut`;
      if (!state.loaded) return `chunk ${state.index} is not loaded`;
      if (state.isBusy) {
        const seq = state.pending?.seq ?? state.seq;
        const what = `entry ${seq} of chunk ${state.index} is not committed`;
        return what + this.#followers.missing(state, seq);
      }
      for (const waiter of state.waiters) {
        const verdict = pace.mayStart(view, state, waiter.startStep, waiter.rank);
        if (!verdict.allowed) return verdict.reason + this.#beats.sealingWords(state, view);
      }
    }
    return this.#beats.groupWords(view) ?? "serving";
  }

  /** Slots still held; the host frees them when the job ends. */
  drain(): number[] {
    const slots = this.#early
      .take()
      .flatMap((event) => (event.type === "push" && event.slot >= 0 ? [event.slot] : []));
    for (const state of this.#chunks.states()) slots.push(...state.drain());
    return [...slots, ...this.#following.drain()];
  }

  /** Counts; times and bytes are the host's to add. */
  statistics(): ServerStatistics {
    const { counts, view } = this.#context;
    return counts.statistics(this.#chunks.led(), view?.generation ?? 0);
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
      case "copy":
      case "mark":
        this.#copies.ask(event);
        break;
      case "cut":
        this.#copies.cut(event);
        this.#takeEarly();
        break;
      case "follow":
        this.#onFollow(event);
        break;
      case "received":
        this.#onReceived(event);
        break;
      case "watch":
        this.#onWatch(event);
        break;
      case "sealed":
        this.#onSealed(event);
        break;
      case "woken":
        this.#onWoken();
        break;
      case "closed":
        this.#followers.closed(event.channel);
        this.#decisions.closed(event.channel);
        this.#copies.closed(event.channel);
        this.#takeEarly();
        break;
      case "linked":
        this.#onLinked(event.server);
        break;
      case "snapshot":
        this.#following.snapshot(event, this.#chunks.get(event.chunk), this.#chunks.states());
        break;
      case "entry":
        this.#following.entry(event, this.#chunks.get(event.entry.chunk));
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
    this.#following.follow(this.#chunks.states(), view);
    const led = this.#chunks.led();
    this.#followers.keepOnly(led);
    for (const state of led) this.#followers.follow(state, view);
    this.#owesAnswer = true;
    for (const state of led) {
      for (const slot of state.dropAbsent(view)) this.#context.release(slot);
      state.waiters = state.waiters.filter(
        (waiter) =>
          waiter.rank < 0 || workerOfRank(view, waiter.rank)?.incarnation === waiter.incarnation,
      );
    }
    this.#decisions.follow(view, led);
    this.#beats.keepTimes(this.#chunks.leading(deciderChunk) !== null);
    for (const state of led) {
      if (!this.#beats.settle(state, view)) this.#beats.advance(state, view);
    }
    this.#answerView();
    this.#copies.take();
    this.#takeEarly();
  }

  /** How far somebody had come who is gone is known once nothing of him is left to be committed. */
  #answerView(): void {
    const { view } = this.#context;
    if (view === null || !this.#owesAnswer) return;
    const led = this.#chunks.led();
    const isGone = ({ incarnation }: { readonly incarnation: number }) =>
      view.departing.some((worker) => worker.incarnation === incarnation);
    if (led.some(({ pending, unsettled }) => unsettled || pending?.marks.some(isGone))) return;
    this.#owesAnswer = false;
    this.#context.emit(answerTo(view, led, departuresOf(view, led)));
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
    const state = this.#chunks.leading(header.chunk);
    const objection = viewObjection(view, header);
    const isAhead = state !== null && (!state.loaded || state.generation > header.generation);
    if (objection === "early" || (objection === null && isAhead)) {
      this.#keepEarly(event);
      return;
    }
    if (view === null || state === null || objection !== null) {
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
    const state = this.#chunks.leading(header.chunk);
    const objection = header.rank < 0 ? null : viewObjection(view, header);
    if (objection === "early") {
      this.#keepEarly(event);
      return;
    }
    if (view === null || state === null || objection !== null) {
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
    this.#followers.follow(loaded, view);
    this.#beats.advance(loaded, view);
    this.#takeEarly();
  }

  /** Another server wants the entries of a chunk. */
  #onFollow(event: ShardEvent & { readonly type: "follow" }): void {
    const { header, channel } = event;
    const { view } = this.#context;
    const isEarly = view === null || header.fence > view.number;
    const state = isEarly ? null : this.#chunks.leading(header.chunk);
    if (isEarly || (state !== null && !state.loaded)) {
      this.#keepEarly(event);
      return;
    }
    const isPresent = header.generation === view.generation;
    const why =
      state === null || !isPresent
        ? this.#chunks.whereIs(header.chunk)
        : this.#followers.ask(state, view, header, channel);
    if (state === null || why !== null) this.#context.refuse(header, channel, why ?? "");
    else this.#settle(state, view);
  }

  #onReceived({ header, channel }: ShardEvent & { readonly type: "received" }): void {
    const { view } = this.#context;
    const state = this.#chunks.leading(header.chunk);
    if (view === null || state === null || header.generation !== state.generation) return;
    this.#followers.received(state, header, channel);
    this.#settle(state, view);
  }

  /** Another server wants to know who is in the steps that the decider seals. */
  #onWatch(event: ShardEvent & { readonly type: "watch" }): void {
    const { header, channel } = event;
    const { view } = this.#context;
    if (view === null || header.fence > view.number) {
      this.#keepEarly(event);
      return;
    }
    const state = this.#chunks.leading(header.chunk);
    const isPresent = header.generation === view.generation;
    if (state !== null && isPresent) this.#decisions.watch(header, channel, state);
    else this.#context.refuse(header, channel, this.#chunks.whereIs(header.chunk));
  }

  #onWoken(): void {
    const { view } = this.#context;
    if (view === null) return;
    this.#beats.woken(view);
    this.#answerView();
    this.#copies.take();
    this.#takeEarly();
  }

  /** Of a generation that is yet to come it is told again, under the view that begins it. */
  #onSealed({ decision }: ShardEvent & { readonly type: "sealed" }): void {
    const { view } = this.#context;
    if (view === null || decision.generation !== view.generation) return;
    if (!this.#decisions.told(decision)) return;
    this.#beats.takeDecision(view);
    this.#takeEarly();
  }

  /** Somebody who may have been waited for has a chunk as it is here. */
  #settle(state: ChunkState, view: View): void {
    if (!this.#beats.settle(state, view)) return;
    this.#answerView();
    this.#copies.take();
    this.#takeEarly();
  }

  #onLinked(server: number): void {
    const { view } = this.#context;
    if (view === null) return;
    this.#following.linked(server, this.#chunks.states(), view);
    this.#decisions.linked(server, view);
  }

  #log(level: "info" | "warn", text: string): void {
    assert(text !== "", "a log line says something");
    this.#context.emit({ type: "log", level, text });
  }
}
