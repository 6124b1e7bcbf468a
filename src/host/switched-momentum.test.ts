/**
 * Momentum behind a switch, to the bit: a cluster of one worker against the reference loop written
 * out here: unbroken, with a server killed, and resumed from a checkpoint.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { layOut } from "../protocol/layout.js";
import {
  momentumBehindSwitch,
  type PhaseMomentum,
  type SwitchMomentum,
  switchMomenta,
} from "../protocol/plan/phase-momentum.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { type Outcome, runInMemory, type Toy } from "./testing/memory-cluster.js";
import { ToyCompute, type ToyGradients } from "./testing/toy-compute.js";

const { fround } = Math;
const tensors = [{ name: "w", shape: [9], group: "weight" }] as const;
const layoutOf = ({ chunkValues }: RunSpec) => layOut(tensors, chunkValues);
const [epochs, trainExamples, batchSize, switchedAt] = [6, 96, 8, 120];
const [m, lr, lrFactor, workers] = [0.9, 0.05, 0.5, 8];

const write: ToyGradients = ({ range }, gradients, parameters) => {
  for (const index of gradients.keys()) {
    gradients[index] = parameters[index]! - ((range.start % 7) + index) / 9;
  }
};

function specOf(momentum: PhaseMomentum | null, changes: Partial<RunSpec> = {}): RunSpec {
  const asp = { rule: "none", scale: 0.1, floor: 0.1, max: 5 } as const;
  const own = { plateau: null, checkpointEvery: null };
  return {
    ...{ ...sampleSpec, trainExamples, epochs, batchSize, chunkValues: 4, servers: 2 },
    updateRule: { ...sampleSpec.updateRule, name: "momentum", momentum: m },
    schedule: { ...sampleSpec.schedule, lr, totalExamples: epochs * trainExamples },
    plan: [
      { protocol: { mode: "bsp" }, end: switchedAt, lrFactor: 1, momentum: null, ...own },
      { protocol: { mode: "asp", staleness: asp }, end: null, lrFactor, momentum, ...own },
    ],
    ...changes,
  };
}

function run(spec: RunSpec, during: (toy: Toy) => void = () => {}, from?: Outcome["saved"]) {
  const { values } = layoutOf(spec);
  const fresh = { weights: new Float32Array(values).fill(3), state: [new Float32Array(values)] };
  const compute = () => new ToyCompute(layoutOf, write);
  return runInMemory({ spec, layoutOf, fresh, compute, during, from: from ?? null });
}

/** What each way says of the k-th epoch behind the switch, counted from 1. */
const coefficients: Readonly<Record<SwitchMomentum, (k: number) => number>> = {
  unchanged: () => m,
  zero: () => 0,
  scaled: () => m / workers,
  "fixed-scaled": () => 1 / workers,
  "linear-ramp": (k) => Math.min(m, k / workers),
  "nonlinear-ramp": (k) => Math.min(m, 2 ** (k - 1) / workers),
};

/** b <- mu b + g; w <- w - lr b, every operation rounded to f32. */
function byHand(coefficient: (k: number) => number): number[] {
  const w = new Float32Array(9).fill(3);
  const b = new Float32Array(9);
  const g = new Float32Array(9);
  for (let used = 0; used < epochs * trainExamples; used += batchSize) {
    const start = used % trainExamples;
    write({ range: { start, end: start + batchSize } } as never, g, w);
    const isBehind = used >= switchedAt;
    const k = 1 + Math.floor((used - switchedAt) / trainExamples);
    const mu = fround(isBehind ? coefficient(k) : m);
    const rate = fround(isBehind ? lr * lrFactor : lr);
    for (const index of w.keys()) {
      b[index] = fround(fround(mu * b[index]!) + g[index]!);
      w[index] = w[index]! - fround(rate * b[index]!);
    }
  }
  return [...w];
}

for (const way of switchMomenta) {
  test(`the weights under ${way} have the bits of the rule by hand`, async () => {
    const momentum = momentumBehindSwitch(way, m, workers);
    const { result, weights } = await run(specOf(momentum));
    assert.equal(result.outcome, "done", result.reason);
    const expected = byHand(coefficients[way]);
    assert.deepEqual(weights, expected);
    if (way !== "unchanged") assert.notDeepEqual(expected, byHand(coefficients.unchanged));
  });
}

test("a ramp goes on where it was behind a fail-over and in a resumed run", async () => {
  const checkpointEvery = { unit: "step", count: 20 } as const;
  const momentum = momentumBehindSwitch("nonlinear-ramp", m, workers);
  const spec = specOf(momentum, { checkpointEvery, servers: 2, replicas: 2 });
  const expected = byHand(coefficients["nonlinear-ramp"]);
  let isKilled = false;
  const broken = await run(spec, (toy) => {
    const timer = setInterval(() => {
      if (toy.coordinator.snapshot().globalSteps < 30) return;
      clearInterval(timer);
      isKilled = true;
      void toy.kill(0).then(() => toy.restart(0));
    }, 1);
  });
  assert.equal(broken.result.outcome, "done", broken.result.reason);
  assert.ok(isKilled);
  assert.deepEqual(broken.weights, expected);
  const behind = broken.checkpoints.filter(({ step }) => step > switchedAt / batchSize);
  const resumed = await run({ ...spec, run: "again" }, () => {}, behind[0]!);
  assert.equal(resumed.result.outcome, "done", resumed.result.reason);
  assert.deepEqual(resumed.weights, expected);
});
