/**
 * Batch normalisation in plain loops. With x^ = (x - mean) / sqrt(variance + epsilon) per channel,
 * y = x^ weight + bias over the M = N H W values of a channel.
 *
 * Gradients while training (Ioffe and Szegedy 2015, section 3): dbias = sum of dy, dweight = sum
 * of dy x^, dx = weight / sqrt(variance + epsilon) * (dy - dbias / M - x^ dweight / M). Buffers get
 * the batch's mean and unbiased variance (of a single value: 0), the counter gets 1.
 *
 * Invariant: sums run in f64 over the examples in their order, and within one over its plane; the
 * variance is summed around the mean in a second pass. Each value is rounded to f32 once.
 */
import type { StepSeed } from "../engine.js";
import type { LayerOf } from "../layers.js";
import type { KernelContext, LayerKernel } from "./reference-kernel.js";

const defaultEpsilon = 1e-5;

/** The kernel of a batch normalisation. */
export function batchNormKernel(context: KernelContext<LayerOf<"batch-norm">>): LayerKernel {
  return new BatchNormKernel(context);
}

class BatchNormKernel implements LayerKernel {
  readonly #context: KernelContext<LayerOf<"batch-norm">>;
  readonly #x: Float32Array;
  readonly #epsilon: number;
  readonly #channels: number;
  readonly #plane: number;
  /** By channel: what the last forward pass normalised with. */
  readonly #means: Float64Array;
  readonly #variances: Float64Array;
  /** By channel: sums of dy and of dy x^ over the batch. */
  readonly #sums: Float64Array;
  readonly #products: Float64Array;

  constructor(context: KernelContext<LayerOf<"batch-norm">>) {
    const [channels, rows, columns] = context.outputShape as [number, number, number];
    this.#context = context;
    this.#x = context.inputs[0] as Float32Array;
    this.#epsilon = context.layer.epsilon ?? defaultEpsilon;
    this.#channels = channels;
    this.#plane = rows * columns;
    this.#means = new Float64Array(channels);
    this.#variances = new Float64Array(channels);
    this.#sums = new Float64Array(channels);
    this.#products = new Float64Array(channels);
  }

  forward(n: number, seed: StepSeed | undefined): void {
    const { parameters, output } = this.#context;
    if (seed === undefined) {
      this.#means.set(parameters.running_mean as Float32Array);
      this.#variances.set(parameters.running_var as Float32Array);
    }
    for (let channel = 0; channel < this.#channels; channel++) {
      if (seed !== undefined) this.#measure(channel, n);
      const mean = this.#means[channel] as number;
      const scale = this.#scaleOf(channel) * (parameters.weight?.[channel] as number);
      const shift = parameters.bias?.[channel] as number;
      const end = n * this.#channels * this.#plane;
      for (let start = channel * this.#plane; start < end; start += this.#channels * this.#plane) {
        normalise(this.#x, output, start, start + this.#plane, mean, scale, shift);
      }
    }
  }

  backwardTensors(n: number): void {
    const { gradients, outputGradient: dy } = this.#context;
    const count = n * this.#plane;
    const end = n * this.#channels * this.#plane;
    for (let channel = 0; channel < this.#channels; channel++) {
      const mean = this.#means[channel] as number;
      let sum = 0;
      let product = 0;
      for (let start = channel * this.#plane; start < end; start += this.#channels * this.#plane) {
        sum = addPlane(dy, start, start + this.#plane, sum);
        product = addProducts(dy, this.#x, mean, start, start + this.#plane, product);
      }
      this.#sums[channel] = sum;
      this.#products[channel] = product * this.#scaleOf(channel);
      // A batch of none measures nothing; of one value the biased variance, 0, stays finite.
      const unbiased = count > 1 ? count / (count - 1) : 1;
      (gradients.running_mean as Float32Array)[channel] = mean;
      (gradients.running_var as Float32Array)[channel] =
        (this.#variances[channel] as number) * unbiased;
    }
    gradients.weight?.set(this.#products);
    gradients.bias?.set(this.#sums);
    gradients.num_batches_tracked?.fill(n > 0 ? 1 : 0);
  }

  backwardInputs(n: number): void {
    const { parameters, inputGradients, outputGradient: dy } = this.#context;
    const dx = inputGradients[0];
    if (!dx) return;
    const count = n * this.#plane;
    const end = n * this.#channels * this.#plane;
    for (let channel = 0; channel < this.#channels; channel++) {
      const mean = this.#means[channel] as number;
      const inverse = this.#scaleOf(channel);
      const scale = inverse * (parameters.weight?.[channel] as number);
      const level = (this.#sums[channel] as number) / count;
      const slope = (inverse * (this.#products[channel] as number)) / count;
      for (let start = channel * this.#plane; start < end; start += this.#channels * this.#plane) {
        for (let index = start; index < start + this.#plane; index++) {
          const centred = (this.#x[index] as number) - mean;
          dx[index] = scale * ((dy[index] as number) - level - slope * centred);
        }
      }
    }
  }

  /** 1 / sqrt(variance + epsilon) of the last forward pass. */
  #scaleOf(channel: number): number {
    return 1 / Math.sqrt((this.#variances[channel] as number) + this.#epsilon);
  }

  /** Mean and biased variance of a channel over the batch; 0 and 0 for a batch of none. */
  #measure(channel: number, n: number): void {
    const count = Math.max(1, n * this.#plane);
    const step = this.#channels * this.#plane;
    const end = n * step;
    let sum = 0;
    for (let start = channel * this.#plane; start < end; start += step) {
      sum = addPlane(this.#x, start, start + this.#plane, sum);
    }
    const mean = sum / count;
    let squares = 0;
    for (let start = channel * this.#plane; start < end; start += step) {
      squares = addSquares(this.#x, mean, start, start + this.#plane, squares);
    }
    this.#means[channel] = mean;
    this.#variances[channel] = squares / count;
  }
}

function normalise(
  x: Float32Array,
  y: Float32Array,
  start: number,
  end: number,
  mean: number,
  scale: number,
  shift: number,
): void {
  for (let index = start; index < end; index++) {
    y[index] = ((x[index] as number) - mean) * scale + shift;
  }
}

function addPlane(values: Float32Array, start: number, end: number, sum: number): number {
  for (let index = start; index < end; index++) sum += values[index] as number;
  return sum;
}

function addSquares(values: Float32Array, mean: number, start: number, end: number, sum: number) {
  for (let index = start; index < end; index++) {
    const centred = (values[index] as number) - mean;
    sum += centred * centred;
  }
  return sum;
}

/** Adds the products of dy with the distance of x from its mean. */
function addProducts(
  dy: Float32Array,
  x: Float32Array,
  mean: number,
  start: number,
  end: number,
  sum: number,
): number {
  for (let index = start; index < end; index++) {
    sum += (dy[index] as number) * ((x[index] as number) - mean);
  }
  return sum;
}
