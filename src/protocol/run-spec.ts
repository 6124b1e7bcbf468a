/**
 * What a run is: every choice that changes what is computed or promised, as plain data. The command
 * line resolves it, the coordinator hands it to each member, the manifest of a checkpoint keeps it.
 * Nothing here says where a process runs or what it prints.
 */

import type { CompressionSpec } from "./compression.js";

/** A number or a word that a way to keep pace depends on. */
export type ProtocolParameter = number | string;

/**
 * How tightly workers keep pace: the name of a mode and the mode's own parameters, single or in a
 * group of a name. What each mode takes is said in `core/sync`.
 */
export interface Protocol {
  readonly mode: string;
  readonly [parameter: string]:
    | ProtocolParameter
    | { readonly [member: string]: ProtocolParameter };
}

/**
 * What ASP does with a stale push. With staleness t: `scale` multiplies the gradient by
 * max(floor, 1 / (1 + scale * t)); `reject` refuses it when t > max.
 */
export type StalenessRule = {
  readonly rule: "none" | "scale" | "reject" | "scale+reject";
  readonly scale: number;
  readonly floor: number;
  readonly max: number;
};

/**
 * How gradients of one step become one: mean over examples, or the plain sum of the workers' means.
 */
export type Reduce = "mean" | "sum";

/**
 * The optimizer that servers apply. `weightDecay` acts on the "weight" group, `weightDecayPlain` on
 * biases and norms.
 */
export interface UpdateRuleSpec {
  readonly name: "sgd" | "momentum" | "nesterov" | "adam" | "adamw";
  readonly momentum: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly weightDecayPlain: number;
  /** Share of the batch's statistic in a buffer's next value: b <- (1 - m) b + m * statistic. */
  readonly bufferMomentum: number;
}

/**
 * What every process must know of the data set without having its files: the model is fitted to
 * it, and bytes become input values by it.
 */
export interface InputSpec {
  readonly classes: number;
  /** (C, H, W) of one example. */
  readonly shape: readonly [number, number, number];
  /** An input value is (byte / 255 - mean) / std, one of each a channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Examples shuffled as a block, as they lie together in a file; 0: all are shuffled as one. */
  readonly blockExamples: number;
  readonly augment: AugmentSpec;
}

/** What is done to a training example before it is computed with. */
export interface AugmentSpec {
  /** Pixels of zeros around a picture before a random crop of its own size; 0 for no crop. */
  readonly cropPadding: number;
  /** Mirror left and right in half the cases. */
  readonly flip: boolean;
  /** Bring each picture to mean 0 and deviation 1, instead of by mean and std. */
  readonly standardise: boolean;
}

/**
 * How examples reach workers: each has the files and takes a range of every epoch, or takes batch
 * by batch what it is dealt, or has no files and is sent each batch it is dealt.
 */
export const feeds = ["static", "leased", "central"] as const;
/** One of the ways. */
export type Feed = (typeof feeds)[number];

/**
 * Learning rate as a function of work (examples applied), after Sync-Switch's rule that schedules
 * follow work.
 */
export interface ScheduleSpec {
  readonly name: "constant" | "step" | "cosine" | "onecycle";
  /** The base learning rate; the peak for onecycle. */
  readonly lr: number;
  /** Share of the whole work during which the rate rises linearly from 0. */
  readonly warmup: number;
  /** For `step`: shares of the whole work at which the rate is multiplied by `gamma`. */
  readonly milestones: readonly number[];
  readonly gamma: number;
  /** The whole work of the run in examples. */
  readonly totalExamples: number;
}

/** What may be asked to compute; `auto` is the fastest there is, `synthetic` computes nothing. */
export const engines = ["auto", "onednn", "reference", "synthetic"] as const;
/** One of them. */
export type EngineChoice = (typeof engines)[number];

/**
 * In what numbers forward and backward are computed; parameters and gradients travel in f32 all the
 * same. Where a processor lacks the instructions, bf16 falls back to f32 and bf16! is refused.
 */
export const dtypes = ["f32", "bf16", "bf16!"] as const;
/** One of them. */
export type Dtype = (typeof dtypes)[number];

/**
 * How a residual network begins: for small pictures by a 3x3 convolution that keeps their size, or
 * for large ones by a 7x7 convolution and a pool, which leave a quarter of the rows and columns.
 */
export const stems = ["cifar", "imagenet"] as const;
/** One of the beginnings. */
export type Stem = (typeof stems)[number];

/** A cadence in global steps or epochs, e.g. 5it or 1e. */
export interface Cadence {
  readonly unit: "step" | "epoch";
  readonly count: number;
}

/** The model as people read it: its name, and its stem where it has a choice of them. */
export function modelTitle({ model, stem }: Pick<RunSpec, "model" | "stem">): string {
  return stem === null ? model : `${model} with the ${stem} stem`;
}

/** One training run. */
export interface RunSpec {
  readonly run: string;
  readonly name: string;
  readonly seed: number;
  readonly model: string;
  /** Null where the model begins in one way only. */
  readonly stem: Stem | null;
  readonly data: string;
  /** Examples used, after --train-limit and --test-limit. */
  readonly trainExamples: number;
  readonly testExamples: number;
  readonly input: InputSpec;
  readonly feed: Feed;
  readonly workersMin: number;
  readonly workersMax: number;
  readonly servers: number;
  readonly protocol: Protocol;
  readonly reduce: Reduce;
  readonly updateRule: UpdateRuleSpec;
  readonly schedule: ScheduleSpec;
  readonly lrScaling: "none" | "linear";
  readonly epochs: number;
  /** Global steps at most; null when the epochs alone end the run. */
  readonly maxSteps: number | null;
  readonly batchSize: number;
  readonly chunkValues: number;
  readonly compression: CompressionSpec;
  readonly virtualNodes: number;
  /** Bounded-load factor, or null for the plain ring. */
  readonly loadBound: number | null;
  readonly evaluateEvery: Cadence | null;
  readonly checkpointEvery: Cadence | null;
  readonly engine: EngineChoice;
  readonly dtype: Dtype;
  /**
   * Compute threads of one worker process; derived from the configured -w, never from live
   * membership.
   */
  readonly threads: number;
}
