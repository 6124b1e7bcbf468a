/**
 * The convolution as three products of matrix.ts, without copying windows: an operand is the
 * padded picture under two tables of places (convolution-grids.ts). Per group, with K = (c, i, j)
 * over its input channels and the kernel, and P = (n, p, q) over examples and output positions:
 *
 * - y [O, P] = bias + w [O, K] x [K, P];
 * - dw [O, K] = dy [O, P] x^T [P, K], dbias [O] = sum of dy over P;
 * - dx [C, Q] = w^T [C, (o, i, j)] dy [(o, i, j), Q]. Which taps (i, j) reach an input position
 *   depends on its row and column modulo the stride; each such residue is a product of its own.
 *
 * Invariant: matrix.ts's, one f64 accumulator per value in ascending order of the inner index as
 * written above; the bits of y and dx depend on no other example of the batch.
 */
import type { LayerOf } from "../layers.js";
import {
  type Geometry,
  geometryOf,
  gradientMargin,
  matrixOf,
  outputGrid,
  pictureGrid,
  residueGrids,
  weightGrid,
  windowMargin,
} from "./convolution-grids.js";
import { fromZero, multiply, type Start, transposed } from "./matrix.js";
import { PaddedPlanes } from "./padded-planes.js";
import type { KernelContext, LayerKernel } from "./reference-kernel.js";

/** The kernel of a convolution. */
export function conv2dKernel(context: KernelContext<LayerOf<"conv2d">>): LayerKernel {
  const { workspace, batchMax, parameters, gradients, output, outputGradient } = context;
  const geometry = geometryOf(context.layer, context.inputShapes[0], batchMax);
  const { channels, groups, groupInputs, groupOutputs, taps, positions, input } = geometry;
  const planes = new PaddedPlanes(
    workspace,
    context.inputs[0] as Float32Array,
    input,
    windowMargin(geometry),
  );
  const weights = weightGrid(geometry);
  const pictures = pictureGrid(geometry, planes);
  const outputs = outputGrid(geometry);
  const weight = parameters.weight as Float32Array;
  const weightGradient = gradients.weight as Float32Array;
  const inner = groupInputs * taps;
  const inputGradient = context.inputGradients[0];
  workspace.panel.reserve(Math.max(inner, batchMax * positions));

  return {
    forward(n) {
      const padded = planes.load(n * channels);
      for (let group = 0; group < groups; group++) {
        const w = matrixOf(weight, weights, group);
        const x = matrixOf(padded, pictures, group);
        const y = matrixOf(output, outputs, group);
        const start = biasStart(parameters.bias, group * groupOutputs);
        multiply(workspace.panel, w, x, start, y, groupOutputs, n * positions, inner);
      }
    },

    backwardTensors(n) {
      const padded = planes.load(n * channels);
      for (let group = 0; group < groups; group++) {
        const dy = matrixOf(outputGradient, outputs, group);
        const x = transposed(matrixOf(padded, pictures, group));
        const dw = matrixOf(weightGradient, weights, group);
        multiply(workspace.panel, dy, x, fromZero, dw, groupOutputs, inner, n * positions);
      }
      if (gradients.bias) sumPlanes(outputGradient, n, positions, gradients.bias);
    },

    backwardInputs: inputGradient ? inputsPass(context, geometry, inputGradient) : () => {},
  };
}

function biasStart(bias: Float32Array | undefined, from: number): Start {
  return bias ? { values: bias.subarray(from), rowStride: 1, columnStride: 0 } : fromZero;
}

/** dx, residue by residue. */
function inputsPass(
  context: KernelContext<LayerOf<"conv2d">>,
  geometry: Geometry,
  inputGradient: Float32Array,
): LayerKernel["backwardInputs"] {
  const { workspace, outputGradient, parameters } = context;
  const { outputs, groups, groupInputs, groupOutputs, taps, output } = geometry;
  const planes = new PaddedPlanes(workspace, outputGradient, output, gradientMargin(geometry));
  const residues = residueGrids(geometry, planes);
  const weight = parameters.weight as Float32Array;
  workspace.panel.reserve(groupOutputs * taps);

  return (n) => {
    const padded = planes.load(n * outputs);
    for (let group = 0; group < groups; group++) {
      for (const { weights, gradients, inputs, positions } of residues) {
        const w = matrixOf(weight, weights, group);
        const dy = matrixOf(padded, gradients, group);
        const dx = matrixOf(inputGradient, inputs, group);
        const inner = weights.columns.length;
        multiply(workspace.panel, w, dy, fromZero, dx, groupInputs, n * positions, inner);
      }
    }
  };
}

/** out[channel] = sum over the examples' planes of that channel, in their order. */
function sumPlanes(values: Float32Array, n: number, plane: number, out: Float32Array): void {
  for (let channel = 0; channel < out.length; channel++) {
    let sum = 0;
    for (let example = 0; example < n; example++) {
      const start = (example * out.length + channel) * plane;
      for (let index = start; index < start + plane; index++) sum += values[index] as number;
    }
    out[channel] = sum;
  }
}
