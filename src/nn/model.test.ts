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
  ];
  for (const [title, build, message] of faults) {
    test(`refuses ${title}`, () => {
      assert.throws(() => build(new GraphBuilder("faulty", [2, 3])), message);
    });
  }
});
