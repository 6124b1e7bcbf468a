/**
 * Chunks that are kept as they are for a checkpoint while training goes on. The coordinator asks
 * for a copy at a moment in which nobody pushes; a copy is marks written down and slots that are
 * lent, so it takes no time, and is sent when it is asked for.
 *
 * Invariant: a copy is of what is committed. A chunk at rest may still have steps to seal that
 * nobody takes, each an entry of its own; its primary copies it when they are committed. A backup
 * copies what it has and says which seq that is: the coordinator compares.
 */
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import type { HeldChunks } from "./held-chunks.js";
import type { ShardContext } from "./shard-context.js";
import type { ShardEvent } from "./shard-events.js";

type CopyEvent = ShardEvent & { readonly type: "copy" };

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
  }

  /** Nobody is at the channel any more. */
  closed(channel: number): void {
    this.#waiting = this.#waiting.filter((event) => event.channel !== channel);
  }

  #copy({ chunk, channel }: CopyEvent): void {
    const state = this.#chunks.get(chunk);
    const header = { ...emptyHeader, run: this.#context.spec.run, chunk };
    if (state?.loaded !== true || state.role === "candidate") {
      const isHere = state !== undefined && state.role !== "candidate";
      const why = isHere ? `chunk ${chunk} is not loaded` : this.#chunks.whereIs(chunk);
      this.#context.refuse(header, channel, why);
      return;
    }
    const { seq: step, version, generation } = state;
    const detail = JSON.stringify(state.marks());
    const saved: ChunkHeader = { ...header, kind: "saved", generation, version, detail };
    this.#context.emit({ type: "keepCopy", channel, header: saved });
    const copied: ChunkHeader = { ...header, kind: "copied", generation, version, step };
    this.#context.emit({
      ...{ type: "reply", channel, header: copied, withWeights: false, copy: null },
    });
  }
}
