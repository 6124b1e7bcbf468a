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
import type { GroupRule } from "../sync/pace.js";
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
import { type AloneUpdate, deciderChunk, type StepDecisions } from "./step-decisions.js";
import { StepTimes, untimed } from "./step-times.js";
import { WorkerGroups } from "./worker-groups.js";

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
  /** Of the decider, while it is led here. */
  readonly #times = new StepTimes();
  /** The same. */
  readonly #groups = new WorkerGroups();
  /** When this is to look again; null while it need not. */
  #wakeAtMs: number | null = null;

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

  /** The decider is led here, or is not: of who came to another nothing is known. */
  keepTimes(isDecider: boolean): void {
    if (isDecider) return;
    this.#times.forget();
    this.#groups.forget();
  }

  /** A contribution to a chunk's step has come. */
  came(state: ChunkState, { rank, incarnation, step, cameMs }: Contribution): void {
    if (state.index !== deciderChunk) return;
    this.#times.came(step, cameMs);
    const { pace, view } = this.#context;
    if (pace.groups === null || view === null) return;
    const pulse = state.pulseOf(rank);
    this.#groups.came(incarnation, pulse?.pushedMs === cameMs ? pulse.tookMs : null);
    if (!this.#groups.divide(pace.groups, view)) return;
    this.#context.emit({ type: "log", level: "info", text: this.#groups.words(view) });
  }

  /** The time has come for which this wanted to be woken. */
  woken(view: View): void {
    this.#wakeAtMs = null;
    const decider = this.#chunks.leading(deciderChunk);
    if (decider !== null) this.advance(decider, view);
  }

  /** The end of a sentence: why the decider's step is still open; "" of other chunks. */
  sealingWords(state: ChunkState, view: View): string {
    const { pace } = this.#context;
    if (!pace.hasDecider || state.index !== deciderChunk) return "";
    const gathering = this.#times.gathering(state, this.#context.nowMs);
    const { allowed, reason } = pace.maySeal(view, state, gathering);
    return allowed ? "" : `: ${reason}`;
  }

  /** Who steps with whom, where workers do so in groups and the decider is led here. */
  groupWords(view: View): string | null {
    const { groups } = this.#context.pace;
    const isDecider = this.#chunks.leading(deciderChunk) !== null;
    return groups !== null && isDecider ? this.#groups.words(view) : null;
  }

  /** The first beat: true where a step was complete, or late pushes are an update by themselves. */
  #sealNext(state: ChunkState, view: View): boolean {
    if (!state.loaded || state.isBusy || state.role !== "primary") return false;
    const { pace, nowMs } = this.#context;
    if (pace.groups !== null) return this.#sealGroup(state, view, pace.groups);
    if (pace.hasDecider && state.index !== deciderChunk) return this.#followDecider(state, view);
    const gathering = pace.hasDecider ? this.#times.gathering(state, nowMs) : untimed;
    const sealing = pace.maySeal(view, state, gathering);
    if (sealing.allowed) {
      this.#seal(state, view, () => true);
      // The entry is committed by now where nobody else must have it.
      const { sealedStep } = state.pending ?? state;
      if (pace.hasDecider) this.#times.opened(sealedStep + 1, nowMs);
      return true;
    }
    const alone = pace.late?.maySealAlone(view, state, gathering);
    const isLate = ({ step }: Contribution) => step < state.openStep;
    if (alone?.allowed === true) {
      // That all rested before it says nothing of how long a step takes.
      this.#times.opened(state.openStep, nowMs);
      return this.#enterApart(state, isLate, aloneMark(state.seq + 1));
    }
    this.#lookAgain(sealing.againMs ?? alone?.againMs ?? null);
    return false;
  }

  #followDecider(state: ChunkState, view: View): boolean {
    const named = this.#decisions.contributorsTo(state, view);
    if (named !== null) {
      this.#seal(state, view, ({ incarnation }) => named.has(incarnation));
      return true;
    }
    if (this.#context.pace.late === null) return false;
    const alone = this.#decisions.aloneIn(state, view);
    if (alone === null) return false;
    return this.#enterApart(state, isNamed(alone), alone.inStep);
  }

  /** Makes an update of a group's pushes: on the decider of one that is there, else of its own. */
  #sealGroup(state: ChunkState, view: View, rule: GroupRule): boolean {
    if (state.index !== deciderChunk) {
      const named = this.#decisions.groupIn(state, view);
      return named !== null && this.#enterApart(state, isNamed(named), named.inStep);
    }
    const { lives, againMs } = this.#groups.next(rule, view, state, this.#context.nowMs);
    this.#lookAgain(againMs);
    if (lives === null) return false;
    const isIn = ({ incarnation }: Contribution) => lives.has(incarnation);
    return this.#enterApart(state, isIn, aloneMark(state.seq + 1));
  }

  /** Asks to be woken where nothing else need happen for the open step to be sealed. */
  #lookAgain(atMs: number | null): void {
    if (atMs === null || (this.#wakeAtMs !== null && this.#wakeAtMs <= atMs)) return;
    this.#wakeAtMs = atMs;
    const afterMs = Math.max(0, atMs - this.#context.nowMs);
    this.#context.emit({ type: "wake", afterMs });
  }

  /**
   * Seals the open step with these contributions: what others made for it is late. One that nobody
   * is left to take is sealed with all that follow and nobody takes.
   */
  #seal(state: ChunkState, view: View, isIn: (one: Contribution) => boolean): void {
    const step = state.openStep;
    const isMerged = this.#context.pace.late !== null;
    const held = isMerged ? state.takeHeld(isIn) : state.takeHeld();
    const late = this.#turnDown(
      state,
      held.filter((one) => !isIn(one)),
    );
    const marks = held.map((one) => {
      const verdict = late.get(one.incarnation) ?? heldVerdict;
      return markOf(one, verdict, step);
    });
    const firstSteps = held.length > 0 ? [] : view.workers.map(({ fromStep }) => fromStep);
    const last = firstSteps.length === 0 ? step : Math.max(step, Math.min(...firstSteps) - 1);
    this.#enterFolded(state, marks, held.filter(isIn), last);
  }

  /**
   * Contributions that are late with no other to join, or a group's, become an update that seals no
   * step; true where there are any.
   * @param inStep names the update, the same on every chunk.
   */
  #enterApart(state: ChunkState, isIn: (one: Contribution) => boolean, inStep: number): boolean {
    const held = state.takeHeld(isIn);
    const marks = held.map((one) => markOf(one, heldVerdict, inStep));
    if (held.length > 0) this.#enterFolded(state, marks, held, state.sealedStep);
    return held.length > 0;
  }

  #enterFolded(
    state: ChunkState,
    marks: readonly ContributorMark[],
    contributions: readonly Contribution[],
    sealedStep: number,
  ): void {
    const gradients = contributions
      .filter(({ examples }) => examples > 0)
      .map(({ slot, examples }) => ({ slot, examples }));
    // A group has its share of the rate that all workers have.
    const { pace, spec } = this.#context;
    const scale = pace.groups === null ? 1 : Math.fround(gradients.length / spec.workersMax);
    const about = { isFolded: true, scale, staleness: null };
    this.enter(state, { marks, sealedStep, gradients, ...about });
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
      ...(this.#context.takesDifferences ? { isDifference: true } : {}),
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

/** The contributions that are named to be in an update by themselves. */
function isNamed({ steps }: AloneUpdate): (one: Contribution) => boolean {
  return ({ incarnation, step }) => step <= (steps.get(incarnation) ?? -1);
}

/**
 * What an update of late pushes alone, or of a group's, at this place in the decider's order, has
 * for a step.
 */
function aloneMark(seq: number): number {
  return -1 - seq;
}

function markOf(
  { rank, incarnation, step, examples }: Contribution,
  verdict: PushVerdict,
  inStep: number,
): ContributorMark {
  const mark = { rank, incarnation, step, examples, verdict };
  return inStep === step ? mark : { ...mark, inStep };
}
