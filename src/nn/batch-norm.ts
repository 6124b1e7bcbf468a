/**
 * Batch normalisation over pictures (Ioffe and Szegedy 2015, arXiv 1502.03167): per channel,
 * y = (x - mean) / sqrt(variance + epsilon) * weight + bias, with x [N, C, H, W] and the statistics
 * over N, H and W. Named and laid out as PyTorch's nn.BatchNorm2d.
 *
 * Training normalises with the batch's own statistics, evaluation with the running ones. These are
 * part of the model, kept beside the parameters: a step only says, at a buffer's place,
 * what the batch's statistic was (engine.ts).
 *
 * Invariant: `weight` and `bias` belong to the group without weight decay.
 */
import { assert } from "../assert.js";
import { ones, zeros } from "./initialise.js";
import type { LayerKind, LayerTensor, Shape } from "./layer-kind.js";

/** A batch normalisation. `epsilon` is 1e-5 if not given. */
export interface BatchNormLayer {
  readonly kind: "batch-norm";
  readonly epsilon?: number;
}

/** Shapes and tensors of batch normalisation. */
export const batchNorm: LayerKind<BatchNormLayer> = {
  inputCount: 1,

  outputShape(layer: BatchNormLayer, [input]: readonly Shape[]): Shape {
    assert(input?.length === 3, "batch-norm takes pictures [C, H, W]", { input });
    assert((layer.epsilon ?? 1) > 0, "batch-norm's epsilon is above zero", { layer });
    return input;
  },

  tensors(_layer: BatchNormLayer, [input]: readonly Shape[]): readonly LayerTensor[] {
    const shape = [input?.[0] as number];
    return [
      { role: "weight", shape, group: "plain", initial: ones },
      { role: "bias", shape, group: "plain", initial: zeros },
      { role: "running_mean", shape, group: "buffer", initial: zeros },
      { role: "running_var", shape, group: "buffer", initial: ones },
      { role: "num_batches_tracked", shape: [], group: "counter", initial: zeros },
    ];
  },
};
