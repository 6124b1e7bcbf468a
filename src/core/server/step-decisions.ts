/**
 * Who is in a step, where the pace seals steps without all workers: one chunk of the model, the
 * decider, seals each step when it has enough, and every other chunk is sealed with the same
 * contributors. The decider is the first chunk of the layout, whose gradient backward has last: who
 * is counted there has sent all else of the step.
 *
 * Servers that lead other chunks ask the decider's primary to be told of its steps ("watch"), under
 * each view and over each link anew, and are answered with the last step sealed and who is in it
 * ("sealed"), at once and again with each step. That is no state of its own: it is what the
 * decider's committed marks say, so a backup that comes to lead it says the same.
 *
 * Chunks that are behind the decider follow step by step: a worker pushes again only when all
 * chunks have its last push, so the decider's marks say of each life which step that is in. Where
 * late pushes may be an update by themselves, a chunk makes it behind the steps before. Steps that
 * nobody of the view takes, as all who would have are lost, each chunk seals by itself, empty.
 *
 * Invariant: what is said of a step is committed, and of one generation. A contributor that a view
 * has removed is not waited for; only so a step is torn.
 */
import { termOf } from "../../protocol/ids.js";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import { primaryOf, serverOfIndex, type View } from "../../protocol/view.js";
import type { ChunkState, DecidedPush } from "./chunk-state.js";
import type { ShardContext } from "./shard-context.js";

/** The chunk that decides who is in a step. */
export const deciderChunk = 0;

/** The last step that the decider has sealed, and of each life in which step its last push is. */
export interface StepDecision {
  readonly generation: number;
  readonly step: number;
  /** The decider's place in its order of entries. */
  readonly seq: number;
  readonly decided: readonly DecidedPush[];
}

/** Pushes that are an update by themselves: late ones, or those of a group. */
export interface AloneUpdate {
  /** Names the update. */
  readonly inStep: number;
  /** By life the step of its push. */
  readonly steps: ReadonlyMap<number, number>;
}

/** A server that wants to be told. */
interface Watcher {
  readonly channel: number;
  readonly fence: number;
  /** What it was told last, by `keyOf`; "" before the first. */
  told: string;
}

/** The decisions that one server knows of, or makes, in one run. */
export class StepDecisions {
  readonly #index: number;
  readonly #context: ShardContext;
  #known: StepDecision | null = null;
  /** By index; of servers that are asked while this one leads the decider. */
  readonly #watchers = new Map<number, Watcher>();

  constructor(index: number, context: ShardContext) {
    this.#index = index;
    this.#context = context;
  }

