import assert from "node:assert/strict";
import { test } from "node:test";
import type { UpdateRuleSpec } from "../protocol/update-rules.js";
import { statePartCount, updateScalars } from "./update-rule.js";

const rule: UpdateRuleSpec = {
  name: "momentum",
  momentum: 0.9,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 5e-4,
  weightDecayPlain: 0,
  bufferMomentum: 0.1,
};
const moment = { lr: 0.1, scale: 1, group: "weight", updateCount: 1 } as const;

test("each rule keeps as many state parts as its equations name", () => {
  const names = ["sgd", "momentum", "nesterov", "adam", "adamw"] as const;
  assert.deepEqual(
    names.map((name) => statePartCount({ name })),
    [0, 1, 1, 2, 2],
  );
});

test("the parameter group selects the weight decay", () => {
  const decayed = { ...rule, weightDecayPlain: 0.25 };
  assert.equal(updateScalars(decayed, moment).weightDecay, Math.fround(5e-4));
  assert.equal(updateScalars(decayed, { ...moment, group: "plain" }).weightDecay, 0.25);
});

test("adamw's decay shrinks the weight instead of joining the gradient", () => {
  const scalars = updateScalars({ ...rule, name: "adamw", weightDecay: 0.1 }, moment);
  assert.equal(scalars.weightDecay, 0);
  assert.equal(scalars.shrink, Math.fround(1 - Math.fround(0.1) * 0.1));
  assert.equal(updateScalars({ ...rule, name: "adam" }, moment).shrink, 1);
});

test("the bias corrections follow the count of updates", () => {
  const first = updateScalars({ ...rule, name: "adam" }, moment);
  assert.ok(Math.abs(first.stepSize - 1) < 1e-6);
  assert.ok(Math.abs(first.rootCorrection - 1 / Math.sqrt(0.001)) < 1e-5);
  const late = updateScalars({ ...rule, name: "adam" }, { ...moment, updateCount: 100_000 });
  assert.equal(late.stepSize, Math.fround(0.1));
  assert.equal(late.rootCorrection, 1);
});

test("every scalar is an f32 number", () => {
  for (const name of ["sgd", "momentum", "nesterov", "adam", "adamw"] as const) {
    const scalars = updateScalars({ ...rule, name }, { ...moment, scale: 1 / 1.3, updateCount: 7 });
    for (const value of Object.values(scalars)) {
      if (typeof value === "number") assert.equal(value, Math.fround(value));
    }
  }
});

test("updates count from 1", () => {
  assert.throws(() => updateScalars(rule, { ...moment, updateCount: 0 }), /count from 1/);
});

test("a difference of buffers is taken off whole, whatever rule and rate the weights have", () => {
  const given = { ...rule, name: "nesterov", takesDifferences: true } as const;
  const buffer = updateScalars(given, { ...moment, lr: 0.7, group: "buffer", scale: 0.5 });
  const { name, lr, scale, weightDecay, momentum } = buffer;
  assert.deepEqual([name, lr, scale, weightDecay, momentum], ["sgd", 1, 0.5, 0, 0]);
  assert.equal(updateScalars(given, { ...moment, group: "counter" }).name, "count");
  assert.equal(updateScalars(given, moment).name, "nesterov");
  assert.equal(updateScalars(rule, { ...moment, group: "buffer" }).name, "blend");
});
