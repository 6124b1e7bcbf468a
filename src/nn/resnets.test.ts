import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { valuesIn } from "./layer-kind.js";
import type { LayerOf } from "./layers.js";
import { trainableValues } from "./model.js";
import { buildModel, stemmedModels } from "./models.js";
import { resnetPlans } from "./resnets.js";

const buffers = ["running_mean", "running_var", "num_batches_tracked"];
const norm = (name: string) => ["weight", "bias", ...buffers].map((role) => `${name}.${role}`);

/** Names in the order of torchvision's state_dict. */
function expectedNames(blocks: number[], convolutions: number, isProjected: boolean[]): string[] {
  const names = ["conv1.weight", ...norm("bn1")];
  blocks.forEach((count, stage) => {
    for (let block = 0; block < count; block++) {
      const prefix = `layer${stage + 1}.${block}`;
      for (let index = 1; index <= convolutions; index++) {
        names.push(`${prefix}.conv${index}.weight`, ...norm(`${prefix}.bn${index}`));
      }
      if (block > 0 || !isProjected[stage]) continue;
      names.push(`${prefix}.downsample.0.weight`, ...norm(`${prefix}.downsample.1`));
    }
  });
  return [...names, "fc.weight", "fc.bias"];
}

/** Of section 4.2's network without projections: 2n blocks a stage, by hand. */
function plainCount(n: number): number {
  const stem = 27 * 16 + 32;
  const blocks = [16, 32, 64].map((width, stage) => {
    const first = stage === 0 ? width : width / 2;
    return 9 * first * width + (2 * n - 1) * 9 * width * width + 2 * n * 2 * width;
  });
  return stem + blocks.reduce((sum, count) => sum + count, 0) + 65 * 10;
}
const projections = 16 * 32 + 32 * 64 + 2 * (32 + 64);

