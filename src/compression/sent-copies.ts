/**
 * The values of what workers have of each chunk, so that a reply may carry only the difference by
 * its largest values or by signs. The residual is implicit: weights - what was sent. Which copy a
 * worker has, and which one a reply makes of it, is decided by the server's machine; here copies
 * are kept by the names that it gives them.
 *
 * Base and weights determine the bytes of a difference, so a duplicate is the same reply. Whole
 * weights, which leave a residual of zero, go out raw.
 *
 * Invariant: a copy's memory is freed once the machine has forgotten it and no write refers to it.
 * Memory: one copy of the chunk for each state that a worker may have.
 */

import type { Arena } from "../kernels/arena.js";
import { type ChosenCodec, isDiverged, type RunCodecs } from "./run-codecs.js";

/** Where values lie. */
export interface SentCopiesParts {
  readonly arena: Arena;
  readonly codecs: RunCodecs;
  lengthOf(chunk: number): number;
  /** The present weights, for reading. */
  weightsOf(chunk: number): Float32Array;
}

/** A copy by its name, and by the name of the one to which the difference goes: null if to none. */
export interface NamedCopy {
  readonly id: number;
  readonly base: number | null;
}

/** A difference on its way. */
export interface SentDifference {
  readonly bytes: Uint8Array;
  readonly done: () => void;
}

interface Copy {
  readonly slot: number;
  /** The difference as it goes out; null where it goes whole. */
  readonly bytes: { readonly slot: number; readonly used: number } | null;
  /** Unfinished writes, and one while it is not forgotten. */
  references: number;
}

/** The copies of one run. */
export class SentCopies {
  readonly #parts: SentCopiesParts;
  readonly #copies = new Map<number, Copy>();

  constructor(parts: SentCopiesParts) {
    this.#parts = parts;
  }

  /**
   * The difference that brings a worker from the base to the copy, which is made of the present
   * weights if it is not there yet; null where the weights are to go whole and raw.
   */
  send(chunk: number, { id, base }: NamedCopy, chosen: ChosenCodec): SentDifference | null {
    const copy = this.#copies.get(id) ?? this.#keep(id, this.#make(chunk, base, chosen));
    if (copy.bytes === null) return null;
    copy.references++;
    const { slot, used } = copy.bytes;
    const bytes = this.#parts.arena.byteView(slot, wordsFor(used)).subarray(0, used);
    return { bytes, done: () => this.#release(copy) };
  }

  /** No worker has this copy, or will have it. */
  forget(id: number): void {
    const copy = this.#copies.get(id);
    this.#copies.delete(id);
    if (copy !== undefined) this.#release(copy);
  }

  #keep(id: number, made: Omit<Copy, "references">): Copy {
    const copy = { ...made, references: 1 };
    this.#copies.set(id, copy);
    return copy;
  }

  /** Whole where there is no base, or none of which the difference can be written. */
  #make(chunk: number, base: number | null, chosen: ChosenCodec): Omit<Copy, "references"> {
    const before = base === null ? undefined : this.#copies.get(base);
    const difference = before === undefined ? null : this.#differenceTo(chunk, before, chosen);
    if (difference !== null) return difference;
    const { arena, lengthOf, weightsOf } = this.#parts;
    const length = lengthOf(chunk);
    const slot = arena.allocate(length);
    arena.view(slot, length).set(weightsOf(chunk));
    return { slot, bytes: null };
  }

  /** Null where the difference can't be written, as it is not finite. */
  #differenceTo(chunk: number, base: Copy, { codec, share }: ChosenCodec) {
    const { arena, codecs, lengthOf, weightsOf } = this.#parts;
    const length = lengthOf(chunk);
    const words = wordsFor(codec.sizes(length).max);
    const encoding = arena.allocate(words);
    const slot = arena.allocate(length);
    const values = arena.view(slot, length);
    const before = arena.view(base.slot, length);
    codecs.conversions.subtract(weightsOf(chunk), before, values);
    try {
      const bytes = arena.byteView(encoding, words);
      const used = codec.encode(values, bytes, { share, seed: 0 });
      values.set(before);
      codec.accumulate(bytes.subarray(0, used), values, 1);
      return { slot, bytes: { slot: encoding, used } };
    } catch (thrown) {
      arena.free(encoding);
      arena.free(slot);
      if (isDiverged(thrown)) return null;
      throw thrown;
    }
  }

  #release(copy: Copy): void {
    if (--copy.references > 0) return;
    this.#parts.arena.free(copy.slot);
    if (copy.bytes !== null) this.#parts.arena.free(copy.bytes.slot);
  }
}

function wordsFor(bytes: number): number {
  return Math.ceil(bytes / 4);
}
