/**
 * What happens between "everybody rests" and "the checkpoint is written" where workers keep state
 * of their own: each is told of the barrier, gives the residuals of its pushes, takes whole weights
 * where replies are differences, and says so. Then an unbroken run and one that is resumed from the
 * checkpoint stand alike.
 *
 * Invariant: the round ends whatever becomes of the workers. Who is lost, or can't give its
 * residuals, is without: the checkpoint then has none of it, which is said.
 */
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { MemberMessage } from "../../protocol/messages.js";

/** The residuals that a worker has given whole. */
export interface GivenResiduals {
  readonly rank: number;
  /** In how many chunks. */
  readonly chunks: number;
}

/** One barrier. */
export class BarrierRound {
  readonly id: number;
  readonly step: number;
  /** Those who have not said that they stand there. */
  readonly #missing: Map<number, number>;
  readonly #given: GivenResiduals[] = [];
  readonly #without: string[] = [];

  /** @param workers who is told: rank and incarnation; nobody where nobody keeps anything. */
  constructor(id: number, step: number, workers: readonly WorkerIdentity[]) {
    this.id = id;
    this.step = step;
    this.#missing = new Map(workers.map(({ rank, incarnation }) => [rank, incarnation]));
  }

  /** Ranks that are waited for, ascending. */
  missing(): number[] {
    return [...this.#missing.keys()].sort((a, b) => a - b);
  }

  /** True while this life of a worker may give what it has. */
  awaits(rank: number, incarnation: number): boolean {
    return this.#missing.get(rank) === incarnation;
  }

  /** A worker stands there. */
  taken(
    { rank, incarnation }: WorkerIdentity,
    { residuals, problem }: MemberMessage & { readonly type: "barrierReached" },
  ): void {
    if (!this.awaits(rank, incarnation)) return;
    this.#missing.delete(rank);
    if (problem !== "") this.#without.push(`worker-${rank} could not give them: ${problem}`);
    else if (residuals > 0) this.#given.push({ rank, chunks: residuals });
  }

  /** A worker is gone. */
  lost(rank: number): void {
    if (this.#missing.delete(rank)) this.#without.push(`worker-${rank} was lost at the barrier`);
  }

  /** True when nobody is waited for. */
  get complete(): boolean {
    return this.#missing.size === 0;
  }

  /** Who has given residuals, by ascending rank. */
  given(): GivenResiduals[] {
    return [...this.#given].sort((a, b) => a.rank - b.rank);
  }

  /** A sentence for each worker whose residuals the checkpoint will not have. */
  warnings(): string[] {
    const where = `the checkpoint of step ${this.step} is without residuals of a worker`;
    return this.#without.map((why) => `${where}: ${why}`);
  }
}
