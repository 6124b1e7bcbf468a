/**
 * The fully connected layer: y = x W^T + b, with x [N, inputs], W [outputs, inputs], b [outputs]
 * and y [N, outputs], named and laid out as PyTorch's nn.Linear.
 *
 * Invariant: `weight` belongs to the group with weight decay, `bias` to the one without.
 */
import { assert } from "../assert.js";
import {
  heNormal,
  heUniform,
  type Initialiser,
  torchUniform,
  unitUniform,
  zeros,
} from "./initialise.js";
import type { LayerKind, LayerTensor, Shape } from "./layer-kind.js";

/** How a linear layer starts; with He's starts the bias is zero. */
export type LinearStart = "torch" | "he-uniform" | "he-normal" | "unit-uniform";

/** A fully connected layer. `bias` is true and `start` is "torch" if not given. */
export interface LinearLayer {
  readonly kind: "linear";
  readonly outputs: number;
  readonly bias?: boolean;
  readonly start?: LinearStart;
}

const starts: Record<LinearStart, (fanIn: number) => { weight: Initialiser; bias: Initialiser }> = {
  torch: (fanIn) => ({ weight: torchUniform(fanIn), bias: torchUniform(fanIn) }),
  "he-uniform": (fanIn) => ({ weight: heUniform(fanIn), bias: zeros }),
  "he-normal": (fanIn) => ({ weight: heNormal(fanIn), bias: zeros }),
  "unit-uniform": () => ({ weight: unitUniform, bias: unitUniform }),
};

/** Shapes and tensors of the fully connected layer. */
export const linear: LayerKind<LinearLayer> = {
  inputCount: 1,

  outputShape(layer: LinearLayer, [input]: readonly Shape[]): Shape {
    assert(input?.length === 1, "a linear layer takes flat examples", { input });
    assert(layer.outputs >= 1, "a linear layer has outputs", { layer });
    return [layer.outputs];
  },

  tensors(layer: LinearLayer, [input]: readonly Shape[]): readonly LayerTensor[] {
    const inputs = input?.[0] as number;
    const start = starts[layer.start ?? "torch"](inputs);
    const weight: LayerTensor = {
      role: "weight",
      shape: [layer.outputs, inputs],
      group: "weight",
      initial: start.weight,
    };
    if (layer.bias === false) return [weight];
    return [weight, { role: "bias", shape: [layer.outputs], group: "plain", initial: start.bias }];
  },
};
