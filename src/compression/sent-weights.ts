/**
 * What each worker has of each chunk, kept by the server, so that a reply may carry only the
 * difference by its largest values or by signs. The residual is implicit: weights - what was sent.
 *
 * How a reply stays idempotent: a worker's copy changes by its replies alone, and it takes exactly
 * one reply to each push. Every push says the version of the copy that it was computed with. The
 * first push of a step therefore tells which reply to the step before was taken: the last one that
 * was sent, if its version is the one named; that copy is then the base of all replies to this
 * step, however often it is asked again. Base, version and weights determine the bytes of a reply,
 * so a duplicate is the same reply. Wherever the base is not known for certain (a first push, a
 * reply that another one overtook, a push after a roll-back) the weights go whole and raw, and are
 * the base of what follows; a late copy of an earlier push is answered raw and changes nothing.
 *
 * A worker that pulls takes whole weights, which leave a residual of zero: at its beginning, and at
 * every checkpoint's cut. So nothing of this is kept in checkpoints, and an unbroken run stands at
 * a cut as one does that begins from there. A pull says which step it is to start: one for a step
 * that has been pushed is late, is answered raw and changes nothing.
 *
 * Memory: one copy of the chunk for each state that a worker may have; workers in step share
 * theirs.
 */

import type { Arena } from "../kernels/arena.js";
import type { ChunkHeader } from "../protocol/messages.js";
import { type View, workerOfRank } from "../protocol/view.js";
import { type ChosenCodec, isDiverged, type RunCodecs } from "./run-codecs.js";

/** A state that some worker's copy of a chunk has, or will have. */
interface Copy {
  readonly id: number;
  /** The copy that a difference made it from; -1 when it went whole. */
  readonly baseId: number;
  readonly version: number;
  readonly slot: number;
  /** The difference as it went out; null when it went whole. */
  readonly bytes: { readonly slot: number; readonly used: number } | null;
  /** Workers and unfinished writes that refer to it. */
  references: number;
}

/** What is known of one worker's copy of a chunk. */
interface Receiver {
  readonly incarnation: number;
  /** The last step pushed; -1 before the first. */
  step: number;
  /** True from a pull to the next push: what it will hold is what that pull is answered with. */
  isPulling: boolean;
  /** What it has for certain. */
  held: Copy | null;
  /** What the last reply to that step made, or will make, of it. */
  sent: Copy | null;
}

interface ChunkCopies {
  readonly copies: Set<Copy>;
  readonly receivers: Map<number, Receiver>;
}

/** Where values lie. */
export interface SentWeightsParts {
  readonly arena: Arena;
  readonly codecs: RunCodecs;
  readonly workersMax: number;
  lengthOf(chunk: number): number;
  /** The present weights, for reading. */
  weightsOf(chunk: number): Float32Array;
}

/** A difference on its way. */
export interface SentDifference {
  readonly bytes: Uint8Array;
  readonly done: () => void;
}

/** What the workers of one run have. */
export class SentWeights {
  readonly #parts: SentWeightsParts;
  readonly #chunks = new Map<number, ChunkCopies>();
  #nextId = 0;

  constructor(parts: SentWeightsParts) {
    this.#parts = parts;
  }

  /** A push has come: which copy it was computed with is known by it. */
  heard({ rank, incarnation, step, chunk, version }: ChunkHeader): void {
    const receiver = this.#receiverOf(chunk, rank, incarnation);
    if (receiver === null || step <= receiver.step) return;
    const { held, sent } = receiver;
    const taken = sent?.version === version ? sent : null;
    receiver.held = taken;
    receiver.sent = null;
    receiver.step = step;
    receiver.isPulling = false;
    this.#release(chunk, held);
    if (taken === null) this.#release(chunk, sent);
  }

  /** A pull has come, to start a step with whole weights. */
  asked({ rank, incarnation, step, chunk }: ChunkHeader): void {
    const receiver = this.#receiverOf(chunk, rank, incarnation);
    if (receiver === null || step <= receiver.step) return;
    const { held, sent } = receiver;
    receiver.held = null;
    receiver.sent = null;
    receiver.isPulling = true;
    this.#release(chunk, held);
    this.#release(chunk, sent);
  }

