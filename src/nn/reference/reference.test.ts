import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PacelineError } from "../../errors.js";
import { Random } from "../../random.js";
import type { Batch } from "../engine.js";
import { GraphBuilder, inputId, type ModelGraph } from "../model.js";
import { buildModel } from "../models.js";
import { bindStandalone } from "../standalone.js";
import { referenceEngine } from "./reference.js";

function imagesFor(graph: ModelGraph, n: number): Batch {
  const random = new Random("images");
  return {
    x: Float32Array.from({ length: n * 784 }, () => Math.max(0, random.float() - 0.5)),
    y: Int32Array.from({ length: n }, () => random.below(graph.classes)),
    n,
  };
}

function withDropout(rate: number): ModelGraph {
  const builder = new GraphBuilder("dropout", [1, 28, 28]);
  const output = builder.chain(inputId, [
    ["flatten", { kind: "flatten" }],
    ["fc1", { kind: "linear", outputs: 33 }],
    ["dropout", { kind: "dropout", rate }],
    ["fc2", { kind: "linear", outputs: 10 }],
  ]);
  return builder.finish(output, "cross-entropy");
}

describe("a step", () => {
  test("gives the same bits for the same seed, and others for another", () => {
    const run = (rank: number) => {
      const model = bindStandalone(referenceEngine, withDropout(0.5), 3, 19);
      const batch = imagesFor(model.graph, 19);
      for (let step = 0; step < 3; step++) {
        model.executor.step(batch, [3, rank, step], () => {});
        model.parameters.forEach((value, index) => {
          model.parameters[index] = value - 0.1 * (model.gradients[index] as number);
        });
      }
      return model.parameters;
    };
    assert.deepEqual(run(0), run(0));
    assert.notDeepEqual(run(0), run(1));
  });

  test("reports each gradient once, last layers first, when it is final", () => {
    const model = bindStandalone(referenceEngine, buildModel("mlp"), 1, 8);
    const batch = imagesFor(model.graph, 8);
    const seen: [string, Float32Array][] = [];
    model.gradients.fill(Number.NaN);
    model.executor.step(batch, [1], (name) => {
      seen.push([name, model.tensor(model.gradients, name).slice()]);
    });
    assert.deepEqual(
      seen.map(([name]) => name),
      ["fc2.bias", "fc2.weight", "fc1.bias", "fc1.weight"],
    );
    for (const [name, values] of seen) {
      assert.ok(values.every(Number.isFinite), `${name} is whole`);
      assert.deepEqual(values, model.tensor(model.gradients, name), name);
    }
  });

  test("takes fewer examples than it has room for, without a trace of the batch before", () => {
    const model = bindStandalone(referenceEngine, buildModel("mlp"), 1, 9);
    const whole = imagesFor(model.graph, 9);
    model.executor.step(whole, [1], () => {});
    const after = model.executor.step({ ...whole, n: 3 }, [1], () => {});
    const alone = bindStandalone(referenceEngine, buildModel("mlp"), 1, 3);
    assert.deepEqual(
      alone.executor.step({ ...whole, n: 3 }, [1], () => {}),
      after,
    );
    assert.deepEqual(model.gradients, alone.gradients);
  });

  test("without examples gives zero gradients and still reports them", () => {
    const model = bindStandalone(referenceEngine, buildModel("mlp"), 1, 4);
    model.gradients.fill(Number.NaN);
    let reported = 0;
    const empty = { x: new Float32Array(0), y: new Int32Array(0), n: 0 };
    const outcome = model.executor.step(empty, [1], () => reported++);
    assert.deepEqual(outcome, { lossSum: 0, correct: 0, examples: 0 });
    assert.equal(reported, 4);
    assert.ok(model.gradients.every((value) => value === 0));
  });

  test("takes no further notice of a tensor's value once it has reported its gradient", () => {
    const batch = imagesFor(buildModel("mlp"), 8);
    const steps = [true, false].map((overwrites) => {
      const model = bindStandalone(referenceEngine, buildModel("mlp"), 1, 8);
      model.executor.step(batch, [1], (name) => {
        if (overwrites) model.tensor(model.parameters, name).fill(7);
      });
      return model.gradients;
    });
    assert.deepEqual(steps[0], steps[1]);
  });

  test("shows a parameter that is not a number in the loss, and reports no gradient", () => {
    const model = bindStandalone(referenceEngine, buildModel("mlp"), 1, 4);
    model.tensor(model.parameters, "fc1.weight").fill(Number.NaN);
    const outcome = model.executor.step(imagesFor(model.graph, 4), [1], (name) => {
      assert.fail(`${name} was reported`);
    });
    assert.ok(Number.isNaN(outcome.lossSum));
    assert.equal(outcome.correct, 0);
  });

  for (const label of [-1, 10]) {
    test(`refuses label ${label} of ten classes as bad data`, () => {
      const model = bindStandalone(referenceEngine, buildModel("mlp"), 1, 2);
      const batch = { ...imagesFor(model.graph, 2), y: Int32Array.of(0, label) };
      assert.throws(
        () => model.executor.step(batch, [1], () => {}),
        (error: PacelineError) => error.code === "data" && error.message.includes(`${label}`),
      );
    });
  }

  test("learns: forty steps on one batch bring nearly every example home", () => {
    const model = bindStandalone(referenceEngine, buildModel("mlp"), 5, 32);
    const batch = imagesFor(model.graph, 32);
    const before = model.executor.evaluate(batch);
    for (let step = 0; step < 40; step++) {
      model.executor.step(batch, [5, 0, step], () => {});
      model.parameters.forEach((value, index) => {
        model.parameters[index] = value - 0.2 * (model.gradients[index] as number);
      });
    }
    const after = model.executor.evaluate(batch);
    assert.ok(before.correct < 12, `${before.correct} of 32 right at the start`);
    assert.ok(after.correct >= 28, `${after.correct} of 32 right at the end`);
    assert.ok(after.lossSum < before.lossSum / 2);
  });
});

