/**
 * Workers that are ready and not in a view yet. Each view is a round over all servers, and some
 * joiners take two, so those who come at about the same time are let in together: who is ready
 * first opens the door a moment later, for everybody who is ready by then. Where the run has no
 * place left for another, nobody is waited for.
 *
 * Invariant: who is ready is let in after `gatherMs` at the latest, and a loss never waits.
 */
import type { WorkerIdentity } from "../../protocol/identity.js";

/** How long the first of several joiners waits for the others. */
export const gatherMs = 400;

/** The workers of one run that are ready. */
export class Gathering {
  /** Those who may be let in, or are, by rank: the incarnation. */
  readonly ready = new Map<number, number>();
  readonly #waiting = new Map<number, number>();
  readonly #places: number;
  #untilMs: number | null = null;

  /** @param places that the run has for workers. */
  constructor(places: number) {
    this.#places = places;
  }

  /** How many are ready. */
  get count(): number {
    return this.ready.size + this.#waiting.size;
  }

  /** True while a life of this rank is ready; of this one, where it is named. */
  has(rank: number, incarnation?: number): boolean {
    const known = this.#waiting.get(rank) ?? this.ready.get(rank);
    return incarnation === undefined ? known !== undefined : known === incarnation;
  }

  /** A worker takes part from the start. */
  begin({ rank, incarnation }: WorkerIdentity): void {
    this.ready.set(rank, incarnation);
  }

  /** A worker has become ready. */
  join({ rank, incarnation }: WorkerIdentity, nowMs: number): void {
    if (this.has(rank, incarnation)) return;
    this.ready.delete(rank);
    this.#waiting.set(rank, incarnation);
    this.#untilMs ??= nowMs + gatherMs;
  }

  /** This life of a worker is gone. */
  leave({ rank, incarnation }: WorkerIdentity): void {
    if (this.ready.get(rank) === incarnation) this.ready.delete(rank);
    if (this.#waiting.get(rank) === incarnation) this.#waiting.delete(rank);
    if (this.#waiting.size === 0) this.#untilMs = null;
  }

  /** All are gone. */
  clear(): void {
    this.ready.clear();
    this.#waiting.clear();
    this.#untilMs = null;
  }

  /** Lets in those who have waited long enough, and with them all others. */
  open(nowMs: number): void {
    if (this.#untilMs === null) return;
    if (nowMs < this.#untilMs && this.count < this.#places) return;
    for (const [rank, incarnation] of this.#waiting) this.ready.set(rank, incarnation);
    this.#waiting.clear();
    this.#untilMs = null;
  }
}
