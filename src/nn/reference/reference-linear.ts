/**
 * The fully connected layer in plain loops: y [N, J] = x [N, K] W^T + b, with W [J, K] and b [J].
 *
 * Gradients, with dy [N, J]: dW [J, K] = dy^T x, db [J] = sum of dy over the examples,
 * dx [N, K] = dy W. All products are matrix.ts's; x is always the side whose zeros are left out.
 * Errors: each value is rounded to f32 once.
 */
import type { LayerOf } from "../layers.js";
import { fromZero, multiply, rowMajor, type Start, transposed } from "./matrix.js";
import type { KernelContext, LayerKernel } from "./reference-kernel.js";

/** The kernel of a linear node. */
export function linearKernel(context: KernelContext<LayerOf<"linear">>): LayerKernel {
  const { workspace, batchMax } = context;
  const inputs = context.inputValues[0] as number;
  const outputs = context.outputValues;
  const { bias } = context.parameters;
  const start: Start = bias ? { values: bias, rowStride: 0, columnStride: 1 } : fromZero;
  const biasGradient = context.gradients.bias;
  const x = rowMajor(context.inputs[0] as Float32Array, batchMax, inputs);
  const w = rowMajor(context.parameters.weight as Float32Array, outputs, inputs);
  const y = rowMajor(context.output, batchMax, outputs);
  const dy = { ...y, values: context.outputGradient };
  const dw = { ...w, values: context.gradients.weight as Float32Array };
  const wTransposed = transposed(w);
  const xTransposed = transposed(x);
  const dwTransposed = transposed(dw);
  const inputGradient = context.inputGradients[0];
  const dx = inputGradient && { ...x, values: inputGradient };
  const sums = new Float64Array(outputs);
  workspace.panel.reserve(Math.max(inputs, outputs, batchMax));

  return {
    forward(n) {
      multiply(workspace.panel, x, wTransposed, start, y, n, outputs, inputs);
    },

    backwardTensors(n) {
      multiply(workspace.panel, xTransposed, dy, fromZero, dwTransposed, inputs, outputs, n);
      if (biasGradient) sumRows(dy.values, n, sums, biasGradient);
    },

    backwardInputs(n) {
      if (dx) multiply(workspace.panel, dy, w, fromZero, dx, n, inputs, outputs);
    },
  };
}

/** out[column] = sum over n rows, in their order. `sums` is scratch of out's length. */
function sumRows(rows: Float32Array, n: number, sums: Float64Array, out: Float32Array): void {
  sums.fill(0);
  for (let row = 0, at = 0; row < n; row++) {
    for (let column = 0; column < sums.length; column++, at++) {
      sums[column] = (sums[column] as number) + (rows[at] as number);
    }
  }
  out.set(sums);
}
