/**
 * A server's replies as bytes: weights in 16 bits, or the difference to what the worker has.
 *
 * The server's own weights stay f32 whatever is sent of them: checkpoints have those, and a worker
 * computes, and evaluates, with what it received. Rounded weights are encoded once for all workers
 * that are answered with the same version at a time.
 *
 * Invariant: what a transport still reads is not written to.
 */
import type { ChunkHeader } from "../protocol/messages.js";
import { type ChosenCodec, isDiverged } from "./run-codecs.js";
import { type NamedCopy, SentCopies, type SentCopiesParts } from "./sent-copies.js";

/** A reply that carries fewer bytes than the weights have. */
export interface EncodedReply {
  readonly header: ChunkHeader;
  readonly bytes: Uint8Array;
  /** To be called when the transport is done with the bytes. */
  readonly done: () => void;
}

interface Rounded {
  readonly version: number;
  /** Behind a roll-back a version is of other weights. */
  readonly generation: number;
  readonly slot: number;
  readonly bytes: Uint8Array;
  writes: number;
}

/** The replies of one server in one job. */
export class ReplyEncoder {
  readonly #parts: SentCopiesParts;
  readonly #sent: SentCopies;
  /** What is being sent, by chunk. */
  readonly #rounded = new Map<number, Rounded>();

  constructor(parts: SentCopiesParts) {
    this.#parts = parts;
    this.#sent = new SentCopies(parts);
  }

  /** No worker has this copy, or will have it. */
  forgetCopy(id: number): void {
    this.#sent.forget(id);
  }

  /**
   * The reply to send in place of one with the chunk's weights; null where they go as they are.
   * `copy` says what a difference is to, and what it makes of that; null where there is none.
   */
  encode(header: ChunkHeader, copy: NamedCopy | null): EncodedReply | null {
    const chosen = this.#parts.codecs.ofPull(header.chunk);
    if (chosen === null) return null;
    const coded = { ...header, codec: chosen.codec.id };
    if (chosen.codec.wantsFeedback) {
      const difference = copy === null ? null : this.#sent.send(header.chunk, copy, chosen);
      return difference === null ? null : { header: coded, ...difference };
    }
    const rounded = this.#roundedOf(header, chosen);
    if (rounded === null) return null;
    rounded.writes++;
    return { header: coded, bytes: rounded.bytes, done: () => this.#endWrite(header, rounded) };
  }

  /** Null where the weights are no longer finite, which raw ones can say. */
  #roundedOf(
    { chunk, version, generation }: ChunkHeader,
    { codec, share }: ChosenCodec,
  ): Rounded | null {
    const present = this.#rounded.get(chunk);
    if (present?.version === version && present.generation === generation) return present;
    const { arena, lengthOf, weightsOf } = this.#parts;
    const words = Math.ceil(codec.sizes(lengthOf(chunk)).max / 4);
    const slot = arena.allocate(words);
    const memory = arena.byteView(slot, words);
    try {
      const used = codec.encode(weightsOf(chunk), memory, { share, seed: 0 });
      const rounded = { version, generation, slot, bytes: memory.subarray(0, used), writes: 0 };
      this.#rounded.set(chunk, rounded);
      return rounded;
    } catch (thrown) {
      arena.free(slot);
      if (isDiverged(thrown)) return null;
      throw thrown;
    }
  }

  #endWrite({ chunk }: ChunkHeader, rounded: Rounded): void {
    if (--rounded.writes > 0) return;
    if (this.#rounded.get(chunk) === rounded) this.#rounded.delete(chunk);
    this.#parts.arena.free(rounded.slot);
  }
}
