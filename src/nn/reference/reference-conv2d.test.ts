import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../../random.js";
import type { LayerOf } from "../layers.js";
import { GraphBuilder, inputId } from "../model.js";
import { pair } from "../window.js";
import { conv2dKernel } from "./reference-conv2d.js";
import { type KernelContext, Workspace } from "./reference-kernel.js";

type Conv2d = LayerOf<"conv2d">;

function draw(random: Random, count: number): Float32Array {
  return Float32Array.from({ length: count }, () => random.normal());
}

/** A convolution alone, with everything it reads drawn and everything it writes not a number. */
function siteOf(layer: Conv2d, shape: readonly number[], n: number, workspace = new Workspace()) {
  const builder = new GraphBuilder("alone", shape);
  builder.add("conv", layer, [inputId]);
  builder.add("flat", { kind: "flatten" }, [1]);
  const graph = builder.finish(2, "cross-entropy");
  const outputShape = graph.nodes[0]!.shape;
  const inputs = shape.reduce((product, extent) => product * extent, 1);
  const outputs = outputShape.reduce((product, extent) => product * extent, 1);
  const random = new Random("convolution", JSON.stringify(layer), n);
  const lengths = graph.tensors.map(({ name, shape }) => {
    const length = shape.reduce((product, extent) => product * extent, 1);
    return [name.slice("conv.".length), length] as const;
  });
  const draws = lengths.map(([role, length]) => [role, draw(random, length)]);
  const blanks = lengths.map(([role, length]) => [role, new Float32Array(length).fill(Number.NaN)]);
  return {
    layer,
    name: "conv",
    batchMax: n,
    workspace,
    inputShapes: [shape],
    outputShape,
    inputValues: [inputs],
    outputValues: outputs,
    inputs: [draw(random, n * inputs)],
    output: new Float32Array(n * outputs).fill(Number.NaN),
    outputGradient: draw(random, n * outputs),
    inputGradients: [new Float32Array(n * inputs).fill(Number.NaN)],
    parameters: Object.fromEntries(draws) as Record<string, Float32Array>,
    gradients: Object.fromEntries(blanks) as Record<string, Float32Array>,
  } satisfies KernelContext<Conv2d>;
}

type Lone = ReturnType<typeof siteOf>;

/** Calls `visit` for every product of the convolution, in the order n, o, p, q, c, i, j. */
function eachProduct(
  { layer, inputShapes, outputShape, batchMax }: Lone,
  visit: (x: number, w: number, y: number, b: number) => void,
): void {
  const [channels, height, width] = inputShapes[0] as [number, number, number];
  const [outputs, rows, columns] = outputShape as [number, number, number];
  const [kernelRows, kernelColumns] = pair(layer.kernel);
  const [rowStride, columnStride] = pair(layer.stride ?? 1);
  const [top, left] = pair(layer.padding ?? 0);
  const groupInputs = channels / (layer.groups ?? 1);
  const groupOutputs = outputs / (layer.groups ?? 1);
  const inner = groupInputs * kernelRows * kernelColumns;
  for (let at = 0; at < batchMax * outputs * rows * columns; at++) {
    const q = at % columns;
    const p = Math.floor(at / columns) % rows;
    const o = Math.floor(at / (columns * rows)) % outputs;
    const n = Math.floor(at / (columns * rows * outputs));
    for (let k = 0; k < inner; k++) {
      const row = p * rowStride - top + (Math.floor(k / kernelColumns) % kernelRows);
      const column = q * columnStride - left + (k % kernelColumns);
      if (row < 0 || row >= height || column < 0 || column >= width) continue;
      const c = Math.floor(o / groupOutputs) * groupInputs;
      const channel = c + Math.floor(k / (kernelRows * kernelColumns));
      visit(((n * channels + channel) * height + row) * width + column, o * inner + k, at, o);
    }
  }
}

const cases: [title: string, layer: Omit<Conv2d, "kind">, shape: readonly number[], n: number][] = [
  ["3x3, padded", { outputs: 5, kernel: 3, padding: 1 }, [3, 5, 7], 3],
  ["1x1", { outputs: 7, kernel: 1 }, [6, 3, 5], 2],
  ["1x1 of stride 2, no bias", { outputs: 4, kernel: 1, stride: 2, bias: false }, [5, 5, 6], 2],
  [
    "stride 2, padded, even picture",
    { outputs: 8, kernel: 3, stride: 2, padding: 1 },
    [4, 8, 8],
    2,
  ],
  ["a stride above the kernel", { outputs: 3, kernel: 2, stride: 3 }, [2, 8, 9], 3],
  ["a stride above the picture", { outputs: 3, kernel: 2, stride: 5, padding: 1 }, [2, 3, 3], 1],
  [
    "unequal kernel, stride and padding",
    { outputs: 6, kernel: [2, 5], stride: [3, 2], padding: [0, 4] },
    [3, 9, 6],
    3,
  ],
  ["the whole picture at once", { outputs: 9, kernel: [4, 3] }, [2, 4, 3], 5],
  ["more padding than kernel", { outputs: 2, kernel: 2, padding: 3 }, [1, 2, 3], 1],
  ["two groups", { outputs: 6, kernel: 3, padding: 1, groups: 2 }, [4, 5, 4], 2],
  ["depthwise, stride 2", { outputs: 6, kernel: 3, stride: 2, groups: 3 }, [3, 7, 8], 2],
];

