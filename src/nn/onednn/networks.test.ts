import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../../random.js";
import type { Batch, Engine } from "../engine.js";
import { valuesIn } from "../layer-kind.js";
import type { ModelGraph } from "../model.js";
import { buildModel } from "../models.js";
import { referenceEngine } from "../reference/reference.js";
import { buildResnet, type ResnetFit, type ResnetPlan } from "../resnets.js";
import { bindStandalone } from "../standalone.js";
import { createOneDnnEngine, OneDnnExecutor } from "./engine.js";
import { openDnnl } from "./library.js";

const opened = openDnnl();
const skip = opened.dnnl === null && opened.reason;

const wide: ResnetPlan = { block: "basic", channels: 64, stages: [2, 2], hasStems: true };
const bottlenecks: ResnetPlan = { ...wide, block: "bottleneck", channels: 16, stages: [1, 2] };
const small: ResnetFit = { inputShape: [3, 16, 16], classes: 10, stem: null };
const large: ResnetFit = { inputShape: [3, 51, 45], classes: 10, stem: "imagenet" };

/** Deeper ones on small pictures amplify rounding beyond what a test can tell from a fault. */
const networks: readonly (readonly [ModelGraph, n: number])[] = [
  [buildModel("mlp"), 16],
  [buildModel("logistic"), 16],
  [buildModel("cnn6"), 4],
  [buildModel("resnet20"), 3],
  [buildResnet("resnet18's first half", wide, small), 2],
  [buildResnet("both stages below a large stem", wide, large), 2],
  [buildResnet("bottlenecks", bottlenecks, small), 4],
];

function largestOf(values: Float32Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}

describe("a whole step of a network agrees with the reference engine's", { skip }, () => {
  for (const [graph, n] of networks) {
    const { name, inputShape } = graph;
    test(`${name} on ${n} x ${inputShape.join(" x ")}`, () => {
      const random = new Random(23, name);
      const batch: Batch = {
        x: Float32Array.from({ length: n * valuesIn(inputShape) }, () => random.normal()),
        y: Int32Array.from({ length: n }, () => random.below(graph.classes)),
        n,
      };
      const { engine } = createOneDnnEngine({ dtype: "f32", threads: 2 });
      assert.ok(engine !== null);
      const run = (one: Engine): Ran => {
        const model = bindStandalone(one, graph, 3, n);
        const order: string[] = [];
        const step = model.executor.step(batch, ["seed"], (tensor) => order.push(tensor));
        const evaluated = model.executor.evaluate(batch);
        model.executor.close();
        return { model, order, step, evaluated };
      };
      const [wanted, found] = [run(referenceEngine), run(engine)];
      assert.deepEqual(found.order, wanted.order);
      for (const part of ["step", "evaluated"] as const) {
        const distance = Math.abs(found[part].lossSum - wanted[part].lossSum);
        assert.ok(distance <= 1e-4 * wanted[part].lossSum, `loss of ${part}: ${distance}`);
        assert.equal(found[part].examples, n);
      }
      for (const { name: tensor } of graph.tensors) {
        const of = ({ model }: Ran, name = tensor) => model.tensor(model.gradients, name);
        const expected = of(wanted);
        // A bias below a normalisation has gradient zero, the rest of sums of its weight's size.
        const weight = of(wanted, tensor.replace(/\.bias$/, ".weight"));
        const scale = Math.max(largestOf(expected), largestOf(weight));
        const difference = of(found).map((value, at) => value - (expected[at] as number));
        const most = largestOf(difference);
        assert.ok(most <= 1e-3 * scale, `${tensor}: ${most} of ${scale}`);
      }
    });
  }
});

const isAvx2 = opened.dnnl?.abi === 2 && opened.dnnl.instructionSet === "avx2";
const others = !isAvx2 && "kernels of another library or instruction set may differ in formats";
const withAvx2 = { skip: others };

describe("a step copies weights and their gradients, and no pictures", withAvx2, () => {
  for (const [name, graph] of [
    ["cnn6", buildModel("cnn6")],
    ["resnet18", buildModel("resnet18", { stem: "cifar" })],
  ] as const) {
    test(name, () => {
      const { engine } = createOneDnnEngine({ dtype: "f32", threads: 2 });
      const { executor } = bindStandalone(engine as Engine, graph, 3, 2);
      assert.ok(executor instanceof OneDnnExecutor);
      const copies = new Set<string>();
      executor.listener = ({ what }) => {
        if (/blocks|format|row-major/.test(what)) copies.add(what);
      };
      const x = new Float32Array(2 * valuesIn(graph.inputShape)).fill(0.5);
      executor.step({ x, y: Int32Array.of(0, 1), n: 2 }, [], () => {});
      executor.close();
      const needed = ["to blocks", "to row-major", "weights to blocks"];
      assert.deepEqual([...copies].sort(), [...needed, "weights' gradient from blocks"].sort());
    });
  }
});

interface Ran {
  readonly model: ReturnType<typeof bindStandalone>;
  readonly order: readonly string[];
  readonly step: { readonly lossSum: number; readonly examples: number };
  readonly evaluated: { readonly lossSum: number; readonly examples: number };
}
