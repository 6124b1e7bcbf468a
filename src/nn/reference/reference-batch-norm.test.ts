import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../../random.js";
import type { Batch } from "../engine.js";
import { GraphBuilder, inputId, type ModelGraph } from "../model.js";
import { bindStandalone } from "../standalone.js";
import { referenceEngine } from "./reference.js";

const statistics = ["running_mean", "running_var", "num_batches_tracked"];

/** Pictures of two channels, normalised, then flat: the input's own statistics show. */
function normalised(rows: number, columns: number): ModelGraph {
  const builder = new GraphBuilder("normalised", [2, rows, columns]);
  const output = builder.chain(inputId, [
    ["bn", { kind: "batch-norm" }],
    ["flat", { kind: "flatten" }],
  ]);
  return builder.finish(output, "cross-entropy");
}

function bind(rows: number, columns: number, n: number) {
  const model = bindStandalone(referenceEngine, normalised(rows, columns), 1, n);
  model.gradients.fill(Number.NaN);
  const of = (vector: Float32Array, role: string) => [...model.tensor(vector, `bn.${role}`)];
  return { model, given: () => statistics.map((role) => of(model.gradients, role)), of };
}

function batchOf(x: readonly number[], n: number): Batch {
  return { x: Float32Array.from(x), y: new Int32Array(n), n };
}

describe("batch normalisation in a step", () => {
  test("says the batch's mean, unbiased variance and one, and keeps what runs", () => {
    const { model, given, of } = bind(1, 2, 2);
    const running = statistics.map((role) => of(model.parameters, role));
    model.executor.step(batchOf([1, 3, 10, 10, 5, 7, 10, 14], 2), [], () => {});
    assert.deepEqual(given(), [[4, 11], [Math.fround(20 / 3), 4], [1]]);
    const after = statistics.map((role) => of(model.parameters, role));
    assert.deepEqual([running, after], [[[0, 0], [1, 1], [0]], running]);
  });

  test("is no other whatever the running statistics are", () => {
    const batch = batchOf([1, 3, 10, 10, 5, 7, 10, 14], 2);
    const outcomes = [0, 1000].map((mean) => {
      const { model } = bind(1, 2, 2);
      model.tensor(model.parameters, "bn.running_mean").fill(mean);
      return [model.executor.step(batch, [], () => {}), model.gradients.slice()];
    });
    assert.deepEqual(outcomes[0], outcomes[1]);
  });

  test("of a channel's only value stays finite: the variance is zero", () => {
    const { model, given } = bind(1, 1, 1);
    const { lossSum } = model.executor.step(batchOf([3, -5], 1), [], () => {});
    assert.deepEqual(given(), [[3, -5], [0, 0], [1]]);
    assert.equal(lossSum, Math.log(2));
    assert.ok(model.gradients.every(Number.isFinite));
  });

  test("without examples writes zeros and reports every tensor, the last one first", () => {
    const { model } = bind(2, 2, 3);
    const reported: string[] = [];
    model.executor.step(batchOf([], 0), [], (tensor) => reported.push(tensor));
    assert.deepEqual(reported, model.graph.tensors.map(({ name }) => name).reverse());
    assert.ok(model.gradients.every((value) => value === 0));
  });

  test("takes the mean away before it squares: a large mean costs no digits", () => {
    const { model, given } = bind(1, 2, 1);
    model.executor.step(batchOf([4097, 4099, 1e6, 1e6 + 2], 1), [], () => {});
    assert.deepEqual(given(), [[4098, 1e6 + 1], [2, 2], [1]]);
  });
});

describe("batch normalisation in evaluation", () => {
  test("takes the running statistics, so that an example's logits are its own", () => {
    const { model } = bind(2, 3, 4);
    const random = new Random("evaluation");
    const x = Float32Array.from({ length: 48 }, () => random.normal());
    for (const role of ["weight", "bias", "running_mean", "running_var"]) {
      const place = model.tensor(model.parameters, `bn.${role}`);
      place.forEach((_, index) => {
        place[index] = 0.5 + random.float();
      });
    }
    const logits = new Float32Array(48);
    model.executor.evaluate({ x, y: new Int32Array(4), n: 4 }, logits);
    const alone = new Float32Array(12);
    model.executor.evaluate({ x: x.subarray(24), y: new Int32Array(1), n: 1 }, alone);
    assert.deepEqual(alone, logits.subarray(24, 36).slice());
    const at = (role: string, channel: number) =>
      model.tensor(model.parameters, `bn.${role}`)[channel] as number;
    x.forEach((value, index) => {
      const channel = Math.floor(index / 6) % 2;
      const deviation = Math.sqrt(at("running_var", channel) + 1e-5);
      const centred = (value - at("running_mean", channel)) / deviation;
      const expected = centred * at("weight", channel) + at("bias", channel);
      assert.ok(Math.abs((logits[index] as number) - expected) < 1e-6, `logit ${index}`);
    });
    assert.ok(model.gradients.every(Number.isNaN), "no gradient is touched");
  });
});
