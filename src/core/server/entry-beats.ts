/**
 * The four beats of a server's step, on one chunk: seal (the contributions of an entry are
 * complete), entry (they are folded, and everything that follows is written down as data), commit
 * (it counts), apply and answer.
 *
 * An entry is committed at once unless others have to have it first; then that comes between, as an
 * event. Meanwhile pushes to the chunk wait, and answers come from the entry before.
 *
 * Invariants: entries are committed in the order of their seq, at most one a chunk is not yet, and
 * nothing of that one leaves the server; a step is folded in ascending rank.
 */
import { reduceOf } from "../../protocol/layout.js";
import type { View } from "../../protocol/view.js";
import type { ChunkCopies } from "./chunk-copies.js";
import type { ChunkReplies } from "./chunk-replies.js";
import type { ChunkState, Contribution } from "./chunk-state.js";
import {
  type ContributorMark,
  type Entry,
  heldVerdict,
  movesValues,
  type PushVerdict,
} from "./entry.js";
import type { Followers } from "./followers.js";
import type { HeldChunks } from "./held-chunks.js";
import type { ShardContext } from "./shard-context.js";
import type { FoldedGradient } from "./shard-events.js";
import { deciderChunk, type StepDecisions } from "./step-decisions.js";

/** What an entry is made of. */
export interface EntryParts extends Pick<Entry, "marks" | "sealedStep" | "scale" | "staleness"> {
  /** Those that move the values, in ascending rank. */
  readonly gradients: readonly FoldedGradient[];
  /** True where the gradients become one by a fold; else there is one, applied as it is. */
  readonly isFolded: boolean;
}

/** What the beats of a server need around them. */
export interface BeatParts {
  readonly context: ShardContext;
  readonly replies: ChunkReplies;
  readonly followers: Followers;
  readonly copies: ChunkCopies;
  readonly chunks: HeldChunks;
  readonly decisions: StepDecisions;
}

/** The beats of one server in one run. */
export class EntryBeats {
  readonly #context: ShardContext;
  readonly #replies: ChunkReplies;
  readonly #followers: Followers;
  readonly #copies: ChunkCopies;
  readonly #chunks: HeldChunks;
  readonly #decisions: StepDecisions;

  constructor({ context, replies, followers, copies, chunks, decisions }: BeatParts) {
    this.#context = context;
    this.#replies = replies;
    this.#followers = followers;
    this.#copies = copies;
    this.#chunks = chunks;
    this.#decisions = decisions;
  }

  /** Seals every step that is complete, then answers the workers that may continue. */
  advance(state: ChunkState, view: View): void {
    while (this.#sealNext(state, view));
    if (state.isBusy) return;
    this.#replies.answerWaiting(state, view);
    if (this.#decisions.note(state)) this.takeDecision(view);
  }

  /** It is decided who is in a step: the other chunks are sealed where they have it all. */
  takeDecision(view: View): void {
    for (const state of this.#chunks.led()) {
      if (state.index !== deciderChunk) this.advance(state, view);
    }
  }

  /** The first beat: true where a step was complete. */
  #sealNext(state: ChunkState, view: View): boolean {
    if (!state.loaded || state.isBusy || state.role !== "primary") return false;
    const isDecided = this.#context.pace.hasDecider && state.index !== deciderChunk;
    const named = isDecided ? this.#decisions.contributorsTo(state, view) : null;
    if (named === null && (isDecided || !this.#context.pace.maySeal(view, state).allowed)) {
      return false;
    }
    const step = state.openStep;
    const held = state.takeHeld();
    const isIn = ({ incarnation }: Contribution) => named === null || named.has(incarnation);
    const late = this.#turnDown(
      state,
      held.filter((one) => !isIn(one)),
    );
    const contributions = held.filter(isIn);
    const marks = held.map(({ rank, incarnation, examples }) => {
      const verdict = late.get(incarnation) ?? heldVerdict;
      return { rank, incarnation, step, examples, verdict };
    });
    const gradients = contributions
      .filter(({ examples }) => examples > 0)
      .map(({ slot, examples }) => ({ slot, examples }));
    this.enter(state, {
      marks,
      sealedStep: step,
      gradients,
      isFolded: true,
      scale: 1,
      staleness: null,
    });
    return true;
  }

  /** Contributions to the open step that the decider went on without: the verdict on each. */
  #turnDown(state: ChunkState, late: readonly Contribution[]): ReadonlyMap<number, PushVerdict> {
    const step = state.openStep;
    const detail = `step ${step} was sealed without it`;
    const verdict: PushVerdict = { ...heldVerdict, outcome: "dropped", detail };
    for (const { slot } of late) this.#context.release(slot);
    if (late.length > 0) state.turnDown(new Set(late.map((one) => one.incarnation)), step, verdict);
    return new Map(late.map(({ incarnation }) => [incarnation, verdict]));
  }

  /** A push that needs no others is an entry of its own, which without a gradient moves nothing. */
  enterPush(
    state: ChunkState,
    mark: ContributorMark,
    staleness: number | null,
    applied: { readonly gradient: FoldedGradient; readonly scale: number } | null,
  ): void {
    const gradients = applied === null ? [] : [applied.gradient];
    const { sealedStep } = state;
    const scale = applied?.scale ?? 1;
    const marks = [mark];
    this.enter(state, { marks, sealedStep, gradients, isFolded: false, scale, staleness });
  }

  /** The second beat: the gradients become one, and the entry is written down. */
  enter(state: ChunkState, parts: EntryParts): void {
    const { marks, sealedStep, scale, gradients, isFolded, staleness } = parts;
    const chunk = state.index;
    const [first, ...others] = gradients;
    if (isFolded && first !== undefined) {
      const reduce = reduceOf(this.#context.groupOf(chunk), this.#context.spec.reduce);
      this.#context.emit({ type: "fold", chunk, gradients, reduce });
      for (const { slot } of others) this.#context.release(slot);
    }
    // Field by field: spreading what was decided took four times as long as all else of a push.
    const entry: Entry = {
      chunk,
      seq: state.seq + 1,
      marks,
      sealedStep,
      gradient: first?.slot ?? -1,
      pushes: gradients.length,
      staleness,
      examples: gradients.reduce((sum, { examples }) => sum + examples, 0),
      lr: this.#context.learningRate(state.examples, marks[0]?.step ?? sealedStep),
      momentum: this.#context.momentum(state.examples),
      scale,
      version: state.version + (first === undefined ? 0 : 1),
    };
    state.pending = entry;
    this.#followers.send(entry);
    if (!this.#followers.lacks(state, entry.seq)) this.#commit(state, entry);
  }

  /** Commits what nobody is waited for with any more; true if something was. */
  settle(state: ChunkState, view: View): boolean {
    if (!state.loaded || state.role !== "primary" || !state.isBusy) return false;
    const { pending } = state;
    if (this.#followers.lacks(state, pending?.seq ?? state.seq)) return false;
    state.unsettled = false;
    if (pending !== null) this.#commit(state, pending);
    this.advance(state, view);
    return true;
  }

  /** The third beat and the fourth, but for the answers. */
  #commit(state: ChunkState, entry: Entry): void {
    state.commit(entry);
    if (movesValues(entry)) {
      this.#context.counts.updated(entry.lr);
      this.#context.emit({ type: "apply", entry, group: this.#context.groupOf(entry.chunk) });
    }
    this.#copies.committed(state, entry);
    this.#context.release(entry.gradient);
  }
}
