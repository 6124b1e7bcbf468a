import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../../random.js";
import type { Batch } from "../engine.js";
import type { Layer } from "../layers.js";
import { GraphBuilder, inputId, type ModelGraph } from "../model.js";
import { bindStandalone } from "../standalone.js";
import type { Extents } from "../window.js";
import { referenceEngine } from "./reference.js";

/** Half the width of a central difference, before the moved values are rounded to f32. */
const halfWidth = 2 ** -7;
/** Of the tensor's largest gradient: what f32 activations and the difference itself allow. */
const relativeTolerance = 1e-3;

function randomBatch(graph: ModelGraph, n: number): Batch {
  const random = new Random("batch", graph.name);
  const values = graph.inputShape.reduce((product, extent) => product * extent, 1);
  return {
    x: Float32Array.from({ length: n * values }, () => random.normal()),
    y: Int32Array.from({ length: n }, () => random.below(graph.classes)),
    n,
  };
}

/**
 * Compares every gradient of a step with the central difference of the step's own loss. A tensor
 * under a normalisation that takes its mean away has no gradient, but for rounding.
 */
function checkGradients(graph: ModelGraph, n = 5, withoutGradient: readonly string[] = []): void {
  const model = bindStandalone(referenceEngine, graph, 11, n);
  const batch = randomBatch(graph, n);
  const seed = ["gradients"];
  const meanLoss = () => model.executor.step(batch, seed, () => {}).lossSum / n;
  meanLoss();
  const analytic = model.gradients.slice();
  for (const { name, group } of graph.tensors) {
    if (group === "buffer" || group === "counter") continue;
    const place = model.tensor(model.parameters, name);
    const gradient = model.tensor(analytic, name);
    const largest = gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (withoutGradient.includes(name)) {
      assert.ok(largest < 1e-6, `${name} has a gradient of ${largest}`);
      continue;
    }
    assert.ok(largest > 1e-3, `${name} has a gradient`);
    for (let index = 0; index < place.length; index++) {
      const kept = place[index] as number;
      place[index] = kept + halfWidth;
      const above = place[index] as number;
      const lossAbove = meanLoss();
      place[index] = kept - halfWidth;
      const width = above - (place[index] as number);
      const numeric = (lossAbove - meanLoss()) / width;
      place[index] = kept;
      const difference = Math.abs(numeric - (gradient[index] as number));
      assert.ok(
        difference <= relativeTolerance * largest,
        `${name}[${index}]: ${gradient[index]} by the step, ${numeric} by differences`,
      );
    }
  }
}

function sequence(name: string, layers: readonly Layer[], shape: readonly number[] = [6]) {
  const builder = new GraphBuilder(name, shape);
  const named = layers.map((layer, index) => [`layer${index}`, layer] as const);
  return { builder, output: builder.chain(inputId, named) };
}

const linear = (outputs: number): Layer => ({ kind: "linear", outputs });

describe("gradients agree with central differences within 1e-3 of the largest", () => {
  test("linear under cross-entropy", () => {
    const { builder, output } = sequence("linear", [linear(4)]);
    checkGradients(builder.finish(output, "cross-entropy"));
  });

  test("linear without bias", () => {
    const { builder, output } = sequence("unbiased", [
      { kind: "linear", outputs: 3, bias: false },
      linear(4),
    ]);
    checkGradients(builder.finish(output, "cross-entropy"));
  });

  test("linear under binary cross-entropy", () => {
    const { builder, output } = sequence("binary", [linear(3), linear(1)]);
    checkGradients(builder.finish(output, "bce-with-logits"));
  });

  test("relu between linears", () => {
    const { builder, output } = sequence("relu", [linear(9), { kind: "relu" }, linear(3)]);
    checkGradients(builder.finish(output, "cross-entropy"));
  });

  test("flatten first and in the middle", () => {
    const layers: Layer[] = [{ kind: "flatten" }, linear(5), { kind: "flatten" }, linear(3)];
    const { builder, output } = sequence("flatten", layers, [2, 3]);
    checkGradients(builder.finish(output, "cross-entropy"));
  });

  test("dropout under one step's mask", () => {
    const layers: Layer[] = [linear(12), { kind: "dropout", rate: 0.4 }, linear(3)];
    const { builder, output } = sequence("dropout", layers);
    checkGradients(builder.finish(output, "cross-entropy"));
  });

  test("add with two branches, and one node feeding three others", () => {
    const builder = new GraphBuilder("residual", [6]);
    const stem = builder.add("stem", linear(5), [inputId]);
    const left = builder.add("left", linear(5), [stem]);
    const right = builder.add("right", linear(5), [stem]);
    const branches = builder.add("branches", { kind: "add" }, [left, right]);
    const sum = builder.add("sum", { kind: "add" }, [branches, stem]);
    const twice = builder.add("twice", { kind: "add" }, [sum, sum]);
    const output = builder.add("head", linear(3), [twice]);
    checkGradients(builder.finish(output, "cross-entropy"));
  });
});

