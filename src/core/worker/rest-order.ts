/**
 * An order to rest, as a worker keeps it. Asked to pause it says which step it is in and goes no
 * further unasked; told up to which step it may go, it rests behind that and says so once.
 *
 * Invariant: while an order stands, no step past its limit is begun.
 */

/** The order that stands, if any. */
export class RestOrder {
  #pause: { id: number; limit: number; isSettled: boolean; isTold: boolean } | null = null;

  /** True while the worker is to rest, or will be. */
  get stands(): boolean {
    return this.#pause !== null;
  }

  /** The worker is asked to go no further than the step it is in. */
  give(id: number, step: number): void {
    this.#pause = { id, limit: step, isSettled: false, isTold: false };
  }

  /** It is settled up to and including which step it goes. */
  settle(id: number, limit: number): void {
    if (this.#pause?.id === id) this.#pause = { id, limit, isSettled: true, isTold: false };
  }

  /** It may go on; null lifts whatever order stands. */
  lift(id: number | null): void {
    if (id === null || this.#pause?.id === id) this.#pause = null;
  }

  /** May this step not be begun? */
  forbids(step: number): boolean {
    return this.#pause !== null && step > this.#pause.limit;
  }

  /** The pause that the worker now rests for and has not said so of; null where there is none. */
  takeReached(): number | null {
    if (this.#pause === null || !this.#pause.isSettled || this.#pause.isTold) return null;
    this.#pause.isTold = true;
    return this.#pause.id;
  }
}
