/**
 * The pools, which shrink pictures and own no tensors: the largest value of each window, the mean
 * of each window, and the mean of a whole plane. They follow PyTorch's nn.MaxPool2d, nn.AvgPool2d
 * (zeros of the padding count) and nn.AdaptiveAvgPool2d(1) with its output flattened.
 *
 * Invariant: a window's padding is at most half its kernel, so that each window holds at least one
 * value of the picture.
 */
import { assert } from "../assert.js";
import type { LayerKind, Shape } from "./layer-kind.js";
import { slide, type Windowed } from "./window.js";

/** The largest value of each window; the padding never wins. */
export interface MaxPoolLayer extends Windowed {
  readonly kind: "max-pool";
}

/** The mean of each window, the zeros of the padding included. */
export interface AvgPoolLayer extends Windowed {
  readonly kind: "avg-pool";
}

/** The mean of each channel: [C, H, W] becomes [C]. */
export interface GlobalAvgPoolLayer {
  readonly kind: "global-avg-pool";
}

const none = () => [];

function pooledShape(layer: MaxPoolLayer | AvgPoolLayer, [input]: readonly Shape[]): Shape {
  const { channels, output, kernel, padding } = slide(layer, input, layer.kernel);
  const fits = padding[0] <= kernel[0] / 2 && padding[1] <= kernel[1] / 2;
  assert(fits, "a pool's padding is at most half its kernel", { layer });
  return [channels, ...output];
}

/** Shape of the max pool. */
export const maxPool: LayerKind<MaxPoolLayer> = {
  inputCount: 1,
  outputShape: pooledShape,
  tensors: none,
};

/** Shape of the mean pool. */
export const avgPool: LayerKind<AvgPoolLayer> = {
  inputCount: 1,
  outputShape: pooledShape,
  tensors: none,
};

/** Shape of the mean of whole planes: one value a channel. */
export const globalAvgPool: LayerKind<GlobalAvgPoolLayer> = {
  inputCount: 1,
  outputShape(_layer, [input]) {
    assert(input?.length === 3, "global-avg-pool takes pictures [C, H, W]", { input });
    return [input[0] as number];
  },
  tensors: none,
};
