/**
 * How many examples of each worker's life were of steps that servers rejected or dropped, as far as
 * the worker has told with assignments that it finished. Servers count rejected examples of a life
 * from its beginning in the phase; what they have beyond this is of the assignment that is out,
 * which a lost worker can tell nothing of any more.
 *
 * Invariant: of the present phase and the present life alone.
 */

/** The counts of one run. */
export class ToldDrops {
  readonly #byRank = new Map<number, number>();

  /** A rank's next life begins. */
  begin(rank: number): void {
    this.#byRank.delete(rank);
  }

  /** A worker has finished an assignment. */
  add(rank: number, examples: number): void {
    if (examples > 0) this.#byRank.set(rank, (this.#byRank.get(rank) ?? 0) + examples);
  }

  /** The next phase begins: servers count anew. */
  forget(): void {
    this.#byRank.clear();
  }

  /** What of the servers' count the worker has not told. */
  untold(rank: number, counted: number): number {
    return Math.max(0, counted - (this.#byRank.get(rank) ?? 0));
  }

  /** To be kept. */
  record(): (readonly [rank: number, examples: number])[] {
    return [...this.#byRank];
  }

  /** Goes on from what was kept. */
  restore(kept: readonly (readonly [rank: number, examples: number])[]): void {
    for (const [rank, examples] of kept) this.#byRank.set(rank, examples);
  }
}