const conv = (outputs: number, kernel: Extents, rest: object = {}): Layer => ({
  kind: "conv2d",
  outputs,
  kernel,
  ...rest,
});
const dropout: Layer = { kind: "dropout", rate: 0.4 };
const flatten: Layer = { kind: "flatten" };
const norm: Layer = { kind: "batch-norm" };
const mean: Layer = { kind: "global-avg-pool" };

// With dropout where a model has ReLU, whose kink a difference over many activations straddles:
// without either, a normalisation takes away all that the one before it adds.
describe("gradients of layers over pictures agree with central differences", () => {
  const cases: [title: string, shape: number[], layers: Layer[], n: number][] = [
    ["two convolutions", [2, 5, 4], [conv(3, 3, { padding: 1 }), conv(4, 2), mean, linear(3)], 3],
    [
      "stride and padding, unequal",
      [1, 7, 6],
      [conv(3, [3, 2], { stride: [2, 1], padding: [1, 0] }), conv(4, 3, { stride: 2, padding: 2 })],
      2,
    ],
    ["groups", [2, 5, 5], [conv(4, 1), conv(6, 3, { groups: 2 }), conv(6, 2, { groups: 6 })], 2],
    ["a batch of one", [3, 4, 5], [conv(2, 3, { padding: 1 }), conv(3, 3, { stride: 2 })], 1],
    [
      "max pool, overlapping",
      [1, 7, 7],
      [conv(3, 2), { kind: "max-pool", kernel: 3, stride: 2 }],
      2,
    ],
    [
      "max pool with padding",
      [1, 5, 6],
      [conv(3, 1), { kind: "max-pool", kernel: [3, 2], stride: 2, padding: [1, 1] }],
      2,
    ],
    [
      "mean pool, overlapping with padding",
      [2, 5, 6],
      [conv(3, 1), { kind: "avg-pool", kernel: 3, stride: 2, padding: 1 }],
      2,
    ],
    ["global mean pool", [2, 3, 5], [conv(4, 2), mean, linear(3)], 4],
    [
      "normalisation in training",
      [2, 3, 3],
      [conv(3, 2, { bias: false }), norm, mean, linear(3)],
      5,
    ],
    ["normalisation of one example", [2, 4, 3], [conv(3, 2, { bias: false }), norm], 1],
    [
      "normalisation twice",
      [1, 4, 4],
      [conv(3, 3, { bias: false }), norm, dropout, conv(3, 2), norm],
      4,
    ],
  ];
  for (const [title, shape, layers, n] of cases) {
    test(title, () => {
      const head = layers.at(-1)?.kind === "linear" ? [] : [flatten, linear(3)];
      const { builder, output } = sequence(title, [...layers, ...head], shape);
      const graph = builder.finish(output, "cross-entropy");
      const withoutGradient = graph.nodes
        .filter((_, index) => graph.nodes[index + 1]?.layer.kind === "batch-norm")
        .flatMap(({ tensors }) => tensors.bias ?? []);
      checkGradients(graph, n, withoutGradient);
    });
  }

  test("a residual block with a projection", () => {
    const builder = new GraphBuilder("block", [2, 5, 4]);
    const stem = builder.add("stem", conv(3, 3, { padding: 1, bias: false }), [inputId]);
    const branch = builder.chain(stem, [
      ["conv1", conv(4, 3, { stride: 2, padding: 1, bias: false })],
      ["bn1", norm],
      ["dropout", dropout],
      ["conv2", conv(4, 3, { padding: 1, bias: false })],
      ["bn2", norm],
    ]);
    const shortcut = builder.chain(stem, [
      ["projection", conv(4, 1, { stride: 2, bias: false })],
      ["bn3", norm],
    ]);
    const sum = builder.add("sum", { kind: "add" }, [branch, shortcut]);
    const output = builder.chain(sum, [
      ["flat", flatten],
      ["fc", linear(3)],
    ]);
    checkGradients(builder.finish(output, "cross-entropy"), 4);
  });
});
