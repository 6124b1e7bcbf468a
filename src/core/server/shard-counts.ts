/**
 * What a shard counts while it applies: updates, staleness and the pushes that it did not apply.
 * Times and bytes are the host's to add.
 */

import type { ServerStatistics } from "../../protocol/messages.js";
import type { ChunkState } from "./chunk-state.js";

/** The lengths of staleness that are counted apart, the last with all above. */
const stalenessPlaces = 128;

/** The counts of one job. */
export class ShardCounts {
  rejected = 0;
  duplicates = 0;
  #updates = 0;
  #lr = 0;
  #stalenessSum = 0;
  #stalenessCount = 0;
  #stalenessMax = 0;
  #stalenessCounts: number[] = [];

  /** A chunk was updated at this learning rate. */
  updated(lr: number): void {
    this.#updates++;
    this.#lr = lr;
  }

  /** A push was accepted that is this many updates behind. */
  accepted(staleness: number): void {
    this.#stalenessSum += staleness;
    this.#stalenessCount++;
    this.#stalenessMax = Math.max(this.#stalenessMax, staleness);
    const place = Math.min(staleness, stalenessPlaces - 1);
    while (this.#stalenessCounts.length <= place) this.#stalenessCounts.push(0);
    this.#stalenessCounts[place]!++;
  }

  /** The counts, with those of the chunks held. */
  statistics(states: readonly ChunkState[]): ServerStatistics {
    const versions = states.map((state) => state.version);
    return {
      versionMin: versions.length === 0 ? 0 : Math.min(...versions),
      versionMax: Math.max(0, ...versions),
      chunks: states.length,
      pushes: Math.max(0, ...states.map((state) => state.pushes)),
      updates: this.#updates,
      updateSeconds: 0,
      stalenessSum: this.#stalenessSum,
      stalenessCount: this.#stalenessCount,
      stalenessMax: this.#stalenessMax,
      stalenessCounts: [...this.#stalenessCounts],
      rejected: this.rejected,
      duplicates: this.duplicates,
      tornSteps: 0,
      bytesIn: 0,
      bytesOut: 0,
      lr: this.#lr,
    };
  }
}