describe("evaluate", () => {
  test("leaves dropout off and gradients alone", () => {
    const dropping = bindStandalone(referenceEngine, withDropout(0.5), 7, 16);
    const keeping = bindStandalone(referenceEngine, withDropout(0), 7, 16);
    const batch = imagesFor(dropping.graph, 16);
    dropping.gradients.fill(5);
    assert.deepEqual(dropping.executor.evaluate(batch), keeping.executor.evaluate(batch));
    assert.ok(dropping.gradients.every((value) => value === 5));
    const trained = dropping.executor.step(batch, [7], () => {});
    assert.notEqual(trained.lossSum, keeping.executor.evaluate(batch).lossSum);
  });

  test("calls every image odd under logistic's start", () => {
    const model = bindStandalone(referenceEngine, buildModel("logistic"), 42, 100);
    const batch = imagesFor(model.graph, 100);
    const odd = batch.y.reduce((sum, label) => sum + label, 0);
    assert.equal(model.executor.evaluate(batch).correct, odd);
    assert.ok(odd > 20 && odd < 80, `${odd} of 100 are odd`);
  });

  test("takes the first class among equals", () => {
    const model = bindStandalone(referenceEngine, buildModel("mlp"), 1, 10);
    model.parameters.fill(0);
    const y = Int32Array.from({ length: 10 }, (_, index) => index);
    const outcome = model.executor.evaluate({ ...imagesFor(model.graph, 10), y });
    assert.equal(outcome.correct, 1);
    assert.ok(Math.abs(outcome.lossSum - 10 * Math.log(10)) < 1e-12);
  });

  test("copies the logits where it is asked to, and nothing beyond", () => {
    const model = bindStandalone(referenceEngine, buildModel("mlp"), 3, 8);
    const batch = { ...imagesFor(model.graph, 8), n: 5 };
    const logits = new Float32Array(60).fill(9);
    const outcome = model.executor.evaluate(batch, logits);
    const best = Array.from({ length: 5 }, (_, example) => {
      const row = [...logits.subarray(10 * example, 10 * example + 10)];
      return row.indexOf(Math.max(...row));
    });
    assert.equal(
      best.filter((label, example) => label === batch.y[example]).length,
      outcome.correct,
    );
    assert.ok(logits.subarray(0, 50).every((value) => value !== 9));
    assert.ok(logits.subarray(50).every((value) => value === 9));
    assert.deepEqual(model.executor.evaluate(batch), outcome);
  });

  test("refuses to copy logits into too little room", () => {
    const model = bindStandalone(referenceEngine, buildModel("logistic"), 3, 8);
    const batch = imagesFor(model.graph, 8);
    assert.throws(() => model.executor.evaluate(batch, new Float32Array(7)), /room for the logits/);
    model.executor.evaluate(batch, new Float32Array(8));
  });
});

