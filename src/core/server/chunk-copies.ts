/**
 * Chunks that are kept as they are for a checkpoint while training goes on. A copy is marks written
 * down and slots that are lent, so it takes no time, and is sent when it is asked for. Where all
 * meet, the coordinator asks for it at a moment in which nobody pushes; elsewhere it has chunks
 * marked, and their copies take what is late for the cut (chunk-cut.ts).
 *
 * Invariant: a copy is of what is committed. A chunk at rest may still have steps to seal that
 * nobody takes, each an entry of its own; its primary copies it when they are committed. A backup
 * copies what it has and says which seq that is: the coordinator compares.
 */
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import { ChunkCut } from "./chunk-cut.js";
import type { ChunkState } from "./chunk-state.js";
import { type Entry, movesValues } from "./entry.js";
import type { HeldChunks } from "./held-chunks.js";
import type { ShardContext } from "./shard-context.js";
import type { ShardEvent } from "./shard-events.js";

type CopyEvent = ShardEvent & { readonly type: "copy" | "mark" };

/** The copies that one server is asked for in one run. */
export class ChunkCopies {
  readonly #context: ShardContext;
  readonly #chunks: HeldChunks;
  /** Askings for a chunk that has an entry to be committed first. */
  #waiting: CopyEvent[] = [];

  constructor(context: ShardContext, chunks: HeldChunks) {
    this.#context = context;
    this.#chunks = chunks;
  }

  /** Takes a copy, now or when the chunk's entries are committed; the last to ask is answered. */
  ask(event: CopyEvent): void {
    if (this.#chunks.leading(event.chunk)?.isBusy !== true) {
      this.#copy(event);
      return;
    }
    this.#waiting = [...this.#waiting.filter(({ chunk }) => chunk !== event.chunk), event];
  }

  /** Looks again at what waits: entries may have been committed, or chunks given away. */
  take(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) this.ask(event);
    for (const state of this.#chunks.led()) this.#finishIfWhole(state);
  }

  /** All chunks of the run are marked: these are the limits, and the chunk goes on. */
  cut({ chunk, channel, limits }: ShardEvent & { readonly type: "cut" }): void {
    const state = this.#chunks.leading(chunk);
    if (state?.cut?.channel !== channel) {
      const header = { ...emptyHeader, run: this.#context.spec.run, chunk };
      this.#context.refuse(header, channel, `chunk ${chunk} is not marked for a cut here`);
      return;
    }
    state.cut.settle(limits);
    this.#finishIfWhole(state);
  }

  /** A chunk has committed an entry: its copy takes it as well where it is late for the cut. */
  committed(state: ChunkState, entry: Entry): void {
    const { cut } = state;
    if (cut?.takes(entry) !== true) return;
    const { copy, channel } = cut;
    const { chunk } = entry;
    const step = entry.marks[0]?.step ?? -1;
    const own: Entry = {
      ...{ ...entry, seq: copy.seq + 1, sealedStep: copy.sealedStep },
      lr: this.#context.learningRate(copy.examples, step),
      momentum: this.#context.momentum(copy.examples),
      version: copy.version + (movesValues(entry) ? 1 : 0),
    };
    copy.pending = own;
    copy.commit(own);
    if (movesValues(own)) {
      const group = this.#context.groupOf(chunk);
      this.#context.emit({ type: "applyToCopy", channel, entry: own, group });
    }
    this.#finishIfWhole(state);
  }

  #finishIfWhole(state: ChunkState): void {
    const { view } = this.#context;
    const { cut } = state;
    if (view === null || cut?.isWhole(view) !== true) return;
    state.cut = null;
    const { channel, copy } = cut;
    this.#context.emit({ type: "closeCopy", channel, header: this.#savedHeader(copy) });
    this.#answer(copy, channel, "");
  }

  /** Nobody is at the channel any more. */
  closed(channel: number): void {
    this.#waiting = this.#waiting.filter((event) => event.channel !== channel);
    for (const state of this.#chunks.led()) {
      if (state.cut?.channel === channel) state.cut = null;
    }
  }

  #copy({ type, chunk, channel }: CopyEvent): void {
    const state = this.#chunks.get(chunk);
    const isMark = type === "mark";
    const header = { ...emptyHeader, run: this.#context.spec.run, chunk };
    if (isMark ? state?.role !== "primary" : state === undefined || state.role === "candidate") {
      this.#context.refuse(header, channel, this.#chunks.whereIs(chunk));
      return;
    }
    if (state?.loaded !== true) {
      this.#context.refuse(header, channel, `chunk ${chunk} is not loaded`);
      return;
    }
    this.#context.emit({ type: "keepCopy", channel, header: this.#savedHeader(state) });
    if (isMark) state.cut = new ChunkCut(channel, state);
    this.#answer(state, channel, isMark ? JSON.stringify(state.marks()) : "");
  }

  #savedHeader(copy: ChunkState): ChunkHeader {
    const { index: chunk, version, generation } = copy;
    const { run } = this.#context.spec;
    const detail = JSON.stringify(copy.marks());
    return { ...emptyHeader, run, chunk, kind: "saved", generation, version, detail };
  }

  #answer(copy: ChunkState, channel: number, detail: string): void {
    const { index: chunk, seq: step, version, generation } = copy;
    const { run } = this.#context.spec;
    const answer = { ...emptyHeader, run, chunk, generation, version, step, detail };
    const header: ChunkHeader = { ...answer, kind: "copied" };
    this.#context.emit({ type: "reply", channel, header, withWeights: false, copy: null });
  }
}
