/**
 * The pools in plain loops, plane by plane.
 *
 * Max pool: y is the window's largest value, the first in reading order among equals (NaN wins, so
 * that a diverged run shows in the loss); the gradient goes to that value alone. Mean pool: y is
 * the window's sum over kernel rows * kernel columns, the padding counting as zeros; each value of
 * the picture gets its share of the gradient. Global mean: the same over the whole plane.
 *
 * Invariant: where windows overlap, gradients are added in f64 in reading order of the windows and
 * rounded to f32 once.
 */
import type { LayerOf } from "../layers.js";
import { type Sliding, slide } from "../window.js";
import type { KernelContext, LayerKernel } from "./reference-kernel.js";

/** The part of a window that lies in the picture: rows [top, bottom), columns [left, right). */
interface Clip {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** The kernel of a max pool. */
export function maxPoolKernel(context: KernelContext<LayerOf<"max-pool">>): LayerKernel {
  const { output, outputGradient: dy, layer } = context;
  const sliding = slide(layer, context.inputShapes[0], layer.kernel);
  const clips = clipsOf(sliding);
  const columns = sliding.input[1];
  const plane = sliding.input[0] * columns;
  const x = context.inputs[0] as Float32Array;
  const dx = context.inputGradients[0];
  const winners = new Int32Array(output.length);
  const sums = new Float64Array(plane);
  return {
    forward(n) {
      for (let at = 0; at < n * context.outputValues; at++) {
        const start = Math.floor(at / clips.length) * plane;
        const winner = largestIn(x, start, columns, clips[at % clips.length] as Clip);
        winners[at] = winner - start;
        output[at] = x[winner] as number;
      }
    },
    backwardInputs(n) {
      if (!dx) return;
      for (let index = 0; index < n * sliding.channels; index++) {
        sums.fill(0);
        for (let at = index * clips.length; at < (index + 1) * clips.length; at++) {
          const winner = winners[at] as number;
          sums[winner] = (sums[winner] as number) + (dy[at] as number);
        }
        dx.set(sums, index * plane);
      }
    },
  };
}

/** The kernel of a mean pool. */
export function avgPoolKernel(context: KernelContext<LayerOf<"avg-pool">>): LayerKernel {
  const { output, outputGradient: dy, layer } = context;
  const sliding = slide(layer, context.inputShapes[0], layer.kernel);
  const clips = clipsOf(sliding);
  const columns = sliding.input[1];
  const plane = sliding.input[0] * columns;
  const taps = sliding.kernel[0] * sliding.kernel[1];
  const x = context.inputs[0] as Float32Array;
  const dx = context.inputGradients[0];
  const sums = new Float64Array(plane);
  return {
    forward(n) {
      for (let at = 0; at < n * context.outputValues; at++) {
        const start = Math.floor(at / clips.length) * plane;
        output[at] = sumIn(x, start, columns, clips[at % clips.length] as Clip) / taps;
      }
    },
    backwardInputs(n) {
      if (!dx) return;
      for (let index = 0; index < n * sliding.channels; index++) {
        sums.fill(0);
        for (let window = 0; window < clips.length; window++) {
          const share = (dy[index * clips.length + window] as number) / taps;
          addIn(sums, columns, clips[window] as Clip, share);
        }
        dx.set(sums, index * plane);
      }
    },
  };
}

/** The kernel of the mean of whole planes. */
export function globalAvgPoolKernel(
  context: KernelContext<LayerOf<"global-avg-pool">>,
): LayerKernel {
  const { output, outputGradient: dy, outputValues: channels } = context;
  const plane = (context.inputValues[0] as number) / channels;
  const x = context.inputs[0] as Float32Array;
  const dx = context.inputGradients[0];
  return {
    forward(n) {
      for (let at = 0; at < n * channels; at++) {
        let sum = 0;
        for (let index = at * plane; index < (at + 1) * plane; index++) sum += x[index] as number;
        output[at] = sum / plane;
      }
    },
    backwardInputs(n) {
      for (let at = 0; at < n * channels; at++) {
        dx?.fill((dy[at] as number) / plane, at * plane, (at + 1) * plane);
      }
    },
  };
}

/** The windows of a plane in reading order, each cut to the picture. */
function clipsOf({ input, output, kernel, stride, padding }: Sliding): Clip[] {
  const cut = (axis: 0 | 1, position: number) => {
    const from = position * stride[axis] - padding[axis];
    return [Math.max(0, from), Math.min(input[axis], from + kernel[axis])] as const;
  };
  return Array.from({ length: output[0] * output[1] }, (_, index) => {
    const [top, bottom] = cut(0, Math.floor(index / output[1]));
    const [left, right] = cut(1, index % output[1]);
    return { top, bottom, left, right };
  });
}

function largestIn(x: Float32Array, start: number, columns: number, clip: Clip): number {
  let winner = start + clip.top * columns + clip.left;
  let largest = x[winner] as number;
  for (let row = clip.top; row < clip.bottom; row++) {
    for (let column = clip.left; column < clip.right; column++) {
      const at = start + row * columns + column;
      const value = x[at] as number;
      if (!(value > largest) && !Number.isNaN(value)) continue;
      winner = at;
      largest = value;
    }
  }
  return winner;
}

function sumIn(x: Float32Array, start: number, columns: number, clip: Clip): number {
  let sum = 0;
  for (let row = clip.top; row < clip.bottom; row++) {
    for (let column = clip.left; column < clip.right; column++) {
      sum += x[start + row * columns + column] as number;
    }
  }
  return sum;
}

function addIn(sums: Float64Array, columns: number, clip: Clip, share: number): void {
  for (let row = clip.top; row < clip.bottom; row++) {
    for (let column = clip.left; column < clip.right; column++) {
      const at = row * columns + column;
      sums[at] = (sums[at] as number) + share;
    }
  }
}