  /** Forgets what workers had that are not in the view. */
  keepOnly(view: View): void {
    for (const [chunk, { receivers }] of this.#chunks) {
      for (const [rank, receiver] of receivers) {
        if (workerOfRank(view, rank)?.incarnation === receiver.incarnation) continue;
        receivers.delete(rank);
        this.#release(chunk, receiver.held);
        this.#release(chunk, receiver.sent);
      }
    }
  }

  /** The difference that a reply is to carry; null when the weights are to go whole and raw. */
  reply(header: ChunkHeader, chosen: ChosenCodec): SentDifference | null {
    const { chunk, rank, incarnation, step, version } = header;
    const receiver = this.#receiverOf(chunk, rank, incarnation);
    // A pull is answered with a step of -1.
    if (receiver === null || step !== (receiver.isPulling ? -1 : receiver.step)) return null;
    const copy = this.#copyFor(chunk, receiver.held, version, chosen);
    copy.references++;
    this.#release(chunk, receiver.sent);
    receiver.sent = copy;
    if (copy.bytes === null) return null;
    copy.references++;
    const { slot, used } = copy.bytes;
    const bytes = this.#parts.arena.byteView(slot, wordsFor(used)).subarray(0, used);
    return { bytes, done: () => this.#release(chunk, copy) };
  }

  /** The state after a reply from this base, made at the first asking. */
  #copyFor(chunk: number, base: Copy | null, version: number, chosen: ChosenCodec): Copy {
    if (base !== null) {
      const made = this.#find(chunk, base.id, version);
      const copy = made ?? this.#differenceFrom(chunk, base, version, chosen);
      if (copy !== null) return copy;
    }
    return this.#find(chunk, -1, version) ?? this.#whole(chunk, version);
  }

  #find(chunk: number, baseId: number, version: number): Copy | null {
    for (const copy of this.#chunks.get(chunk)!.copies) {
      if (copy.version === version && copy.baseId === baseId) return copy;
    }
    return null;
  }

  #keep(chunk: number, made: Omit<Copy, "id" | "references">): Copy {
    const copy = { ...made, id: this.#nextId++, references: 0 };
    this.#chunks.get(chunk)!.copies.add(copy);
    return copy;
  }

  #whole(chunk: number, version: number): Copy {
    const { arena, lengthOf, weightsOf } = this.#parts;
    const length = lengthOf(chunk);
    const slot = arena.allocate(length);
    arena.view(slot, length).set(weightsOf(chunk));
    return this.#keep(chunk, { baseId: -1, version, slot, bytes: null });
  }

  /** Null where the difference can't be written, as it is not finite. */
  #differenceFrom(chunk: number, base: Copy, version: number, chosen: ChosenCodec): Copy | null {
    const { arena, codecs, lengthOf, weightsOf } = this.#parts;
    const { codec, share } = chosen;
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
      const made = { baseId: base.id, version, slot, bytes: { slot: encoding, used } };
      return this.#keep(chunk, made);
    } catch (thrown) {
      arena.free(encoding);
      arena.free(slot);
      if (isDiverged(thrown)) return null;
      throw thrown;
    }
  }

  #release(chunk: number, copy: Copy | null): void {
    if (copy === null || --copy.references > 0) return;
    this.#chunks.get(chunk)?.copies.delete(copy);
    this.#parts.arena.free(copy.slot);
    if (copy.bytes !== null) this.#parts.arena.free(copy.bytes.slot);
  }

  /** Null for whom nothing is kept: no worker, or an earlier life of one. */
  #receiverOf(chunk: number, rank: number, incarnation: number): Receiver | null {
    if (rank < 0 || rank >= this.#parts.workersMax) return null;
    let known = this.#chunks.get(chunk);
    if (known === undefined) {
      known = { copies: new Set(), receivers: new Map() };
      this.#chunks.set(chunk, known);
    }
    const present = known.receivers.get(rank);
    if (present?.incarnation === incarnation) return present;
    if (present !== undefined && present.incarnation > incarnation) return null;
    const receiver = { incarnation, step: -1, isPulling: true, held: null, sent: null };
    known.receivers.set(rank, receiver);
    this.#release(chunk, present?.held ?? null);
    this.#release(chunk, present?.sent ?? null);
    return receiver;
  }
}

function wordsFor(bytes: number): number {
  return Math.ceil(bytes / 4);
}
