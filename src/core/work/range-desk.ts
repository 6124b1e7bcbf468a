/**
 * What the dealers of static ranges do with the cursor and the floor together, so that neither has
 * to know the other: an epoch that is cut begins, a piece that is dealt is sent, an epoch that is
 * over is recorded with what nobody used.
 */
import type { Cursor, Cut } from "./cursor.js";
import type { WorkFloor } from "./work-floor.js";

/** The desk at which ranges are cut and dealt. */
export class RangeDesk {
  readonly #floor: WorkFloor;
  readonly #cursor: Cursor;

  constructor(floor: WorkFloor, cursor: Cursor) {
    this.#floor = floor;
    this.#cursor = cursor;
  }

  /** Cuts the next epoch for these ranks (ascending). */
  cut(ranks: readonly number[]): Cut {
    const cut = this.#cursor.cutNext(ranks);
    this.#floor.openEpoch(cut.epoch);
    return cut;
  }

  /** Gives a rank its next piece of a cut, ending at this step at the latest, if it has any. */
  deal(cut: Cut, rank: number, untilStep: number): void {
    if (!this.#floor.views.isConfirmed(rank)) return;
    const piece = this.#cursor.deal(cut, rank, untilStep);
    if (piece !== null) this.#floor.give(rank, piece, null);
  }

  /** Closes an epoch's account; true the first time. */
  close(cut: Cut): boolean {
    return this.#floor.recordEpoch(cut.epoch, this.#cursor.skipped(cut));
  }
}
