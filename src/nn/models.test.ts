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

  test("cnn6 has 298,570 trained values under the names of a PyTorch module", () => {
    const graph = buildModel("cnn6");
    assert.equal(trainableValues(graph), 298_570);
    const convolutions = [1, 2, 3, 4, 5, 6].flatMap((number) => [
      `conv${number}.weight`,
      `conv${number}.bias`,
      `bn${number}.weight`,
      `bn${number}.bias`,
      `bn${number}.running_mean`,
      `bn${number}.running_var`,
      `bn${number}.num_batches_tracked`,
    ]);
    const heads = [1, 2, 3].flatMap((number) => [`fc${number}.weight`, `fc${number}.bias`]);
    assert.deepEqual(
      graph.tensors.map(({ name }) => name),
      [...convolutions, ...heads],
    );
  });

  test("cnn6 pools three times and drops half after each hidden fully connected layer", () => {
    const { nodes } = buildModel("cnn6");
    assert.deepEqual(
      nodes.filter(({ layer }) => layer.kind === "max-pool").map(({ shape }) => shape),
      [
        [32, 16, 16],
        [64, 8, 8],
        [128, 4, 4],
      ],
    );
    assert.deepEqual(
      nodes.slice(-8).map(({ layer }) => layer.kind),
      [
        "global-avg-pool",
        ...["linear", "relu", "dropout"],
        ...["linear", "relu", "dropout"],
        "linear",
      ],
    );
  });

  const fits: [inputShape: number[], classes: number, trained: number][] = [
    [[1, 28, 28], 10, 298_570 - 2 * 9 * 32],
    [[3, 32, 32], 100, 298_570 + 33 * 90],
    [[3, 8, 8], 2, 298_570 - 33 * 8],
  ];
  for (const [inputShape, classes, trained] of fits) {
    test(`cnn6 fits [${inputShape}] and ${classes} classes`, () => {
      assert.equal(trainableValues(buildModel("cnn6", { inputShape, classes })), trained);
    });
  }

  test("normalisation keeps buffers and a counter that no weight decay touches", () => {
    const { tensors } = buildModel("cnn6");
    assert.deepEqual(
      tensors.filter(({ name }) => name.startsWith("bn3")).map((tensor) => Object.values(tensor)),
      [
        ["bn3.weight", [64], "plain", { kind: "constant", value: 1 }],
        ["bn3.bias", [64], "plain", { kind: "constant", value: 0 }],
        ["bn3.running_mean", [64], "buffer", { kind: "constant", value: 0 }],
        ["bn3.running_var", [64], "buffer", { kind: "constant", value: 1 }],
        ["bn3.num_batches_tracked", [], "counter", { kind: "constant", value: 0 }],
      ],
    );
  });

  test("convolutions start within PyTorch's bound, the bias too", () => {
    const { tensors } = buildModel("cnn6");
    const bound = 1 / Math.sqrt(32 * 9);
    for (const { name, initial } of tensors.filter(({ name }) => name.startsWith("conv2"))) {
      assert.deepEqual(initial, { kind: "uniform", low: -bound, high: bound }, name);
    }
  });

  for (const { name } of modelList) {
    test(`${name} survives the way into another thread`, () => {
      const graph = buildModel(name);
      assert.deepEqual(structuredClone(graph), graph);
    });
  }

  const refused: [name: string, options: object, message: RegExp][] = [
    ["resnet", {}, /no model "resnet"; choose one of mlp, logistic, cnn6, resnet18/],
    ["constructor", {}, /no model "constructor"/],
    ["logistic", { classes: 10 }, /data set has 10; use --data mnist-parity/],
    [
      "resnet20",
      { stem: "imagenet" },
      /--stem imagenet has no effect on model resnet20, .*; leave it out, or choose --model/,
    ],
    ["mlp", { stem: "cifar" }, /--stem cifar has no effect on model mlp/],
    ["mlp", { classes: 1 }, /at least 2 classes, not 1/],
    [
      "cnn6",
      { inputShape: [3, 7, 32] },
      /cnn6 takes pictures .* of at least 8 x 8, not examples of \[3,7,32\]; .*--model mlp/,
    ],
    ["cnn6", { inputShape: [784] }, /cnn6 takes pictures .* not examples of \[784\]/],
    ["resnet20", { inputShape: [28, 28] }, /resnet20 takes pictures .* not examples of \[28,28\]/],
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
