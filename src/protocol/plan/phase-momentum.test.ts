/** The coefficients of Sync-Switch's ways to choose momentum behind a switch. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sampleSpec } from "../testing/sample-run.js";
import { momentumAt, momentumBehindSwitch, momentumText, switchMomenta } from "./phase-momentum.js";

const updateRule = { ...sampleSpec.updateRule, momentum: 0.9 };
const spec = { updateRule, trainExamples: 100 };

test("eight workers have these coefficients, epoch by epoch behind the switch", () => {
  const found = switchMomenta.map((way) => {
    const momentum = momentumBehindSwitch(way, 0.9, 8);
    if (momentum === null) return [way, null];
    const begun = { ...momentum, fromExamples: 50 };
    const epochs = [50, 149, 150, 250, 350, 450, 750, 9_000_000];
    return [way, epochs.map((examples) => momentumAt(begun, examples, spec))];
  });
  assert.deepEqual(Object.fromEntries(found), {
    unchanged: null,
    zero: [0, 0, 0, 0, 0, 0, 0, 0],
    scaled: Array(8).fill(0.9 / 8),
    "fixed-scaled": Array(8).fill(0.125),
    "linear-ramp": [0.125, 0.125, 0.25, 0.375, 0.5, 0.625, 0.9, 0.9],
    "nonlinear-ramp": [0.125, 0.125, 0.25, 0.5, 0.9, 0.9, 0.9, 0.9],
  });
});

test("no coefficient is above the run's, however few workers there are", () => {
  for (const workers of [1, 2, 3]) {
    for (const way of switchMomenta) {
      const momentum = momentumBehindSwitch(way, 0.4, workers);
      if (momentum === null) continue;
      const begun = { ...momentum, fromExamples: 0 };
      const low = { ...spec, updateRule: { ...updateRule, momentum: 0.4 } };
      for (const examples of [0, 100, 1e6]) {
        const coefficient = momentumAt(begun, examples, low);
        assert.ok(coefficient >= 0 && coefficient <= 0.4, `${way} ${workers}: ${coefficient}`);
      }
    }
  }
});

test("a chunk that is behind the switch by a torn step has the phase's first coefficient", () => {
  const begun = { start: 0.125, growth: "double", fromExamples: 50 } as const;
  assert.equal(momentumAt(begun, 42, spec), 0.125);
});

test("the log says how a coefficient goes on", () => {
  const texts = switchMomenta.map((way) => momentumText(momentumBehindSwitch(way, 0.9, 8)));
  assert.deepEqual(texts, [
    "",
    ", momentum 0",
    ", momentum 0.1125",
    ", momentum 0.125",
    ", momentum 0.125, growing by as much each epoch",
    ", momentum 0.125, doubled each epoch",
  ]);
});
