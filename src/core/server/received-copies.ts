/**
 * What each worker has of each chunk, so that a reply may carry only the difference. Copies are
 * names here; their values are with the host (compression/sent-copies.ts).
 *
 * How a reply stays idempotent: a worker's copy changes by its replies alone, and it takes exactly
 * one reply to each push. Every push says the version of the copy that it was computed with. The
 * first push of a step therefore tells which reply to the step before was taken: the last one that
 * was sent, if its version is the one named; that copy is then the base of all replies to this
 * step, however often it is asked again. Base and version name the copy, so a duplicate is the same
 * reply. Wherever the base is not known for certain (a first push, a reply that another one
 * overtook, a push after a roll-back) the weights go whole and raw, and are the base of what
 * follows; a late copy of an earlier push is answered raw and changes nothing.
 *
 * A worker that pulls takes whole weights: at its beginning, and at every checkpoint's barrier. So
 * nothing of this is kept in checkpoints, and an unbroken run stands at a barrier as one does that
 * begins from there. A pull says which step it is to start: one for a step that has been pushed is
 * late, is answered raw and changes nothing.
 */
import type { ChunkHeader } from "../../protocol/messages.js";
import { type View, workerOfRank } from "../../protocol/view.js";
import type { SentCopy } from "./shard-events.js";

/** A state that some worker's copy of a chunk has, or will have. */
interface Copy extends SentCopy {
  readonly version: number;
  /** Workers that have it, or were sent it. */
  receivers: number;
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

/** What the workers of one run have. */
export class ReceivedCopies {
  readonly #workersMax: number;
  readonly #onForgotten: (chunk: number, id: number) => void;
  readonly #chunks = new Map<number, ChunkCopies>();
  #nextId = 0;

  /** `onForgotten` is told of each copy that no worker has any more. */
  constructor(workersMax: number, onForgotten: (chunk: number, id: number) => void) {
    this.#workersMax = workersMax;
    this.#onForgotten = onForgotten;
  }

  /** A push has been taken: which copy it was computed with is known by it. */
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

  /** A pull has been taken, to start a step with whole weights. */
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
        if (workerOfRank(view, rank)?.incarnation !== receiver.incarnation)
          this.#drop(chunk, rank, receiver);
      }
    }
  }

  /** Forgets what workers had of a chunk. */
  forget(chunk: number): void {
    const receivers = this.#chunks.get(chunk)?.receivers ?? [];
    for (const [rank, receiver] of receivers) this.#drop(chunk, rank, receiver);
    this.#chunks.delete(chunk);
  }

  /** The copy that a reply makes of its receiver's; null for whole weights not kept at all. */
  sent({ chunk, rank, incarnation, step, version }: ChunkHeader): SentCopy | null {
    const receiver = this.#receiverOf(chunk, rank, incarnation);
    // A pull is answered with a step of -1.
    if (receiver === null || step !== (receiver.isPulling ? -1 : receiver.step)) return null;
    const copy = this.#copyOf(chunk, receiver.held?.id ?? null, version);
    copy.receivers++;
    this.#release(chunk, receiver.sent);
    receiver.sent = copy;
    return { id: copy.id, base: copy.base };
  }

  /** Workers in step share theirs. */
  #copyOf(chunk: number, base: number | null, version: number): Copy {
    const { copies } = this.#chunks.get(chunk)!;
    for (const copy of copies) if (copy.version === version && copy.base === base) return copy;
    const copy = { id: this.#nextId++, base, version, receivers: 0 };
    copies.add(copy);
    return copy;
  }

  #drop(chunk: number, rank: number, { held, sent }: Receiver): void {
    this.#chunks.get(chunk)?.receivers.delete(rank);
    this.#release(chunk, held);
    this.#release(chunk, sent);
  }

  #release(chunk: number, copy: Copy | null): void {
    if (copy === null || --copy.receivers > 0) return;
    this.#chunks.get(chunk)?.copies.delete(copy);
    this.#onForgotten(chunk, copy.id);
  }

  /** Null for whom nothing is kept: no worker, or an earlier life of one. */
  #receiverOf(chunk: number, rank: number, incarnation: number): Receiver | null {
    if (rank < 0 || rank >= this.#workersMax) return null;
    let known = this.#chunks.get(chunk);
    if (known === undefined) {
      known = { copies: new Set(), receivers: new Map() };
      this.#chunks.set(chunk, known);
    }
    const present = known.receivers.get(rank);
    if (present?.incarnation === incarnation) return present;
    if (present !== undefined && present.incarnation > incarnation) return null;
    const receiver = { incarnation, step: -1, isPulling: true, held: null, sent: null };
    if (present !== undefined) this.#drop(chunk, rank, present);
    known.receivers.set(rank, receiver);
    return receiver;
  }
}
