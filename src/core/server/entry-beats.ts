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
import type { ChunkState } from "./chunk-state.js";
import { type ContributorMark, type Entry, heldVerdict, movesValues } from "./entry.js";
import type { Followers } from "./followers.js";
import type { ShardContext } from "./shard-context.js";
import type { FoldedGradient } from "./shard-events.js";

/** What an entry is made of. */
export interface EntryParts extends Pick<Entry, "marks" | "sealedStep" | "scale" | "staleness"> {
  /** Those that move the values, in ascending rank. */
  readonly gradients: readonly FoldedGradient[];
  /** True where the gradients become one by a fold; else there is one, applied as it is. */
  readonly isFolded: boolean;
}

/** The beats of one server in one run. */
export class EntryBeats {
  readonly #context: ShardContext;
  readonly #replies: ChunkReplies;
  readonly #followers: Followers;
  readonly #copies: ChunkCopies;

  constructor(
    context: ShardContext,
    replies: ChunkReplies,
    followers: Followers,
    copies: ChunkCopies,
  ) {
    this.#context = context;
    this.#replies = replies;
    this.#followers = followers;
    this.#copies = copies;
  }

  /** Seals every step that is complete, then answers the workers that may continue. */
  advance(state: ChunkState, view: View): void {
    while (this.#sealNext(state, view));
    if (!state.isBusy) this.#replies.answerWaiting(state, view);
  }

  /** The first beat: true where a step was complete. */
  #sealNext(state: ChunkState, view: View): boolean {
    const { pace } = this.#context;
    if (!state.loaded || state.isBusy || state.role !== "primary") return false;
    if (!pace.maySeal(view, state).allowed) return false;
    const step = state.openStep;
    const contributions = state.takeHeld();
    const marks = contributions.map(({ rank, incarnation, examples }) => {
      return { rank, incarnation, step, examples, verdict: heldVerdict };
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
