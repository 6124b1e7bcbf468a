import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Layer } from "./layers.js";
import { GraphBuilder, inputId } from "./model.js";

const linear = (outputs: number): Layer => ({ kind: "linear", outputs });

describe("a graph", () => {
  test("follows shapes from node to node and joins branches", () => {
    const builder = new GraphBuilder("joined", [2, 3]);
    const flat = builder.add("flat", { kind: "flatten" }, [inputId]);
    const left = builder.add("left", linear(4), [flat]);
    const right = builder.add("right", linear(4), [flat]);
    const sum = builder.add("sum", { kind: "add" }, [left, right]);
    const graph = builder.finish(sum, "cross-entropy");
    assert.deepEqual(
      graph.nodes.map(({ id, name, inputs, shape }) => [id, name, inputs, shape]),
      [
        [1, "flat", [0], [6]],
        [2, "left", [1], [4]],
        [3, "right", [1], [4]],
        [4, "sum", [2, 3], [4]],
      ],
    );
    assert.equal(graph.classes, 4);
    assert.equal(graph.output, 4);
    assert.deepEqual(graph.nodes[1]?.tensors, { weight: "left.weight", bias: "left.bias" });
  });

  const faults: [title: string, build: (builder: GraphBuilder) => unknown, message: RegExp][] = [
    [
      "a linear layer on examples that are not flat",
      (builder) => builder.add("fc", linear(3), [inputId]),
      /takes flat examples/,
    ],
    [
      "a sum of two shapes",
      (builder) => {
        const flat = builder.add("flat", { kind: "flatten" }, [inputId]);
        return builder.add("sum", { kind: "add" }, [inputId, flat]);
      },
      /two equal shapes/,
    ],
    [
      "a layer with too few inputs",
      (builder) => builder.add("sum", { kind: "add" }, [inputId]),
      /inputs of its kind/,
    ],
    [
      "a layer fed by a later node",
      (builder) => builder.add("relu", { kind: "relu" }, [1]),
      /earlier nodes/,
    ],
    [
      "two nodes of one name",
      (builder) =>
        builder.chain(inputId, [
          ["same", { kind: "relu" }],
          ["same", { kind: "relu" }],
        ]),
      /node names are unique/,
    ],
    [
      "two tensors of one name",
      (builder) => {
        const flat = builder.add("flat", { kind: "flatten" }, [inputId]);
        const first = builder.add("a", linear(3), [flat]);
        return builder.add("b", linear(3), [first], { bias: "a.bias" });
      },
      /tensor names are unique/,
    ],
    [
      "a node that feeds nothing",
      (builder) => {
        const flat = builder.add("flat", { kind: "flatten" }, [inputId]);
        builder.add("lost", linear(3), [flat]);
        return builder.finish(builder.add("fc", linear(3), [flat]), "cross-entropy");
      },
      /feeds another.*lost/,
    ],
    [
      "two logits under binary cross-entropy",
      (builder) => {
        const flat = builder.add("flat", { kind: "flatten" }, [inputId]);
        return builder.finish(builder.add("fc", linear(2), [flat]), "bce-with-logits");
      },
      /takes one logit/,
    ],
    [
      "a dropout that keeps nothing",
      (builder) => builder.add("dropout", { kind: "dropout", rate: 1 }, [inputId]),
      /rate in \[0, 1\)/,
    ],
    [
      "a convolution over what is no picture",
      (builder) => builder.add("conv", { kind: "conv2d", outputs: 2, kernel: 1 }, [inputId]),
      /slides over pictures/,
    ],
    [
      "a normalisation of what is no picture",
      (builder) => builder.add("bn", { kind: "batch-norm" }, [inputId]),
      /batch-norm takes pictures/,
    ],
    [
      "a global pool of what is no picture",
      (builder) => builder.add("mean", { kind: "global-avg-pool" }, [inputId]),
      /global-avg-pool takes pictures/,
    ],
  ];
  for (const [title, build, message] of faults) {
    test(`refuses ${title}`, () => {
      assert.throws(() => build(new GraphBuilder("faulty", [2, 3])), message);
    });
  }

  const pictureFaults: [title: string, layer: Layer, message: RegExp][] = [
    ["a window beyond its picture", { kind: "conv2d", outputs: 2, kernel: 6 }, /window fits/],
    ["half a stride", { kind: "max-pool", kernel: 2, stride: 0.5 }, /whole numbers/],
    ["a negative padding", { kind: "avg-pool", kernel: 2, padding: -1 }, /whole numbers/],
    ["groups that don't divide", { kind: "conv2d", outputs: 4, kernel: 1, groups: 4 }, /divide/],
    ["a pool of padding alone", { kind: "max-pool", kernel: 2, padding: 2 }, /half its kernel/],
    ["an epsilon of zero", { kind: "batch-norm", epsilon: 0 }, /above zero/],
  ];
  for (const [title, layer, message] of pictureFaults) {
    test(`refuses ${title}`, () => {
      const builder = new GraphBuilder("faulty", [6, 5, 5]);
      assert.throws(() => builder.add("layer", layer, [inputId]), message);
    });
  }
});
