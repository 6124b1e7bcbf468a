/**
 * The layers without tensors in plain loops: ReLU, Flatten, Dropout and Add. All are exact but
 * Dropout, which rounds its scaled values to f32 once.
 *
 * Dropout draws one 32-bit number per value from the stream (step seed, "dropout", node name), in
 * the order of the values, and keeps the value if the number is at least rate * 2^32; kept values
 * are multiplied by 1 / (1 - rate). The backward pass uses the same mask.
 */

import { Random } from "../../random.js";
import type { LayerOf } from "../layers.js";
import type { KernelContext, LayerKernel } from "./reference-kernel.js";

/** y = max(x, 0); the gradient passes where y > 0. */
export function reluKernel(context: KernelContext<LayerOf<"relu">>): LayerKernel {
  const { output, outputGradient, outputValues } = context;
  const input = context.inputs[0] as Float32Array;
  const inputGradient = context.inputGradients[0];
  return {
    forward(n) {
      for (let index = 0; index < n * outputValues; index++) {
        const value = input[index] as number;
        // NaN is kept: a diverged run has to show in the loss.
        output[index] = Math.max(value, 0);
      }
    },
    backwardInputs(n) {
      if (!inputGradient) return;
      for (let index = 0; index < n * outputValues; index++) {
        inputGradient[index] = output[index] === 0 ? 0 : (outputGradient[index] as number);
      }
    },
  };
}

/** The same values under another shape. */
export function flattenKernel(context: KernelContext<LayerOf<"flatten">>): LayerKernel {
  const { output, outputGradient, outputValues } = context;
  const input = context.inputs[0] as Float32Array;
  const inputGradient = context.inputGradients[0];
  return {
    forward(n) {
      output.set(input.subarray(0, n * outputValues));
    },
    backwardInputs(n) {
      inputGradient?.set(outputGradient.subarray(0, n * outputValues));
    },
  };
}

/** Drops values at random while training, is the identity in evaluation. */
export function dropoutKernel(context: KernelContext<LayerOf<"dropout">>): LayerKernel {
  const { output, outputGradient, outputValues, name } = context;
  const input = context.inputs[0] as Float32Array;
  const inputGradient = context.inputGradients[0];
  const threshold = context.layer.rate * 4294967296;
  const scale = 1 / (1 - context.layer.rate);
  const factors = new Float64Array(context.batchMax * outputValues);
  return {
    forward(n, seed) {
      const count = n * outputValues;
      if (seed === undefined) {
        output.set(input.subarray(0, count));
        return;
      }
      const random = new Random(...seed, "dropout", name);
      for (let index = 0; index < count; index++) {
        const factor = random.uint32() >= threshold ? scale : 0;
        factors[index] = factor;
        output[index] = (input[index] as number) * factor;
      }
    },
    backwardInputs(n) {
      if (!inputGradient) return;
      for (let index = 0; index < n * outputValues; index++) {
        inputGradient[index] = (outputGradient[index] as number) * (factors[index] as number);
      }
    },
  };
}

/** The sum of two inputs; both get the output's gradient. */
export function addKernel(context: KernelContext<LayerOf<"add">>): LayerKernel {
  const { output, outputGradient, outputValues, inputGradients } = context;
  const left = context.inputs[0] as Float32Array;
  const right = context.inputs[1] as Float32Array;
  return {
    forward(n) {
      for (let index = 0; index < n * outputValues; index++) {
        output[index] = (left[index] as number) + (right[index] as number);
      }
    },
    backwardInputs(n) {
      for (const gradient of inputGradients) {
        gradient?.set(outputGradient.subarray(0, n * outputValues));
      }
    },
  };
}