describe("residual networks", () => {
  const published: [name: string, trained: number][] = [
    ["resnet18", 11_689_512],
    ["resnet34", 21_797_672],
    ["resnet50", 25_557_032],
  ];
  for (const [name, trained] of published) {
    test(`${name} with the imagenet stem has torchvision's ${trained} trained values`, () => {
      const inputShape = [3, 224, 224];
      const graph = buildModel(name, { classes: 1000, inputShape, stem: "imagenet" });
      assert.equal(trainableValues(graph), trained);
    });
  }

  // The small stem has as many values fewer.
  const stem = (49 - 9) * 3 * 64;
  const counts: [name: string, classes: number, trained: number][] = [
    ["resnet18", 100, 11_220_132],
    ["resnet18", 1000, 11_689_512 - stem],
    ["resnet34", 100, 21_797_672 - stem - 900 * 513],
    ["resnet50", 100, 25_557_032 - stem - 900 * 2049],
    ["resnet20", 10, plainCount(3) + projections],
    ["resnet32", 10, plainCount(5) + projections],
    ["resnet44", 10, plainCount(7) + projections],
    ["resnet56", 10, plainCount(9) + projections],
  ];
  for (const [name, classes, trained] of counts) {
    test(`${name} for ${classes} classes has ${trained} trained values`, () => {
      assert.equal(trainableValues(buildModel(name, { classes })), trained);
    });
  }

  const names: [name: string, blocks: number[], convolutions: number, isProjected: boolean[]][] = [
    ["resnet18", [2, 2, 2, 2], 2, [false, true, true, true]],
    ["resnet34", [3, 4, 6, 3], 2, [false, true, true, true]],
    ["resnet50", [3, 4, 6, 3], 3, [true, true, true, true]],
    ["resnet20", [3, 3, 3], 2, [false, true, true]],
    ["resnet56", [9, 9, 9], 2, [false, true, true]],
  ];
  for (const [name, blocks, convolutions, isProjected] of names) {
    test(`${name} has torchvision's names in the order of its state_dict`, () => {
      const found = buildModel(name).tensors.map((tensor) => tensor.name);
      assert.deepEqual(found, expectedNames(blocks, convolutions, isProjected));
    });
  }

  test("resnet18 has 62 trained tensors, 40 buffers and 20 counters", () => {
    const groups = buildModel("resnet18").tensors.map(({ group }) => group);
    const count = (wanted: string) => groups.filter((group) => group === wanted).length;
    assert.deepEqual(
      [count("weight") + count("plain"), count("buffer"), count("counter")],
      [62, 40, 20],
    );
  });

  test("resnet18 halves the picture where a stage begins, and ends in 512 values", () => {
    const graph = buildModel("resnet18");
    const shapeOf = (name: string) => graph.nodes.find((node) => node.name === name)?.shape;
    assert.deepEqual(
      ["relu", "layer1.1.relu", "layer2.0.relu", "layer3.1.relu", "layer4.0.bn1", "avgpool"].map(
        shapeOf,
      ),
      [[64, 32, 32], [64, 32, 32], [128, 16, 16], [256, 8, 8], [512, 4, 4], [512]],
    );
  });

  test("the imagenet stem leaves a quarter of the rows and columns to the first stage", () => {
    const graph = buildModel("resnet18", { inputShape: [3, 224, 224], stem: "imagenet" });
    assert.deepEqual(
      graph.nodes.slice(0, 4).map(({ name, shape }) => [name, ...shape]),
      [
        ["conv1", 64, 112, 112],
        ["bn1", 64, 112, 112],
        ["relu", 64, 112, 112],
        ["maxpool", 64, 56, 56],
      ],
    );
    assert.deepEqual(graph.nodes.find(({ name }) => name === "layer4.1.relu")?.shape, [512, 7, 7]);
  });

  test("both stems have the same tensors, in other shapes only of the first", () => {
    for (const name of stemmedModels) {
      const [small, large] = (["cifar", "imagenet"] as const).map((stem) =>
        buildModel(name, { stem }).tensors.map(({ name, shape }) => [name, ...shape]),
      );
      assert.deepEqual(small![0], ["conv1.weight", 64, 3, 3, 3]);
      assert.deepEqual(large![0], ["conv1.weight", 64, 3, 7, 7]);
      assert.deepEqual(small!.slice(1), large!.slice(1));
    }
  });

  test("resnet50's stride is at the 3x3 convolution of a bottleneck", () => {
    const graph = buildModel("resnet50");
    const strides = ["conv1", "conv2", "conv3", "downsample.0"].map((part) => {
      const node = graph.nodes.find(({ name }) => name === `layer2.0.${part}`);
      return node && (node.layer as LayerOf<"conv2d">).stride;
    });
    assert.deepEqual(strides, [1, 2, 1, 2]);
  });

  test("start he-normal by fan out, the normalisation at one", () => {
    const { tensors } = buildModel("resnet18");
    const initialOf = (name: string) => tensors.find((tensor) => tensor.name === name)?.initial;
    const deviation = Math.sqrt(2 / (128 * 9));
    assert.deepEqual(initialOf("layer2.0.conv1.weight"), { kind: "normal", deviation });
    assert.deepEqual(initialOf("layer2.0.bn2.weight"), { kind: "constant", value: 1 });
  });

  for (const name of Object.keys(resnetPlans)) {
    for (const stem of stemmedModels.includes(name) ? (["cifar", "imagenet"] as const) : [null]) {
      const title = stem === null ? name : `${name} with the ${stem} stem`;
      test(`${title} fits one pixel, other channels and other classes`, () => {
        const graph = buildModel(name, { inputShape: [1, 1, 1], classes: 7, stem });
        assert.equal(graph.classes, 7);
        assert.ok(graph.nodes.every(({ shape }) => valuesIn(shape) >= 1));
        assert.deepEqual(structuredClone(graph), graph);
      });
    }
  }
});
