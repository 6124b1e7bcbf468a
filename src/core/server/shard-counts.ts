/**
 * What a shard counts: of its own since it has the job, and of its chunks over the whole run. Times
 * and bytes are the host's to add.
 */

import type { ServerStatistics } from "../../protocol/messages.js";
import type { ChunkState } from "./chunk-state.js";

/** The counts of one job. */
export class ShardCounts {
  duplicates = 0;
  #updates = 0;
  #lr = 0;

  /** A chunk was updated at this learning rate. */
  updated(lr: number): void {
    this.#updates++;
    this.#lr = lr;
  }

  /** The counts, with those of the chunks held in a view of this generation. */
  statistics(states: readonly ChunkState[], generation: number): ServerStatistics {
    const versions = states.map((state) => state.version);
    const counts = states.map((state) => state.tally.counts());
    const sum = (pick: (one: (typeof counts)[number]) => number) =>
      counts.reduce((total, one) => total + pick(one), 0);
    const places = Math.max(0, ...counts.map((one) => one.stalenessCounts.length));
    const stalenessCounts = Array.from({ length: places }, (_, place) =>
      sum((one) => one.stalenessCounts[place] ?? 0),
    );
    return {
      generation,
      versionMin: versions.length === 0 ? 0 : Math.min(...versions),
      versionMax: Math.max(0, ...versions),
      chunks: states.length,
      pushes: Math.max(0, ...counts.map(({ pushes }) => pushes)),
      updates: this.#updates,
      updateSeconds: 0,
      stalenessSum: sum((one) => one.stalenessSum),
      stalenessCount: stalenessCounts.reduce((total, one) => total + one, 0),
      stalenessMax: Math.max(0, ...counts.map(({ stalenessMax }) => stalenessMax)),
      stalenessCounts,
      rejected: sum(({ rejected }) => rejected),
      duplicates: this.duplicates,
      tornSteps: 0,
      bytesIn: 0,
      bytesOut: 0,
      lr: this.#lr,
    };
  }
}
