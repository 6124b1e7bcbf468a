/**
 * What computes a model: the `Engine` interface. The rest of Paceline hands an engine a model as a
 * graph and memory for parameters and gradients, and gets an executor that runs one batch at a
 * time.
 *
 * The memory belongs to the caller and may be shared with other threads. An executor reads
 * `parameters` only inside `step` and `evaluate`, and writes `gradients` only inside `step`; it
 * keeps no copy of a tensor from one step to the next. How it keeps activations, and in which
 * layout, is its own affair.
 *
 * Invariant: equal parameters, batch and seed give equal bits, every time, on one machine.
 */
import type { ModelGraph } from "./model.js";

/** Where a tensor lies in the flat vectors, in values. */
export type Placement = (tensor: string) => { readonly offset: number; readonly length: number };

/** Memory that an executor works on. Both vectors are f32 of equal length. */
export interface EngineMemory {
  readonly parameters: Float32Array;
  readonly gradients: Float32Array;
  readonly placement: Placement;
  /** The most examples a batch will have; buffers are made for as many. */
  readonly batchMax: number;
  /** The examples of most batches, which choices are made for; `batchMax` if not given. */
  readonly batchUsual?: number;
}

/** Examples: x [n, ...inputShape] and y [n], labels; what longer arrays hold beyond is ignored. */
export interface Batch {
  readonly x: Float32Array;
  readonly y: Int32Array;
  readonly n: number;
}

/** What a batch came to. `lossSum` is the sum, not the mean, of the loss over the examples. */
export interface Outcome {
  readonly lossSum: number;
  readonly correct: number;
  readonly examples: number;
}

/** Name of the step's random stream, for instance (seed, rank, step); a layer adds its own name. */
export type StepSeed = readonly (number | string)[];

/** Who goes along with a step, and may hold it up. */
export interface StepCompanion {
  /**
   * Called before the step first touches a tensor's value or the place of its gradient: once per
   * tensor, buffers and counters included, in the order of `graph.tensors`, all before the
   * backward pass. The step goes on when it returns, so a value may be put in place meanwhile; what
   * it throws ends the step, and the executor can do no more than be closed.
   */
  beforeTensor(tensor: string): void;
  /** The forward pass is done; a backward pass begins if the loss is finite. */
  onTurn(): void;
}

/** A model bound to memory. */
export interface Executor {
  /**
   * Forward and backward over one batch: writes the gradient of the batch's mean loss at each
   * tensor's place and calls `onGradient` with a tensor's name as soon as its gradient is final and
   * its value is no longer needed in this step, so that the listener may overwrite both: once per
   * tensor, buffers and counters included, in reverse of `graph.tensors`. A batch of none writes
   * zeros everywhere. A loss that is not finite is returned, not thrown; the step then ends without
   * a gradient, and `onGradient` is not called.
   *
   * What is no parameter has no gradient but a statistic. At a buffer's place stands what the batch
   * measured: its mean, or its unbiased variance count / (count - 1) * variance; a channel's only
   * value has variance 0, so that it stays finite. At a counter's place stands 1. The step itself
   * normalises with the biased variance, and neither reads nor changes running statistics: their
   * keeper applies b <- (1 - m) b + m * statistic.
   * @throws PacelineError `data` for a label that is no class of the model.
   */
  step(
    batch: Batch,
    seed: StepSeed,
    onGradient: (tensor: string) => void,
    companion?: StepCompanion,
  ): Outcome;
  /**
   * Forward only, dropout off, normalised with the running statistics; touches no gradient. Throws
   * as `step` does.
   * @param logits where the logits [n, classes] are copied to, if given (one per example under
   * bce-with-logits); what lies beyond stays as it was.
   */
  evaluate(batch: Batch, logits?: Float32Array): Outcome;
  /**
   * Makes ready for steps on n examples, which would else be done in the first of them, and says
   * what was chosen for them that bits depend on: a line for each distinct shape, none where there
   * was no choice.
   */
  prepare(n: number): readonly string[];
  /** Gives up native resources; nothing may be called afterwards. */
  close(): void;
}

/** A way to compute models. */
export interface Engine {
  readonly name: string;
  /** Binds a model to memory, allocating everything that a step needs. */
  bind(graph: ModelGraph, memory: EngineMemory): Executor;
}
