/**
 * Norms of one step, as servers measure them where a run asks for it (`--watch norms`): sums of
 * squares over the parameters that the optimizer moves. A server says those of the chunks that it
 * leads; sums over all chunks are what norms are the roots of.
 */
import type { ParameterGroup } from "./layout.js";

/** Sums of squares over some chunks, for one update of each. */
export interface SquareSums {
  /** Of the weights, as they are before the update. */
  readonly weights: number;
  /** Of the gradient that the update takes: folded, and scaled where a stale push is. */
  readonly gradient: number;
  /** Of weight decay times weight. */
  readonly decay: number;
}

/** What some chunks of a server come to in one update. */
export interface NormShare extends SquareSums {
  /** The version that the update has brought each of them to: the global step. */
  readonly version: number;
  /** How many chunks these are. */
  readonly chunks: number;
}

/** What a server has measured since it said so last. */
export interface NormReport {
  /** Of the run's state: after a roll-back versions come again. */
  readonly generation: number;
  readonly shares: readonly NormShare[];
}

/** The most shares of one report. */
export const normSharesMax = 4096;

/** True of the parameters that have norms: those that gradients move. */
export function hasNorms(group: ParameterGroup): boolean {
  return group === "weight" || group === "plain";
}
