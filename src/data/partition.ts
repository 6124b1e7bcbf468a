/**
 * Which examples an epoch takes in which order, and how a run of positions is shared among workers.
 * Both follow from counts and the seed alone, so every process finds the same without talking.
 */
import { assert } from "../assert.js";
import { Random } from "../random.js";

/** A run of positions, `start` included, `end` not. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** The order in which the epoch takes the examples 0 to count - 1. */
export function epochPermutation(count: number, seed: number, epoch: number): Uint32Array {
  assert(Number.isInteger(count) && count >= 0, "example count", { count });
  const order = new Uint32Array(count);
  for (let index = 0; index < count; index++) order[index] = index;
  return new Random(seed, "permutation", epoch).shuffle(order);
}

/** Cuts `count` positions into contiguous, disjoint ranges whose sizes differ by at most one. */
export function workerRanges(count: number, workers: number): Range[] {
  assert(Number.isInteger(count) && count >= 0, "position count", { count });
  assert(Number.isInteger(workers) && workers >= 1, "worker count", { workers });
  const ranges: Range[] = [];
  for (let rank = 0; rank < workers; rank++) {
    const start = Math.floor((count * rank) / workers);
    ranges.push({ start, end: Math.floor((count * (rank + 1)) / workers) });
  }
  return ranges;
}
