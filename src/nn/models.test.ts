import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PacelineError } from "../errors.js";
import { trainableValues } from "./model.js";
import { buildModel, modelList } from "./models.js";

describe("the models", () => {
  test("mlp has 101,770 parameters under PyTorch's names", () => {
    const graph = buildModel("mlp");
    assert.equal(trainableValues(graph), 101_770);
    assert.deepEqual(
      graph.tensors.map(({ name, shape, group }) => [name, shape, group]),
      [
        ["fc1.weight", [128, 784], "weight"],
        ["fc1.bias", [128], "plain"],
        ["fc2.weight", [10, 128], "weight"],
        ["fc2.bias", [10], "plain"],
      ],
    );
  });

  test("logistic has the ring system's two tensors, 785 values from [0, 1)", () => {
    const graph = buildModel("logistic", { classes: 2, inputShape: [1, 28, 28] });
    assert.equal(trainableValues(graph), 785);
    const initial = { kind: "uniform", low: 0, high: 1 };
    assert.deepEqual(graph.tensors, [
      { name: "fc_weights", shape: [1, 784], group: "weight", initial },
      { name: "fc_bias", shape: [1], group: "plain", initial },
    ]);
  });

  test("mlp fits other classes and shapes", () => {
    const graph = buildModel("mlp", { classes: 100, inputShape: [3, 32, 32] });
    assert.equal(graph.classes, 100);
    assert.deepEqual(graph.tensors[0]?.shape, [128, 3072]);
    assert.equal(trainableValues(graph), 128 * 3073 + 100 * 129);
  });

  for (const { name } of modelList) {
    test(`${name} survives the way into another thread`, () => {
      const graph = buildModel(name);
      assert.deepEqual(structuredClone(graph), graph);
    });
  }

  const refused: [name: string, options: object, message: RegExp][] = [
    ["resnet", {}, /no model "resnet"; choose one of mlp, logistic/],
    ["constructor", {}, /no model "constructor"/],
    ["logistic", { classes: 10 }, /data set has 10; use --data mnist-parity/],
    ["mlp", { classes: 1 }, /at least 2 classes, not 1/],
    ["mlp", { inputShape: [1, 0, 28] }, /\[1,0,28\] is not the shape of an example/],
    ["mlp", { inputShape: [1.5, 2] }, /\[1.5,2\] is not the shape of an example/],
  ];
  for (const [name, options, message] of refused) {
    test(`${name} with ${JSON.stringify(options)} is refused as a usage error`, () => {
      assert.throws(
        () => buildModel(name, options),
        (error: PacelineError) => error.code === "usage" && message.test(error.message),
      );
    });
  }
});
