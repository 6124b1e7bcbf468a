/**
 * The losses in plain loops, for every engine: one pass over the logits gives the loss, the count
 * of right predictions and, when training, the gradient of the mean loss.
 *
 * - cross-entropy over logits [N, classes]: d = (softmax - one-hot) / N, the softmax taken
 *   relative to the largest logit, so that no exponential overflows.
 * - bce-with-logits over logits [N, 1]: d = (sigmoid(z) - t) / N, both in the form that is exact
 *   for large |z|.
 *
 * Invariant: sums run in f64 over the examples in their order. Error: gradients are rounded to
 * f32 once.
 */
import type { LossName } from "./losses.js";

/** Sums over a batch. */
export interface LossSums {
  lossSum: number;
  correct: number;
}

/**
 * Loss over the first `n` rows of `logits` [n, width], labels `y` [n].
 * @param gradient where d(mean loss)/d(logits) goes, [n, width]; undefined in evaluation.
 */
export type LossKernel = (
  n: number,
  width: number,
  logits: Float32Array,
  y: Int32Array,
  gradient: Float32Array | undefined,
) => LossSums;

/** The kernel of each loss. */
export const lossKernels: Readonly<Record<LossName, LossKernel>> = {
  "cross-entropy": crossEntropy,
  "bce-with-logits": binaryCrossEntropy,
};

function crossEntropy(
  n: number,
  width: number,
  logits: Float32Array,
  y: Int32Array,
  gradient: Float32Array | undefined,
): LossSums {
  let lossSum = 0;
  let correct = 0;
  for (let example = 0; example < n; example++) {
    const start = example * width;
    const label = y[example] as number;
    const best = indexOfLargest(logits, start, width);
    const largest = logits[start + best] as number;
    let sum = 0;
    for (let index = start; index < start + width; index++) {
      sum += Math.exp((logits[index] as number) - largest);
    }
    lossSum += Math.log(sum) + largest - (logits[start + label] as number);
    if (best === label && Number.isFinite(sum)) correct++;
    if (!gradient) continue;
    for (let index = start; index < start + width; index++) {
      const share = Math.exp((logits[index] as number) - largest) / sum;
      gradient[index] = (index - start === label ? share - 1 : share) / n;
    }
  }
  return { lossSum, correct };
}

/** Position of the largest of `width` values, the first among equals. */
function indexOfLargest(values: Float32Array, start: number, width: number): number {
  let best = 0;
  for (let index = 1; index < width; index++) {
    if ((values[start + index] as number) > (values[start + best] as number)) best = index;
  }
  return best;
}

function binaryCrossEntropy(
  n: number,
  _width: number,
  logits: Float32Array,
  y: Int32Array,
  gradient: Float32Array | undefined,
): LossSums {
  let lossSum = 0;
  let correct = 0;
  for (let example = 0; example < n; example++) {
    const z = logits[example] as number;
    const target = y[example] as number;
    const tail = Math.exp(-Math.abs(z));
    lossSum += Math.max(z, 0) - z * target + Math.log1p(tail);
    if (z > 0 === (target === 1) && !Number.isNaN(z)) correct++;
    if (!gradient) continue;
    const sigmoid = z >= 0 ? 1 / (1 + tail) : tail / (1 + tail);
    gradient[example] = (sigmoid - target) / n;
  }
  return { lossSum, correct };
}
