/** Both engines in a step whose parameters come while it is computed. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../random.js";
import type { Batch, Engine } from "./engine.js";
import { valuesIn } from "./layer-kind.js";
import type { ModelGraph } from "./model.js";
import { buildModel } from "./models.js";
import { createOneDnnEngine } from "./onednn/engine.js";
import { referenceEngine } from "./reference/reference.js";
import { bindStandalone } from "./standalone.js";

const oneDnn = createOneDnnEngine({ dtype: "f32", threads: 1 });
const bf16 = createOneDnnEngine({ dtype: "bf16", threads: 1 });
const engines: readonly [name: string, engine: Engine | null][] = [
  ["reference", referenceEngine],
  ["onednn in f32", oneDnn.engine],
  ["onednn in bf16", bf16.engine],
];
const networks: readonly [graph: ModelGraph, n: number][] = [
  [buildModel("mlp"), 3],
  [buildModel("resnet20"), 2],
];

function batchFor(graph: ModelGraph, n: number): Batch {
  const random = new Random(9, graph.name);
  const x = Float32Array.from({ length: n * valuesIn(graph.inputShape) }, () => random.normal());
  const y = Int32Array.from({ length: n }, () => random.below(graph.classes));
  return { x, y, n };
}

for (const [name, engine] of engines) {
  const skip = engine === null;
  describe(`a step of ${name} whose parameters come late`, { skip }, () => {
    for (const [graph, n] of networks) {
      const names = graph.tensors.map((tensor) => tensor.name);

      test(`has the bits of one whose parameters were there, on ${graph.name}`, () => {
        assert.ok(engine !== null);
        const model = bindStandalone(engine, graph, 3, n);
        const batch = batchFor(graph, n);
        const whole = model.parameters.slice();
        const expected = model.executor.step(batch, ["seed"], () => {});
        const gradients = model.gradients.slice();
        const asked: string[] = [];
        // Twice: what was computed with before must leave no trace.
        for (let round = 0; round < 2; round++) {
          model.parameters.fill(Number.NaN);
          model.gradients.fill(Number.NaN);
          let turned = false;
          const outcome = model.executor.step(batch, ["seed"], () => assert.ok(turned), {
            beforeTensor(tensor) {
              asked.push(tensor);
              assert.ok(!turned, "all are asked for in the forward pass");
              assert.ok(model.tensor(model.gradients, tensor).every(Number.isNaN), tensor);
              const place = model.tensor(model.parameters, tensor);
              place.set(model.tensor(whole, tensor));
            },
            onTurn() {
              turned = true;
            },
          });
          assert.deepEqual(outcome, expected);
          assert.deepEqual(model.gradients, gradients);
        }
        assert.deepEqual(asked, [...names, ...names]);
        model.executor.close();
      });
    }

    test("asks for all tensors also where the batch has no examples", () => {
      assert.ok(engine !== null);
      const model = bindStandalone(engine, buildModel("mlp"), 3, 2);
      const asked: string[] = [];
      const none = { x: new Float32Array(0), y: new Int32Array(0), n: 0 };
      const onTurn = () => void asked.push("turn");
      const beforeTensor = (tensor: string) => void asked.push(tensor);
      model.executor.step(none, [], () => {}, { beforeTensor, onTurn });
      assert.deepEqual(asked, [...model.graph.tensors.map((tensor) => tensor.name), "turn"]);
    });

    test("ends with what its companion throws", () => {
      assert.ok(engine !== null);
      const model = bindStandalone(engine, buildModel("mlp"), 3, 2);
      const step = () =>
        model.executor.step(batchFor(model.graph, 2), [], () => assert.fail("a gradient"), {
          beforeTensor(tensor) {
            if (tensor === "fc2.weight") throw new Error("given up");
          },
          onTurn() {},
        });
      assert.throws(step, /given up/);
      model.executor.close();
    });
  });
}