  /** Asks whom the view says to lead the decider, where others decide for chunks led here. */
  follow(view: View, led: readonly ChunkState[]): void {
    const primary = primaryOf(view, deciderChunk);
    if (primary !== this.#index) this.#watchers.clear();
    if (led.length > 0) this.#ask(view, primary);
  }

  /** The way to a server is open, for the first time or again. */
  linked(server: number, view: View): void {
    if (primaryOf(view, deciderChunk) === server) this.#ask(view, server);
  }

  /** A channel is gone; who came by it asks again. */
  closed(channel: number): void {
    for (const [server, watcher] of this.#watchers) {
      if (watcher.channel === channel) this.#watchers.delete(server);
    }
  }

  /** A server asks to be told of the steps of the decider, which is led here. */
  watch({ rank, fence }: ChunkHeader, channel: number, decider: ChunkState): void {
    const known = this.#watchers.get(rank);
    if (known !== undefined && known.channel > channel) return;
    this.#watchers.set(rank, { channel, fence, told: "" });
    if (decider.loaded && !decider.isBusy) this.#tellAll(decider);
  }

  /** A chunk has no entry that is not committed; true where that decides a step for others. */
  note(state: ChunkState): boolean {
    const isDecider = state.index === deciderChunk && state.role === "primary" && state.loaded;
    if (!isDecider || state.isBusy || !this.#context.pace.hasDecider) return false;
    this.#tellAll(state);
    return this.told(decisionOf(state));
  }

  /** Tells everybody of the last step who has not been told. */
  #tellAll(decider: ChunkState): void {
    const decision = decisionOf(decider);
    const key = keyOf(decision);
    for (const watcher of this.#watchers.values()) {
      if (watcher.told === key) continue;
      watcher.told = key;
      this.#tell(watcher, decision);
    }
  }

  /** The decider's primary says what is decided; true where that is news. */
  told(decision: StepDecision): boolean {
    if (!this.#isNews(decision)) return false;
    this.#known = decision;
    return true;
  }

  /**
   * Those who are in the open step of another chunk than the decider; null while that is not
   * decided, or one of them is yet to be held. A step that nobody is left to take has none.
   */
  contributorsTo(state: ChunkState, view: View): ReadonlySet<number> | null {
    const isDue = view.workers.some(({ fromStep }) => fromStep <= state.openStep);
    if (!isDue && view.workers.length > 0) return new Set();
    const known = this.#known;
    if (known?.generation !== state.generation || known.step < state.openStep) return null;
    const inStep = known.decided.filter((push) => push.inStep === state.openStep);
    const named = new Set(inStep.map(({ incarnation }) => incarnation));
    const isMissing = view.workers.some((one) => named.has(one.incarnation) && !state.holds(one));
    return isMissing ? null : named;
  }

  /**
   * Those whose late pushes are the next update by themselves, behind the steps that are sealed, by
   * life with the step; null while there is none, or one of them is yet to be held.
   */
  aloneIn(state: ChunkState, view: View): AloneUpdate | null {
    const [next] = this.#updatesApart(state, view);
    return next === undefined || !isHeld(state, next) ? null : next;
  }

  /** The same of a group, which waits for no other: the first that is held whole. */
  groupIn(state: ChunkState, view: View): AloneUpdate | null {
    return this.#updatesApart(state, view).find((update) => isHeld(state, update)) ?? null;
  }

  /** Updates by themselves that a chunk lacks behind the steps that are sealed, in their order. */
  #updatesApart(state: ChunkState, view: View): AloneUpdate[] {
    const known = this.#known;
    if (known?.generation !== state.generation || known.step > state.sealedStep) return [];
    const members = new Set(view.workers.map(({ incarnation }) => incarnation));
    const updates = new Map<number, Map<number, number>>();
    for (const push of known.decided) {
      const { incarnation, step, inStep } = push;
      if (inStep >= 0 || !members.has(incarnation) || state.hasDecided(push)) continue;
      updates.set(inStep, (updates.get(inStep) ?? new Map()).set(incarnation, step));
    }
    return (
      [...updates]
        .map(([inStep, steps]) => ({ inStep, steps }))
        // The later in the decider's order, the lower.
        .sort((one, other) => other.inStep - one.inStep)
    );
  }

  /** The end of a sentence: what is known of the decider. */
  words(): string {
    const { step = -1 } = this.#known ?? {};
    return `chunk ${deciderChunk}, which decides, has sealed step ${step}`;
  }

  #isNews(decision: StepDecision): boolean {
    const known = this.#known;
    if (known === null || decision.generation > known.generation) return true;
    if (decision.generation < known.generation || decision.seq <= known.seq) return false;
    return keyOf(decision) !== keyOf(known);
  }

  #ask(view: View, server: number | undefined): void {
    if (server === undefined || server === this.#index || !this.#context.pace.hasDecider) return;
    const { run, generation, number: fence } = view;
    const incarnation = serverOfIndex(view, this.#index)?.incarnation ?? 0;
    const header: ChunkHeader = {
      ...emptyHeader,
      ...{ kind: "watch", run, generation, fence, term: termOf(fence) },
      ...{ rank: this.#index, incarnation, chunk: deciderChunk },
    };
    this.#context.emit({ type: "tell", server, header });
  }

  #tell({ channel, fence }: Watcher, { generation, step, seq, decided }: StepDecision): void {
    const { spec, view } = this.#context;
    const header: ChunkHeader = {
      ...emptyHeader,
      ...{ kind: "sealed", run: spec.run, generation, fence, term: termOf(view?.number ?? 0) },
      ...{ rank: this.#index, chunk: deciderChunk, step, version: seq },
      detail: JSON.stringify(decided),
    };
    this.#context.emit({ type: "reply", channel, header, withWeights: false, copy: null });
  }
}

function isHeld(state: ChunkState, { steps }: AloneUpdate): boolean {
  return [...steps.keys()].every((incarnation) => state.holds({ incarnation }));
}

function decisionOf(decider: ChunkState): StepDecision {
  const { generation, sealedStep: step, seq } = decider;
  return { generation, step, seq, decided: decider.decided() };
}

/** What of a decision others act on: the same again is no news. */
function keyOf({ generation, step, decided }: StepDecision): string {
  const alone = decided.filter(({ inStep }) => inStep < 0);
  return [
    generation,
    step,
    ...alone.map((one) => `${one.incarnation}/${one.step}/${one.inStep}`),
  ].join();
}
