/**
 * Residuals of the checkpoint that a run goes on from, by the rank of the worker that left them.
 * The first life of a rank that is ready goes on with them; later lives start at zero.
 *
 * Invariant: each rank's are settled once: a worker has taken them over, or nobody ever will.
 */

/** What is yet to be taken over. */
export class Bequests {
  readonly #ranks: Set<number>;
  readonly #settled: (rank: number) => void;

  /** `settled` is told of each rank whose residuals are with a worker, or given up. */
  constructor(ranks: readonly number[], settled: (rank: number) => void) {
    this.#ranks = new Set(ranks);
    this.#settled = settled;
  }

  /** True while the residuals of this rank wait for a worker. */
  has(rank: number): boolean {
    return this.#ranks.has(rank);
  }

  /** A worker of this rank is ready with them. */
  settle(rank: number): void {
    if (this.#ranks.delete(rank)) this.#settled(rank);
  }

  /**
   * These workers are ready. Gives up those of ranks that a run with so many workers has not: a
   * sentence for each.
   */
  settleAll(workers: readonly { readonly rank: number }[], workersMax: number): string[] {
    for (const { rank } of workers) this.settle(rank);
    const beyond = [...this.#ranks].filter((rank) => rank >= workersMax);
    for (const rank of beyond) this.settle(rank);
    const why = `this run has ${workersMax} workers`;
    return beyond.map(
      (rank) => `residuals of worker ${rank} in the checkpoint are dropped: ${why}`,
    );
  }
}
