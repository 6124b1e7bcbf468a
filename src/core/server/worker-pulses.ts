/**
 * When each worker has pushed a chunk last, and how long the step took before that: from the answer
 * with which it could begin to its push. For paces that go by it; kept while the chunk is led here.
 */
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { WorkerPulse } from "../sync/pace.js";

interface Pulse {
  readonly incarnation: number;
  beganMs: number | null;
  last: WorkerPulse | null;
}

/** The pulses of one chunk's workers. */
export class WorkerPulses {
  readonly #pulses = new Map<number, Pulse>();

  /** A worker is answered with what it may begin a step with. */
  began({ rank, incarnation }: WorkerIdentity, nowMs: number): void {
    const known = this.#pulses.get(rank);
    const isSame = known?.incarnation === incarnation;
    this.#pulses.set(rank, { incarnation, beganMs: nowMs, last: isSame ? known.last : null });
  }

  /** Its push is taken. */
  pushed({ rank, incarnation }: WorkerIdentity, nowMs: number): void {
    const known = this.#pulses.get(rank);
    if (known?.incarnation !== incarnation || known.beganMs === null) return;
    known.last = { pushedMs: nowMs, tookMs: nowMs - known.beganMs };
    known.beganMs = null;
  }

  /** Its last push, and the step before that; null where they are not known. */
  of(rank: number): WorkerPulse | null {
    return this.#pulses.get(rank)?.last ?? null;
  }

  /** The chunk is led by another, or goes back. */
  forget(): void {
    this.#pulses.clear();
  }
}
