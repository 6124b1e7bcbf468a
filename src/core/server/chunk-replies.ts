/**
 * Who gets a chunk, and as what. Every answer that carries weights is a request to start a step,
 * and the pace says when a step may start; so barriers, bounded staleness and asynchrony are one
 * list of waiters per chunk, looked at again after each entry and each view.
 *
 * Where replies are differences, it is decided here which copy of the chunk a reply makes of the
 * one that its receiver has (received-copies.ts); the host has the values.
 *
 * Invariant: what a reply carries is committed.
 */
import { pullsDifferences } from "../../protocol/compression.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import type { View } from "../../protocol/view.js";
import type { ChunkState, Waiter } from "./chunk-state.js";
import { ReceivedCopies } from "./received-copies.js";
import { replyTo } from "./shard-answers.js";
import type { ShardContext } from "./shard-context.js";

/** The replies of one server in one run. */
export class ChunkReplies {
  readonly #context: ShardContext;
  readonly #copies: ReceivedCopies;

  constructor(context: ShardContext) {
    this.#context = context;
    this.#copies = new ReceivedCopies(context.spec.workersMax, (chunk, id) =>
      context.emit({ type: "forgetCopy", chunk, id }),
    );
  }

  /**
   * Answers at once if the pace lets the asker start its step, else lets it wait; so does one whose
   * push is held, and does not count yet.
   */
  answer(state: ChunkState, view: View, waiter: Waiter): void {
    const { pace, nowMs } = this.#context;
    const verdict = pace.mayStart(view, state, waiter.startStep, waiter.rank);
    const isHeld = waiter.pushedStep >= 0 && state.holds(waiter);
    if (!state.loaded || state.unsettled || isHeld || !verdict.allowed) {
      state.await(waiter);
      return;
    }
    if (pace.isTimed && waiter.startStep >= 0) state.pulses.began(waiter, nowMs);
    const header = replyTo(waiter, view, state, pace.late !== null);
    const { wantsWeights: withWeights, channel } = waiter;
    const isRaw = waiter.startStep < 0;
    const isDifference = withWeights && !isRaw && this.#areDifferences(state.index);
    const copy = isDifference ? this.#copies.sent(header) : null;
    this.#context.emit({ type: "reply", channel, header, withWeights, copy, isRaw });
  }

  /** Looks at everybody again who waits for a chunk. */
  answerWaiting(state: ChunkState, view: View): void {
    const waiting = state.waiters;
    state.waiters = [];
    for (const waiter of waiting) this.answer(state, view, waiter);
  }

  /** Refuses everybody who waits for a chunk; the view that this follows from is in the answer. */
  refuseWaiting(state: ChunkState, view: View, detail: string): void {
    for (const waiter of state.waiters) {
      const header = { ...replyTo(waiter, view, state, false), fence: waiter.fence };
      this.#context.refuse(header, waiter.channel, detail);
    }
    state.waiters = [];
  }

  /** A push has been taken. */
  heard(push: ChunkHeader): void {
    if (this.#areDifferences(push.chunk)) this.#copies.heard(push);
  }

  /** A pull has been taken. */
  asked(pull: ChunkHeader): void {
    if (this.#areDifferences(pull.chunk)) this.#copies.asked(pull);
  }

  /** Forgets what workers had that are not in the view. */
  keepOnly(view: View): void {
    this.#copies.keepOnly(view);
  }

  /** Forgets what workers had of a chunk. */
  forget(chunk: number): void {
    this.#copies.forget(chunk);
  }

  #areDifferences(chunk: number): boolean {
    const { spec } = this.#context;
    return pullsDifferences(spec.compression) && this.#context.groupOf(chunk) === "weight";
  }
}