describe("a convolution has the bits of its definition", () => {
  for (const [title, options, shape, n] of cases) {
    test(title, () => {
      const made = siteOf({ kind: "conv2d", ...options }, shape, n);
      const kernel = conv2dKernel(made);
      kernel.forward(n, []);
      kernel.backwardTensors?.(n);
      kernel.backwardInputs(n);

      const { weight, bias } = made.parameters;
      const x = made.inputs[0] as Float32Array;
      const dy = made.outputGradient;
      const y = Float64Array.from(made.output, () => 0);
      const dw = new Float64Array((weight as Float32Array).length);
      eachProduct(made, (inX, inW, inY) => {
        dw[inW]! += dy[inY]! * x[inX]!;
      });
      if (bias) {
        const plane = made.outputShape[1]! * made.outputShape[2]!;
        y.forEach((_, at) => {
          y[at] = bias[Math.floor(at / plane) % bias.length] as number;
        });
      }
      eachProduct(made, (inX, inW, inY) => {
        y[inY]! += weight![inW]! * x[inX]!;
      });
      assert.deepEqual(made.output, Float32Array.from(y), "y");
      assert.deepEqual(made.gradients.weight, Float32Array.from(dw), "dw");
    });

    test(`${title}: the gradient of the input, in the order o, i, j`, () => {
      const made = siteOf({ kind: "conv2d", ...options }, shape, n);
      const kernel = conv2dKernel(made);
      kernel.backwardInputs(n);
      const weight = made.parameters.weight as Float32Array;
      const inner = weight.length / made.outputShape[0]!;
      const products: [inX: number, order: number, value: number][] = [];
      eachProduct(made, (inX, inW, inY, o) => {
        const taps = pair(made.layer.kernel)[0] * pair(made.layer.kernel)[1];
        const order = o * inner + (inW % taps);
        products.push([inX, order, weight[inW]! * made.outputGradient[inY]!]);
      });
      products.sort(([x1, order1], [x2, order2]) => x1 - x2 || order1 - order2);
      const dx = new Float64Array(made.inputs[0]!.length);
      for (const [inX, , value] of products) dx[inX]! += value;
      assert.deepEqual(made.inputGradients[0], Float32Array.from(dx));
    });
  }

  test("the gradient of the bias sums a channel over examples and positions", () => {
    const made = siteOf({ kind: "conv2d", outputs: 5, kernel: 3 }, [2, 5, 6], 3);
    conv2dKernel(made).backwardTensors?.(3);
    const expected = new Float64Array(5);
    made.outputGradient.forEach((value, at) => {
      expected[Math.floor(at / 12) % 5]! += value;
    });
    assert.deepEqual(made.gradients.bias, Float32Array.from(expected));
  });
});

describe("a convolution's memory", () => {
  const layer: Conv2d = { kind: "conv2d", outputs: 4, kernel: 3, padding: 1 };

  test("writes only what a smaller batch has, with the same bits", () => {
    const made = siteOf(layer, [3, 6, 5], 4);
    const kernel = conv2dKernel(made);
    kernel.forward(4, []);
    kernel.backwardInputs(4);
    const whole = { y: made.output.slice(), dx: made.inputGradients[0]!.slice() };
    made.output.fill(7);
    made.inputGradients[0]!.fill(7);
    kernel.forward(1, []);
    kernel.backwardInputs(1);
    const one = [made.output, made.inputGradients[0]!].map((values) => values.length / 4);
    const isKept = (values: Float32Array, first: number) =>
      values.subarray(first).every((value) => value === 7);
    assert.deepEqual(made.output.slice(0, one[0]), whole.y.slice(0, one[0]));
    assert.deepEqual(made.inputGradients[0]!.slice(0, one[1]), whole.dx.slice(0, one[1]));
    assert.ok(isKept(made.output, one[0]!) && isKept(made.inputGradients[0]!, one[1]!));
  });

  test("without examples has a zero gradient of its tensors", () => {
    const made = siteOf(layer, [3, 6, 5], 2);
    conv2dKernel(made).backwardTensors?.(0);
    assert.ok([...made.gradients.weight!, ...made.gradients.bias!].every((value) => value === 0));
  });

  test("may be shared with another convolution, whose margins leave no trace", () => {
    const workspace = new Workspace();
    const small = siteOf(layer, [3, 6, 5], 2, workspace);
    const large = siteOf({ ...layer, kernel: 5, padding: 2 }, [8, 9, 9], 2, workspace);
    const kernels = [conv2dKernel(small), conv2dKernel(large)];
    kernels[1]!.forward(2, []);
    kernels[0]!.forward(2, []);
    const alone = siteOf(layer, [3, 6, 5], 2);
    conv2dKernel(alone).forward(2, []);
    assert.deepEqual(small.output, alone.output);
  });
});
