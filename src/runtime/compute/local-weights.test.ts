import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Arena } from "../../kernels/arena.js";
import { createScalarKernels } from "../../kernels/scalar.js";
import { statePartCount, updateScalars } from "../../kernels/update-rule.js";
import { layOut } from "../../protocol/layout.js";
import { localStateSize } from "../../protocol/local/local-state.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { updateRuleNames } from "../../protocol/update-rules.js";
import { LocalWeights } from "./local-weights.js";

const layout = layOut(
  [
    { name: "w", shape: [3, 7], group: "weight" },
    { name: "bias", shape: [5], group: "plain" },
    { name: "running_var", shape: [4], group: "buffer" },
    { name: "count", shape: [], group: "counter" },
  ],
  8,
);
const given = Float32Array.from({ length: layout.values }, (_, index) => Math.cos(index) + 1.5);

function ruleOf(name: (typeof updateRuleNames)[number]) {
  return { ...sampleSpec.updateRule, name, momentum: 0.9, weightDecay: 0.01 };
}

function gradientOf(step: number): Float32Array {
  return given.map((_, index) => Math.sin(step * 31 + index) / 3);
}

/** What a server makes of the same gradients, chunk by chunk. */
function served(name: (typeof updateRuleNames)[number], steps: number): Float32Array {
  const arena = new Arena(8 * 64);
  const kernels = createScalarKernels(arena);
  const [weights, gradient, ...states] = Array.from({ length: 2 + statePartCount({ name }) }, () =>
    arena.allocate(layout.values),
  ) as [number, number, ...number[]];
  arena.view(weights, layout.values).set(given);
  for (const state of states) kernels.fill(state, layout.values, 0);
  for (let step = 0; step < steps; step++) {
    arena.view(gradient, layout.values).set(gradientOf(step));
    for (const { offset, length, group } of layout.chunks) {
      const moment = { lr: 0.05, scale: 1, group, updateCount: step + 1 };
      kernels.update(updateScalars(ruleOf(name), moment), {
        ...{ weightsIn: weights + offset, weightsOut: weights + offset },
        ...{ gradient: gradient + offset, length },
        state1: states[0] === undefined ? null : states[0] + offset,
        state2: states[1] === undefined ? null : states[1] + offset,
      });
    }
  }
  return arena.view(weights, layout.values).slice();
}

describe("a worker's weights of its own", () => {
  for (const name of updateRuleNames) {
    test(`take ${name} steps with the bits of a server's, and their difference is pushed`, () => {
      const rule = ruleOf(name);
      const local = new LocalWeights(layout, rule);
      const kept = new Float32Array(localStateSize(rule, layout).values);
      const [parameters, differences] = [given.slice(), new Float32Array(layout.values)];
      local.begin(parameters, kept);
      for (let step = 0; step < 3; step++) {
        local.gradients.set(gradientOf(step));
        local.update(0.05, kept);
      }
      local.finish(parameters, differences, kept);
      const { offset: counter } = layout.tensors.find(({ group }) => group === "counter")!;
      const wanted = served(name, 3);
      wanted[counter] = given[counter]!;
      assert.deepEqual(local.parameters, wanted);
      assert.deepEqual(
        differences,
        given.map((value, index) => value - wanted[index]!),
      );
      assert.equal(differences[counter], 0);
      assert.deepEqual(parameters, given, "what was given stays");
      if (kept.length > 0) assert.equal(kept.at(-1), 3);
    });
  }

  test("begin again where they are told to, with the state that the step before left", () => {
    const rule = { ...ruleOf("adam"), weightDecay: 0 };
    const kept = new Float32Array(localStateSize(rule, layout).values);
    const [parameters, differences] = [given.slice(), new Float32Array(layout.values)];
    const whole = new LocalWeights(layout, rule);
    whole.begin(parameters, kept);
    for (const step of [0, 1]) {
      whole.gradients.set(gradientOf(step));
      whole.update(0.05, kept);
    }
    const other = new Float32Array(kept.length);
    // Each step by another, as a process that is resumed is another.
    for (const step of [0, 1]) {
      const local = new LocalWeights(layout, rule, "scalar");
      const from = step === 0 ? parameters : parameters.map((one, at) => one - differences[at]!);
      local.begin(from, other);
      local.gradients.set(gradientOf(step));
      local.update(0.05, other);
      local.finish(parameters, differences, other);
    }
    whole.finish(parameters, differences, kept);
    assert.deepEqual(other, kept);
    assert.ok(kept.slice(0, -1).some((value) => value !== 0));
  });

  test("refuse a state of another length", () => {
    const rule = ruleOf("momentum");
    const local = new LocalWeights(layout, rule);
    assert.throws(() => local.begin(given, new Float32Array(3)), /the rule's state is kept/);
  });
});
