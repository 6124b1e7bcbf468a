/**
 * The two-dimensional convolution (cross-correlation, as everywhere in this field):
 * y[n, o, p, q] = b[o] + sum over c, i, j of x[n, c, p s + i - padding, q s + j - padding] w[o, c,
 * i, j], with x [N, C, H, W] and w [O, C / groups, kernel rows, kernel columns]; values outside the
 * picture are zero. Named and laid out as PyTorch's nn.Conv2d. With groups, output channel o sees
 * the input channels of its own group alone.
 *
 * Invariant: `weight` belongs to the group with weight decay, `bias` to the one without.
 */
import { assert } from "../assert.js";
import { heNormal, torchUniform, zeros } from "./initialise.js";
import type { LayerKind, LayerTensor, Shape } from "./layer-kind.js";
import { pair, slide, type Windowed } from "./window.js";

/**
 * How a convolution starts: "torch" is PyTorch's default, "he-normal" has variance 2 / fan out and
 * a bias of zero, as torchvision's residual networks.
 */
export type ConvolutionStart = "torch" | "he-normal";

/**
 * A convolution. If not given, `stride` and `groups` are 1, `padding` is 0, `bias` is true and
 * `start` is "torch".
 */
export interface Conv2dLayer extends Windowed {
  readonly kind: "conv2d";
  readonly outputs: number;
  readonly groups?: number;
  readonly bias?: boolean;
  readonly start?: ConvolutionStart;
}

/** Shapes and tensors of the convolution. */
export const conv2d: LayerKind<Conv2dLayer> = {
  inputCount: 1,

  outputShape(layer: Conv2dLayer, [input]: readonly Shape[]): Shape {
    const { channels, output } = slide(layer, input, 1);
    const { outputs, groups = 1 } = layer;
    assert(outputs >= 1 && groups >= 1, "a convolution has outputs and groups", { layer });
    const divides = channels % groups === 0 && outputs % groups === 0;
    assert(divides, "groups divide a convolution's channels", { layer, channels });
    return [outputs, ...output];
  },

  tensors(layer: Conv2dLayer, [input]: readonly Shape[]): readonly LayerTensor[] {
    const { outputs, groups = 1, start = "torch" } = layer;
    const channels = (input?.[0] as number) / groups;
    const [rows, columns] = pair(layer.kernel);
    const taps = rows * columns;
    const torch = torchUniform(channels * taps);
    const weight: LayerTensor = {
      role: "weight",
      shape: [outputs, channels, rows, columns],
      group: "weight",
      // The fan that He's start keeps level is the gradient's.
      initial: start === "torch" ? torch : heNormal(outputs * taps),
    };
    if (layer.bias === false) return [weight];
    const initial = start === "torch" ? torch : zeros;
    return [weight, { role: "bias", shape: [outputs], group: "plain", initial }];
  },
};
