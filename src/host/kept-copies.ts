/**
 * The copies of chunks that a server keeps for a checkpoint while training goes on: parts whose
 * slots are lent, so that updates write elsewhere (chunk-store.ts). A copy may be moved by what is
 * late for it until it is closed, and is given up with its sending.
 *
 * Invariant: one channel at a time has copies, and each chunk is kept once for it. So copies take
 * at most as much memory again as the chunks that are held.
 */
import type { ShardEffect } from "../core/server/shard-events.js";
import type { ChunkHeader, ChunkPart } from "../protocol/messages.js";
import type { ChunkStore, LentSlot } from "./chunk-store.js";
import type { ServedChannel } from "./served-channel.js";

/** A part of a copy; `done` gives its memory up. */
interface KeptPart extends LentSlot {
  readonly header: ChunkHeader;
}

type CopiedStore = Pick<ChunkStore, "lend" | "parts" | "applyToCopy">;

/** The copies of one job. */
export class KeptCopies {
  readonly #store: CopiedStore;
  #channel = -1;
  readonly #chunks = new Map<number, readonly KeptPart[]>();

  constructor(store: CopiedStore) {
    this.#store = store;
  }

  /** Keeps a chunk as it is; `header` is what each of its parts goes out with, but for `part`. */
  keep(channel: number, header: ChunkHeader): void {
    if (channel !== this.#channel) this.#giveUp();
    this.#channel = channel;
    this.discard(channel, header.chunk);
    // The weights come last, with what says that all is there.
    const parts = this.#store.parts().toReversed();
    const kept = parts.map((part: ChunkPart) => {
      return { header: { ...header, part }, ...this.#store.lend(header.chunk, part) };
    });
    this.#chunks.set(header.chunk, kept);
  }

  /** Moves a copy, if there is one, by an entry that the chunk has applied. */
  apply({ channel, entry, group }: ShardEffect & { readonly type: "applyToCopy" }): void {
    const { chunk } = entry;
    const kept = this.#take(channel, chunk);
    if (kept === null) return;
    const moved = this.#store.applyToCopy(kept.toReversed(), entry, group).toReversed();
    const parts = kept.map(({ header }, index) => ({ header, ...moved[index]! }));
    this.#chunks.set(chunk, parts);
  }

  /** A copy, if there is one, is moved no more; `header` is what its parts go out with. */
  close(channel: number, header: ChunkHeader): void {
    const kept = this.#take(channel, header.chunk);
    if (kept === null) return;
    const parts = kept.map((one) => ({ ...one, header: { ...header, part: one.header.part } }));
    this.#chunks.set(header.chunk, parts);
  }

  /** Sends a copy, which is given up with it; how many bytes, null where there is none. */
  send(channel: number, chunk: number, to: Pick<ServedChannel, "send">): number | null {
    const kept = this.#take(channel, chunk);
    for (const { header, bytes, done } of kept ?? []) to.send(header, bytes, done);
    return kept?.reduce((sum, { bytes }) => sum + bytes.length, 0) ?? null;
  }

  /** Gives a copy up, if there is one. */
  discard(channel: number, chunk: number): void {
    for (const { done } of this.#take(channel, chunk) ?? []) done();
  }

  #take(channel: number, chunk: number): readonly KeptPart[] | null {
    const kept = channel === this.#channel ? this.#chunks.get(chunk) : undefined;
    if (kept === undefined) return null;
    this.#chunks.delete(chunk);
    return kept;
  }

  /** Nobody is at the channel any more. */
  closed(channel: number): void {
    if (channel === this.#channel) this.#giveUp();
  }

  #giveUp(): void {
    for (const chunk of [...this.#chunks.keys()]) this.discard(this.#channel, chunk);
  }
}
