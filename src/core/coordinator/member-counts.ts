/**
 * What members counted, also those that are gone. A worker's counts begin anew with each life of
 * its rank, so those of lives that ended are added up; a server's are of its one life in a run.
 *
 * Invariant: what a rank has counted never shrinks while a run is on.
 */
import type { MemberIdentity } from "../../protocol/identity.js";
import type { ServerStatistics, WorkerStatistics } from "../../protocol/messages.js";
import { idleWorker, sumOfLives } from "../../protocol/statistics.js";

interface LastCount {
  readonly incarnation: number;
  readonly counts: WorkerStatistics;
}

/** The counts of one run. */
export class MemberCounts {
  #servers: Record<number, ServerStatistics> = {};
  readonly #present = new Map<number, LastCount>();
  readonly #past = new Map<number, WorkerStatistics>();

  /** Takes what a member says of itself; nothing where it has nothing to say. */
  keep(
    { rank, incarnation }: MemberIdentity,
    counts: { readonly server: ServerStatistics | null; readonly worker: WorkerStatistics | null },
  ): void {
    if (counts.server !== null) this.#servers = { ...this.#servers, [rank]: counts.server };
    if (counts.worker === null) return;
    const last = this.#present.get(rank);
    if (last !== undefined && last.incarnation !== incarnation) {
      this.#past.set(rank, sumOfLives(this.#past.get(rank) ?? idleWorker, last.counts));
    }
    this.#present.set(rank, { incarnation, counts: counts.worker });
  }

  /** By index. */
  get servers(): Readonly<Record<number, ServerStatistics>> {
    return this.#servers;
  }

  /** By rank, over all its lives; the clock is the last one's. */
  get workers(): Readonly<Record<number, WorkerStatistics>> {
    const entries = [...this.#present].map(
      ([rank, { counts }]) =>
        [rank, sumOfLives(this.#past.get(rank) ?? idleWorker, counts)] as const,
    );
    return Object.fromEntries(entries);
  }
}
