/**
 * What the dealers of static ranges do with the cursor and the floor together, so that neither has
 * to know the other: an epoch that is planned begins, an assignment that is dealt is sent, an epoch
 * that is over is recorded with what nobody used.
 */
import type { Cursor } from "./cursor.js";
import type { EpochPlan } from "./epoch-plan.js";
import type { WorkFloor } from "./work-floor.js";

/** Where ranges are planned and dealt. */
export class RangeDealer {
  readonly #floor: WorkFloor;
  readonly #cursor: Cursor;

  constructor(floor: WorkFloor, cursor: Cursor) {
    this.#floor = floor;
    this.#cursor = cursor;
  }

  /** Plans the next epoch for these ranks (ascending). */
  plan(ranks: readonly number[]): EpochPlan {
    const plan = this.#cursor.planNext(ranks);
    this.#floor.openEpoch(plan.epoch);
    return plan;
  }

  /**
   * Gives a rank its next assignment of a plan, ending at this step at the latest, if it has any.
   * It has one at a time: behind a phase without steps in common what is out may be of another.
   */
  deal(plan: EpochPlan, rank: number, untilStep: number): void {
    if (!this.#floor.views.isConfirmed(rank) || this.#cursor.shareOut(rank) !== undefined) return;
    const assignment = this.#cursor.deal(plan, rank, untilStep);
    if (assignment !== null) this.#floor.give(rank, assignment, null);
  }

  /** Closes an epoch's account, and nothing of it is dealt any more; true the first time. */
  close(plan: EpochPlan): boolean {
    const isFirst = this.#floor.recordEpoch(plan.epoch, this.#cursor.skipped(plan));
    if (isFirst) this.#cursor.close(plan);
    return isFirst;
  }
}
