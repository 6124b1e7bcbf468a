/**
 * What a worker's host asks of whatever computes. In production that is a thread of its own, so
 * that messages flow while it works; in tests it may be a function. Parameters and gradients lie in
 * memory that both see.
 *
 * Invariant: between `compute` and its `computed`, the host writes to those chunks of `parameters`
 * only that the request lacks and that have not `arrived`, and to those whose gradient has been
 * said to be ready. The computing side neither reads the parameters nor writes the gradient of a
 * chunk that it lacks before it has `arrived`, says no gradient to be ready before all have, and
 * writes to none that it has said to be ready.
 */

import type { StepOutcome } from "../core/worker/worker-account.js";
import type { StepRange } from "../protocol/examples.js";
import type { Layout } from "../protocol/layout.js";
import type { LocalMoment } from "../protocol/local/local-steps.js";
import type { Range } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";

/** What a job looks like once it is prepared. */
export interface PreparedCompute {
  readonly layout: Layout;
  /** The flat vector of f32 values that replies are written to. */
  readonly parameters: Float32Array;
  /** The flat vector of f32 values that pushes are read from. */
  readonly gradients: Float32Array;
  /**
   * What the rule of local steps keeps between them (protocol/local/local-state.ts): the computing
   * side reads it when a step begins and has written it when that is computed. Left out where it
   * is nothing.
   */
  readonly kept?: Float32Array;
  /** What computes: engine, version, instruction set, threads. */
  readonly engine: string;
  /** What it chose that bits depend on, a line for each distinct shape. */
  readonly algorithms: readonly string[];
}

/** What the computing side says. */
export interface ComputeListener {
  /** The gradient of this chunk is final for this step. */
  onChunkReady(step: number, chunk: number): void;
  /** Every chunk of the step has been said to be ready, unless the sum of losses is not finite. */
  onComputed(step: number, outcome: StepOutcome): void;
  /** The examples of this step are not what the run spec says; nothing was computed. */
  onRefused(step: number, reason: string): void;
  onEvaluated(correct: number, lossSum: number): void;
  /** It can't go on. */
  onFailed(error: unknown): void;
}

/** One step to compute: examples at these positions of the epoch's permutation. */
export interface ComputeRequest extends StepRange {
  /** Chunks whose parameters are on their way. */
  readonly lacking: readonly number[];
  /** The step that will most likely follow, so that its examples may be made ready before. */
  readonly next: StepRange | null;
  /** How many times its own time the step is to take; 1 if left out. */
  readonly slow?: number;
  /** What the rate follows, where the step is made of local steps; such a step lacks no chunk. */
  readonly moment?: LocalMoment;
}

/** The computing side. One request is under way at a time. */
export interface ComputePort {
  /**
   * Builds the model, finds the data; rejects with a PacelineError (data, usage). `rank` seeds
   * dropout. A step of an earlier job that waits for parameters is given up.
   */
  prepare(spec: RunSpec, rank: number, listener: ComputeListener): Promise<PreparedCompute>;
  compute(request: ComputeRequest): void;
  /** The parameters of a chunk that the step under way lacked are in place. */
  arrived(chunk: number): void;
  /** Test examples [start, end), in the test set's own order. */
  evaluate(range: Range): void;
  /** Gives everything up, also a step that waits for parameters; the listener hears no more. */
  close(): Promise<void>;
}
