import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  heNormal,
  heUniform,
  type Initialiser,
  initialParameters,
  torchUniform,
  unitUniform,
} from "./initialise.js";
import type { Shape } from "./layer-kind.js";
import { GraphBuilder, inputId, type ModelGraph } from "./model.js";
import { buildModel } from "./models.js";

/** Places the tensors in the given order, `gap` values apart. */
function place(graph: ModelGraph, order: readonly string[], gap = 0) {
  const places = new Map<string, { offset: number; length: number }>();
  let values = 0;
  for (const name of order) {
    const shape = graph.tensors.find((tensor) => tensor.name === name)?.shape as Shape;
    const length = shape.reduce((product, extent) => product * extent, 1);
    places.set(name, { offset: values, length });
    values += length + gap;
  }
  const placement = (name: string) => places.get(name) as { offset: number; length: number };
  return { placement, values };
}

function drawOne(initial: Initialiser, count: number): Float32Array {
  const graph = { ...buildModel("logistic") };
  const tensor = { name: "t", shape: [count], group: "plain", initial } as const;
  const whole = () => ({ offset: 0, length: count });
  return initialParameters({ ...graph, tensors: [tensor] }, 1, whole, count);
}

function momentsOf(values: Float32Array): { mean: number; variance: number; largest: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return { mean, variance: squares / values.length, largest };
}

describe("initialParameters", () => {
  const graph = buildModel("mlp");
  const names = graph.tensors.map((tensor) => tensor.name);

  test("gives equal bits for equal seeds and others for another seed", () => {
    const { placement, values } = place(graph, names);
    const first = initialParameters(graph, 42, placement, values);
    assert.deepEqual(initialParameters(graph, 42, placement, values), first);
    assert.notDeepEqual(initialParameters(graph, 43, placement, values), first);
  });

  test("gives a tensor the same values wherever it lies", () => {
    const forward = place(graph, names);
    const backward = place(graph, names.toReversed(), 3);
    const first = initialParameters(graph, 42, forward.placement, forward.values);
    const second = initialParameters(graph, 42, backward.placement, backward.values);
    for (const name of names) {
      const a = forward.placement(name);
      const b = backward.placement(name);
      assert.deepEqual(
        first.slice(a.offset, a.offset + a.length),
        second.slice(b.offset, b.offset + b.length),
        name,
      );
    }
  });

  const count = 40_000;
  const cases: [
    title: string,
    initial: Initialiser,
    mean: number,
    variance: number,
    top: number,
  ][] = [
    ["PyTorch's default", torchUniform(784), 0, 1 / (3 * 784), 1 / 28],
    ["He's uniform", heUniform(50), 0, 2 / 50, Math.sqrt(6 / 50)],
    ["He's normal", heNormal(50), 0, 2 / 50, Number.POSITIVE_INFINITY],
    ["uniform [0, 1)", unitUniform, 0.5, 1 / 12, 1],
  ];
  for (const [title, initial, mean, variance, top] of cases) {
    test(`draws ${title} with its mean, variance and bound`, () => {
      const found = momentsOf(drawOne(initial, count));
      const deviation = Math.sqrt(variance / count);
      assert.ok(Math.abs(found.mean - mean) < 4 * deviation, `mean ${found.mean}`);
      assert.ok(Math.abs(found.variance / variance - 1) < 0.04, `variance ${found.variance}`);
      assert.ok(found.largest < top, `largest ${found.largest}`);
      if (Number.isFinite(top)) assert.ok(found.largest > 0.99 * top, `largest ${found.largest}`);
    });
  }

  test("keeps uniform values below the open end after rounding to f32", () => {
    const narrow = drawOne({ kind: "uniform", low: 1 - 2 ** -24, high: 1 }, 1000);
    assert.ok(narrow.every((value) => value < 1));
  });

  test("starts biases at zero under He's starts", () => {
    const builder = new GraphBuilder("he", [8]);
    const layer = { kind: "linear", outputs: 3, start: "he-normal" } as const;
    const he = builder.finish(builder.add("fc", layer, [inputId]), "cross-entropy");
    const { placement, values } = place(he, ["fc.weight", "fc.bias"]);
    const parameters = initialParameters(he, 1, placement, values);
    assert.deepEqual([...parameters.slice(24)], [0, 0, 0]);
    assert.ok(parameters.slice(0, 24).every((value) => value !== 0));
  });
});
