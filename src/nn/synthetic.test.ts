import assert from "node:assert/strict";
import { test } from "node:test";
import { buildModel } from "./models.js";
import { bindStandalone } from "./standalone.js";
import { syntheticEngine } from "./synthetic.js";

const graph = buildModel("cnn6", { classes: 10 });
const pixels = graph.inputShape.reduce((product, extent) => product * extent, 1);
const batch = { x: new Float32Array(3 * pixels), y: new Int32Array(3), n: 3 };
const names = graph.tensors.map(({ name }) => name);

test("the synthetic engine makes a real engine's calls in a real engine's order", () => {
  const { executor } = bindStandalone(syntheticEngine, graph, 1, 3);
  const calls: string[] = [];
  const companion = {
    beforeTensor: (name: string) => void calls.push(`before ${name}`),
    onTurn: () => void calls.push("turn"),
  };
  const outcome = executor.step(batch, [], (name) => calls.push(`final ${name}`), companion);
  assert.deepEqual(outcome, { lossSum: 3, correct: 0, examples: 3 });
  const before = names.map((name) => `before ${name}`);
  const final = names.toReversed().map((name) => `final ${name}`);
  assert.deepEqual(calls, [...before, "turn", ...final]);
});

test("synthetic gradients are finite, not all alike, and the same in every step", () => {
  const bind = () => bindStandalone(syntheticEngine, graph, 1, 3);
  const one = bind();
  const other = bind();
  one.executor.step(batch, [1], () => {});
  const first = one.gradients.slice();
  one.executor.step(batch, [2], () => {});
  other.executor.step(batch, [3], () => {});
  assert.deepEqual(one.gradients, first);
  assert.deepEqual(other.gradients, first);
  assert.ok(first.every(Number.isFinite));
  assert.ok(new Set(first).size > 1000);
});

test("a batch of none counts nothing and still says every gradient", () => {
  const { executor } = bindStandalone(syntheticEngine, graph, 1, 3);
  let said = 0;
  const outcome = executor.step({ ...batch, n: 0 }, [], () => said++);
  assert.deepEqual(outcome, { lossSum: 0, correct: 0, examples: 0 });
  assert.equal(said, names.length);
});
