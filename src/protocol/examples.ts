/**
 * Examples as they travel from the coordinator to workers that have no files (`--feed central`):
 * bytes as they are stored, so that the worker makes the same values of them as it would of its own
 * files. Reading is idempotent: the same request gives the same examples, however often it is made
 * after a broken link.
 */
import type { RunSpec } from "./run-spec.js";

/**
 * The most test examples computed, and so asked for, at once; a constant, so that a range's sums
 * have the same bits everywhere.
 */
export const evaluationBatchExamples = 128;

/**
 * The most bytes of values that one request may ask for, unless a batch or a part of an evaluation
 * has more: 64 MiB, so that nobody has the coordinator read a data set into its memory.
 */
const examplesBytesMax = 67108864;

/** How many examples of a run one request may ask for. */
export function examplesMaxOf({ batchSize, input }: Pick<RunSpec, "batchSize" | "input">): number {
  const bytes = input.shape.reduce((product, extent) => product * extent, 1);
  return Math.max(batchSize, evaluationBatchExamples, Math.floor(examplesBytesMax / bytes));
}

/** Which examples are wanted. */
export interface ExamplesRequest {
  readonly run: string;
  readonly split: "train" | "test";
  /** For the training split: positions are of this epoch's permutation; else 0. */
  readonly epoch: number;
  /** Positions [start, end); of the test split in its own order. */
  readonly start: number;
  readonly end: number;
}

/** One step's examples: positions of the epoch's permutation. */
export interface StepRange {
  readonly step: number;
  readonly epoch: number;
  readonly range: { readonly start: number; readonly end: number };
}

/** The examples, and what they are said to be. */
export interface Examples {
  /** (C, H, W) of one. */
  readonly shape: readonly number[];
  /** What a value is; "u8", a byte, is what workers take. */
  readonly dtype: string;
  /** One of each example. */
  readonly labels: Int32Array;
  /** An example after the other. */
  readonly values: Uint8Array;
}

/** A part of the examples; labels and values follow those of the blocks before. */
export interface ExamplesBlock extends Examples {
  /** Examples of the whole answer. */
  readonly count: number;
}
