/**
 * Dealing work where nobody waits at an epoch's end (SSP, ASP). Each worker takes its share of an
 * epoch in one assignment; the first that has used its share up has the next epoch planned, for
 * everybody who is ready. Evaluations and checkpoints bring all to rest first.
 *
 * Invariant: once every epoch is used up by those who are there, and no assignment of any is out,
 * nothing is dealt any more, so that the final evaluation sees the final model.
 */
import type { Cursor } from "./cursor.js";
import type { EpochPlan } from "./epoch-plan.js";
import { RangeDealer } from "./range-dealer.js";
import { DueAtWill } from "./what-is-due.js";
import type { WorkDealer, WorkFloor } from "./work-floor.js";

/** The dealer. */
export class WorkAtWill implements WorkDealer {
  readonly #floor: WorkFloor;
  readonly #cursor: Cursor;
  readonly #dealer: RangeDealer;
  readonly #due: DueAtWill;
  #finishing = false;

  constructor(floor: WorkFloor, cursor: Cursor) {
    this.#floor = floor;
    this.#cursor = cursor;
    this.#dealer = new RangeDealer(floor, cursor);
    this.#due = new DueAtWill(floor);
  }

  get pausable(): boolean {
    return !this.#floor.views.busy && !this.#finishing;
  }

  restingStep(): number {
    return this.#floor.globalSteps();
  }

  advance(pauseLimit: number | null): void {
    const floor = this.#floor;
    const active = floor.activeRanks();
    if (pauseLimit !== null) {
      if (floor.pace.hasBarriers) this.#bringUpTo(pauseLimit, active);
      return;
    }
    if (active.length === 0) {
      this.#startAgain();
      return;
    }
    if (this.#finishing) {
      this.#closeEpochs(new Set(active));
      return;
    }
    this.#dealTo(active, active);
    this.#admit((rank) => this.#hasWork(rank));
    this.#closeEpochs(new Set(floor.activeRanks()));
  }

  /** Where the last plan ends before the limit all rest there: nobody waits for their steps. */
  #bringUpTo(pauseLimit: number, active: readonly number[]): void {
    const cursor = this.#cursor;
    const behind = active.filter((rank) => cursor.stepOf(rank) <= pauseLimit);
    this.#dealTo(behind, active);
    for (const rank of behind) {
      if (!cursor.done || cursor.openPlan(rank) !== null) continue;
      this.#floor.letRest(rank, cursor.stepOf(rank));
    }
  }

  #dealTo(ranks: readonly number[], active: readonly number[]): void {
    const { views } = this.#floor;
    const cursor = this.#cursor;
    for (const rank of ranks) {
      if (!views.isConfirmed(rank) || cursor.shareOut(rank) !== undefined) continue;
      const plan = cursor.openPlan(rank) ?? this.#planIfFirst(rank, active);
      if (plan !== null) this.#dealer.deal(plan, rank, plan.lastStep);
    }
  }

  /**
   * Plans the next epoch when this worker has nothing left of the present one, or was never in it
   * and it is over.
   */
  #planIfFirst(rank: number, active: readonly number[]): EpochPlan | null {
    const { ready } = this.#floor;
    const cursor = this.#cursor;
    const { latest } = cursor;
    if (cursor.done) return null;
    const owned = latest === null || latest.shares.some((share) => share.rank === rank);
    if (!owned && !cursor.exhausted(latest, new Set(active))) return null;
    return this.#dealer.plan([...new Set([...active, ...ready.keys()])].sort((a, b) => a - b));
  }

  #admit(allowed: (rank: number) => boolean): void {
    const { views, ready } = this.#floor;
    if (views.busy) return;
    for (const [rank, incarnation] of ready) {
      if (views.worker(rank) !== undefined || !allowed(rank)) continue;
      views.admit({ rank, incarnation, fromStep: this.#firstStep(rank) });
    }
  }

  /** With nobody left, those who have work of this epoch go on with it; without any, it is over. */
  #startAgain(): void {
    const { ready, views } = this.#floor;
    if (ready.size === 0 || views.busy) return;
    const ranks = [...ready.keys()].sort((a, b) => a - b);
    if (!this.#finishing && !ranks.some((rank) => this.#hasWork(rank))) {
      if (this.#cursor.done) this.#finishing = true;
      else this.#dealer.plan(ranks);
    }
    this.#admit((rank) => this.#finishing || this.#hasWork(rank));
  }

  /** At a barrier a worker without a share of the latest epoch would hold up those who have one. */
  #hasWork(rank: number): boolean {
    const cursor = this.#cursor;
    if (!this.#floor.pace.hasBarriers) return cursor.openPlan(rank) !== null;
    return cursor.latest !== null && cursor.isOpen(cursor.latest, rank);
  }

  /**
   * A worker comes back where its share stands; one that is new to the epoch comes in beside the
   * slowest.
   */
  #firstStep(rank: number): number {
    const cursor = this.#cursor;
    const plan = cursor.openPlan(rank) ?? cursor.latest;
    const shares = plan?.shares ?? [];
    const own = shares.find((share) => share.rank === rank);
    if (own !== undefined) return own.nextStep;
    return shares.length === 0 ? 0 : Math.min(...shares.map((share) => share.nextStep));
  }

  #closeEpochs(alive: ReadonlySet<number>): void {
    const cursor = this.#cursor;
    for (const plan of cursor.openEpochs()) {
      if (!cursor.exhausted(plan, alive)) break;
      const first = this.#dealer.close(plan);
      if (cursor.done && plan === cursor.latest) break;
      if (first) this.#due.epochEnded(plan.epoch);
      cursor.forgetBefore(plan.epoch + 1);
    }
    const over = cursor.openEpochs().every((plan) => cursor.exhausted(plan, alive));
    this.#finishing ||= cursor.done && over;
    const reachedStep = cursor.latest?.lastStep ?? 0;
    if (this.#finishing) this.#due.finish(cursor.epoch, reachedStep);
    else this.#due.look(cursor.epoch);
  }
}
