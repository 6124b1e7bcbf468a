import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Workspace } from "./reference-kernel.js";
import { dropoutKernel, reluKernel } from "./reference-parameterless.js";

function context<L>(layer: L, input: Float32Array, name = "node") {
  return {
    layer,
    name,
    batchMax: 1,
    workspace: new Workspace(),
    inputShapes: [[input.length]],
    outputShape: [input.length],
    inputValues: [input.length],
    outputValues: input.length,
    inputs: [input],
    output: new Float32Array(input.length),
    outputGradient: new Float32Array(input.length).fill(1),
    inputGradients: [new Float32Array(input.length)],
    parameters: {},
    gradients: {},
  };
}

describe("dropout", () => {
  const count = 100_000;
  const ones = new Float32Array(count).fill(1);

  for (const rate of [0, 0.2, 0.5, 0.9]) {
    test(`at rate ${rate} keeps the expectation`, () => {
      const made = context({ kind: "dropout", rate } as const, ones);
      dropoutKernel(made).forward(1, ["expectation"]);
      const mean = made.output.reduce((sum, value) => sum + value, 0) / count;
      // A kept value has variance rate / (1 - rate).
      const deviation = Math.sqrt(rate / (1 - rate) / count);
      assert.ok(Math.abs(mean - 1) <= 4 * deviation + 1e-6, `mean ${mean}`);
      const scale = Math.fround(1 / (1 - rate));
      assert.ok(made.output.every((value) => value === 0 || value === scale));
    });
  }

  test("passes the gradient through the mask of the forward pass", () => {
    const made = context({ kind: "dropout", rate: 0.3 } as const, ones);
    const kernel = dropoutKernel(made);
    kernel.forward(1, ["mask"]);
    kernel.backwardInputs(1);
    assert.deepEqual(made.inputGradients[0], made.output);
    assert.ok(made.output.includes(0));
  });

  test("draws another mask for another step and another node", () => {
    const mask = (name: string, step: number) => {
      const made = context({ kind: "dropout", rate: 0.5 } as const, ones, name);
      dropoutKernel(made).forward(1, [1, 0, step]);
      return made.output;
    };
    assert.deepEqual(mask("a", 1), mask("a", 1));
    assert.notDeepEqual(mask("a", 1), mask("a", 2));
    assert.notDeepEqual(mask("a", 1), mask("b", 1));
  });
});

describe("relu", () => {
  test("cuts at zero, keeps NaN, and passes the gradient above zero only", () => {
    const made = context({ kind: "relu" } as const, Float32Array.of(-2, -0, 0, 3, Number.NaN));
    const kernel = reluKernel(made);
    kernel.forward(1, undefined);
    kernel.backwardInputs(1);
    assert.deepEqual([...made.output], [0, 0, 0, 3, Number.NaN]);
    assert.deepEqual([...made.inputGradients[0]!.slice(0, 4)], [0, 0, 0, 1]);
  });
});
