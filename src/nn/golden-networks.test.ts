import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Batch } from "./engine.js";
import type { Layer } from "./layers.js";
import type { LossName } from "./losses.js";
import { GraphBuilder, inputId } from "./model.js";
import { referenceEngine } from "./reference/reference.js";
import { bindStandalone, type StandaloneModel } from "./standalone.js";
import { type GoldenNode, graphOfNodes, readGolden } from "./testing/golden-start.js";

/** One case of test/golden/networks.json; its `format` says what the fields mean. */
interface ChainCase {
  readonly name: string;
  readonly inputs: number;
  readonly layers: readonly { readonly linear?: readonly [number, number] }[];
  readonly loss: LossName;
  readonly x: readonly (readonly number[])[];
  readonly y: readonly number[];
  readonly parameters: Readonly<Record<string, Nested>>;
  readonly meanLoss: number;
  readonly gradients: Readonly<Record<string, Nested>>;
  readonly lr: number;
  readonly lossesOfSteps: readonly number[];
  readonly parametersAfterSteps: Readonly<Record<string, Nested>>;
}
type Nested = readonly number[] | readonly (readonly number[])[];

/** One case of test/golden/convolutions.json. */
interface GraphCase {
  readonly name: string;
  readonly shape: readonly number[];
  readonly nodes: readonly GoldenNode[];
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly tensors: Readonly<Record<string, readonly number[]>>;
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  readonly lr: number;
  readonly lossesOfSteps: readonly number[];
  readonly tensorsAfterSteps: Readonly<Record<string, readonly number[]>>;
  readonly logits: readonly number[];
}

/** Within 1e-6 of the largest expected magnitude: activations are f32, and some of torch is too. */
function assertClose(
  actual: ArrayLike<number>,
  expected: readonly number[],
  what: string,
  scale = Math.max(...expected.map(Math.abs)),
): void {
  assert.equal(actual.length, expected.length, what);
  expected.forEach((value, index) => {
    const found = actual[index] as number;
    const within = Math.abs(found - value) <= 1e-6 * scale;
    assert.ok(within, `${what}[${index}]: ${found}, torch has ${value}`);
  });
}

/** What a server does to a model: plain SGD, and the buffer rule with torch's momentum of 0.1. */
function update(model: StandaloneModel, lr: number): void {
  for (const { name, group } of model.graph.tensors) {
    const gradient = model.tensor(model.gradients, name);
    const values = model.tensor(model.parameters, name);
    values.forEach((value, index) => {
      const given = gradient[index] as number;
      if (group === "counter") values[index] = value + given;
      else if (group === "buffer") values[index] = 0.9 * value + 0.1 * given;
      else values[index] = value - lr * given;
    });
  }
}

function bindChain(golden: ChainCase): { model: StandaloneModel; batch: Batch } {
  const builder = new GraphBuilder(golden.name, [golden.inputs]);
  const layers = golden.layers.map(({ linear }, index): [string, Layer] => [
    String(index),
    linear ? { kind: "linear", outputs: linear[1] } : { kind: "relu" },
  ]);
  const graph = builder.finish(builder.chain(inputId, layers), golden.loss);
  const n = golden.y.length;
  const model = bindStandalone(referenceEngine, graph, 0, n);
  for (const [name, values] of Object.entries(golden.parameters)) {
    model.tensor(model.parameters, name).set(values.flat());
  }
  const batch = { x: Float32Array.from(golden.x.flat()), y: Int32Array.from(golden.y), n };
  return { model, batch };
}

function bindGraph(golden: GraphCase): { model: StandaloneModel; batch: Batch } {
  const graph = graphOfNodes(golden.name, golden.shape, golden.nodes);
  const n = golden.y.length;
  const model = bindStandalone(referenceEngine, graph, 0, n);
  assert.deepEqual(
    new Set(graph.tensors.map(({ name }) => name)),
    new Set(Object.keys(golden.tensors)),
  );
  for (const [name, values] of Object.entries(golden.tensors)) {
    model.tensor(model.parameters, name).set(values);
  }
  const batch = { x: Float32Array.from(golden.x), y: Int32Array.from(golden.y), n };
  return { model, batch };
}

function assertSteps(
  model: StandaloneModel,
  batch: Batch,
  { lossesOfSteps, lr }: { readonly lossesOfSteps: readonly number[]; readonly lr: number },
): void {
  for (const expected of lossesOfSteps) {
    const outcome = model.executor.step(batch, [], () => {});
    assertClose([outcome.lossSum / batch.n], [expected], "loss of a step");
    update(model, lr);
  }
}

describe("the reference engine agrees with PyTorch within 1e-6", () => {
  for (const golden of readGolden<ChainCase>("networks.json")) {
    test(golden.name, () => {
      const { model, batch } = bindChain(golden);
      const { lossSum } = model.executor.step(batch, [], () => {});
      assertClose([lossSum / batch.n], [golden.meanLoss], "mean loss");
      for (const [name, values] of Object.entries(golden.gradients)) {
        assertClose(model.tensor(model.gradients, name), values.flat(), name);
      }
      assertSteps(model, batch, golden);
      for (const [name, values] of Object.entries(golden.parametersAfterSteps)) {
        assertClose(model.tensor(model.parameters, name), values.flat(), name);
      }
    });
  }

  for (const golden of readGolden<GraphCase>("convolutions.json")) {
    test(golden.name, () => {
      const { model, batch } = bindGraph(golden);
      model.executor.step(batch, [], () => {});
      for (const [name, values] of Object.entries(golden.gradients)) {
        // A bias below a normalisation has gradient zero, the rest of sums of its weight's size.
        const weights = golden.gradients[name.replace(/bias$/, "weight")] ?? [];
        const largest = Math.max(...[...values, ...weights].map(Math.abs));
        assertClose(model.tensor(model.gradients, name), values, name, largest);
      }
      assertSteps(model, batch, golden);
      for (const [name, values] of Object.entries(golden.tensorsAfterSteps)) {
        assertClose(model.tensor(model.parameters, name), values, name);
      }
      const logits = new Float32Array(golden.logits.length);
      model.executor.evaluate(batch, logits);
      assertClose(logits, golden.logits, "logits in evaluation");
    });
  }
});