describe("cnn6", () => {
  const graph = buildModel("cnn6", { inputShape: [1, 12, 9], classes: 3 });
  const random = new Random("pictures");
  const batch: Batch = {
    x: Float32Array.from({ length: 6 * 108 }, () => random.normal()),
    y: Int32Array.of(0, 1, 2, 0, 1, 2),
    n: 6,
  };

  test("reports every tensor once, in reverse, when it is final", () => {
    const model = bindStandalone(referenceEngine, graph, 2, 6);
    const seen: string[] = [];
    const kept = new Map<string, Float32Array>();
    model.gradients.fill(Number.NaN);
    model.executor.step(batch, [2], (name) => {
      seen.push(name);
      kept.set(name, model.tensor(model.gradients, name).slice());
    });
    assert.deepEqual(seen, graph.tensors.map(({ name }) => name).reverse());
    for (const [name, values] of kept) {
      assert.ok(values.every(Number.isFinite), `${name} is whole`);
      assert.deepEqual(values, model.tensor(model.gradients, name), name);
    }
  });

  test("takes no notice of a tensor's value once it has reported its gradient", () => {
    const steps = [true, false].map((overwrites) => {
      const model = bindStandalone(referenceEngine, graph, 2, 6);
      model.executor.step(batch, [2], (name) => {
        if (overwrites) model.tensor(model.parameters, name).fill(7);
      });
      return model.gradients;
    });
    assert.deepEqual(steps[0], steps[1]);
  });

  test("gives a batch the same bits in larger buffers, after another batch", () => {
    const gradientsIn = (batchMax: number) => {
      const model = bindStandalone(referenceEngine, graph, 2, batchMax);
      if (batchMax > 6) model.executor.step({ ...batch, n: 6 }, [1], () => {});
      model.executor.step({ ...batch, n: 4 }, [2], () => {});
      return model.gradients;
    };
    assert.deepEqual(gradientsIn(4), gradientsIn(9));
  });

  test("drops nothing in evaluation, and learns six pictures by heart", () => {
    const model = bindStandalone(referenceEngine, graph, 2, 6);
    const logits = [new Float32Array(18), new Float32Array(18)];
    for (let step = 0; step < 60; step++) {
      model.executor.step(batch, [2, step], () => {});
      for (const { name, group } of graph.tensors) {
        const gradient = model.tensor(model.gradients, name);
        const values = model.tensor(model.parameters, name);
        values.forEach((value, index) => {
          const given = gradient[index] as number;
          if (group === "buffer") values[index] = 0.9 * value + 0.1 * given;
          else values[index] = value - 0.05 * given;
        });
      }
    }
    for (const place of logits) model.executor.evaluate(batch, place);
    assert.deepEqual(logits[0], logits[1]);
    assert.equal(model.executor.evaluate(batch).correct, 6);
  });
});
