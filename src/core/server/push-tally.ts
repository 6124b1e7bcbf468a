/**
 * What one chunk counts of the pushes that its entries hold, over the whole run: it is kept with
 * the values, so that a run that goes on from a checkpoint counts on.
 *
 * Staleness and rejections are of a push as a whole: they are counted on the chunk that leads it,
 * once, whichever server that is on.
 *
 * Invariant: only what is committed counts.
 */
import type { PushCounts } from "../../protocol/messages.js";
import type { Entry } from "./entry.js";

/** The lengths of staleness that are counted apart, the last with all above. */
const stalenessPlaces = 128;

/** The counts of one chunk. */
export class PushTally {
  #pushes = 0;
  #rejected = 0;
  #stalenessSum = 0;
  #stalenessMax = 0;
  #stalenessCounts: number[] = [];

  /** Pushes with examples that were applied. */
  get pushes(): number {
    return this.#pushes;
  }

  /** An entry is committed. */
  count({ pushes, staleness }: Pick<Entry, "pushes" | "staleness">): void {
    this.#pushes += pushes;
    if (staleness === null) return;
    if (pushes === 0) {
      this.#rejected++;
      return;
    }
    this.#stalenessSum += staleness;
    this.#stalenessMax = Math.max(this.#stalenessMax, staleness);
    const place = Math.min(staleness, stalenessPlaces - 1);
    while (this.#stalenessCounts.length <= place) this.#stalenessCounts.push(0);
    this.#stalenessCounts[place]!++;
  }

  /** The counts, to be kept. */
  counts(): PushCounts {
    return {
      pushes: this.#pushes,
      rejected: this.#rejected,
      stalenessSum: this.#stalenessSum,
      stalenessMax: this.#stalenessMax,
      stalenessCounts: [...this.#stalenessCounts],
    };
  }

  /** Goes on from counts that were kept. */
  restore(counts: PushCounts): void {
    this.#pushes = counts.pushes;
    this.#rejected = counts.rejected;
    this.#stalenessSum = counts.stalenessSum;
    this.#stalenessMax = counts.stalenessMax;
    this.#stalenessCounts = counts.stalenessCounts.slice(0, stalenessPlaces);
  }
}
