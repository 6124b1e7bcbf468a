import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { equalRanges } from "../../core/work/ranges.js";
import { loadDataset } from "../../data/dataset.js";
import { epochPermutation } from "../../data/partition.js";
import { InputPipeline } from "../../data/pipeline.js";
import type { Dataset } from "../../data/split.js";
import { writeSampleMnist } from "../../data/testing/sample-files.js";
import { buildModel } from "../../nn/models.js";
import { referenceEngine } from "../../nn/reference/reference.js";
import { bindStandalone } from "../../nn/standalone.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { learningRate } from "../../protocol/schedule.js";
import { type LocalChoice, localSpec, nesterovOuter } from "../../protocol/testing/local-run.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { layoutOf } from "../compute/initial-state.js";
import type { BaselineCheckpoint, BaselineStart } from "./baseline-start.js";
import { type BaselineHooks, type BaselineProgress, runBaseline } from "./baseline-training.js";

let folder = "";
let dataset: Dataset;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-local-"));
  await writeSampleMnist(folder, { train: 50, test: 30, seed: 5 });
  dataset = await loadDataset("mnist", { dataDir: folder });
});
after(() => rm(folder, { recursive: true, force: true }));

/** Three workers have 17, 17 and 16 of 50 examples: batches of 8, 8, 1 and 8, 8, 0. */
function specOf(choice: LocalChoice, change: Partial<RunSpec> = {}): RunSpec {
  const { protocol, updateRule } = localSpec(choice);
  // The rate changes within the first step, and within the third.
  const halved = { name: "step", milestones: [0.2, 0.7], gamma: 0.5 } as const;
  return {
    ...{ ...sampleSpec, protocol, trainExamples: 50, testExamples: 30, epochs: 2 },
    ...{ workersMin: 3, workersMax: 3, batchSize: 8, chunkValues: 40_000 },
    updateRule: { ...updateRule, momentum: 0.9 },
    schedule: { ...sampleSpec.schedule, ...halved, totalExamples: 100 },
    ...change,
  };
}

function run(spec: RunSpec, hooks: BaselineHooks = {}, start?: BaselineStart) {
  let nowMs = 0;
  const parts = { dataset, engine: referenceEngine, nowMs: () => nowMs++ };
  return runBaseline(spec, start ? { ...parts, start } : parts, hooks);
}

const { fround } = Math;

/** What the servers make of the mean of the differences. */
type Outer = (weights: Float32Array, mean: Float32Array) => void;

function averaged(): Outer {
  return (weights, mean) => {
    for (const [index, d] of mean.entries()) weights[index] = weights[index]! - d;
  };
}

function movedByNesterov(): Outer {
  const [mu, lr] = [fround(nesterovOuter.momentum), fround(nesterovOuter.lr)];
  const buffer: number[] = [];
  return (weights, mean) => {
    mean.forEach((d, index) => {
      const b = fround(fround(mu * (buffer[index] ?? 0)) + d);
      buffer[index] = b;
      weights[index] = weights[index]! - fround(lr * fround(d + fround(mu * b)));
    });
  };
}

/** Two epochs of steps of two local steps of plain descent, written out. */
function writtenOut(spec: RunSpec, outer: Outer): Float32Array {
  const graph = buildModel("mlp");
  const model = bindStandalone(referenceEngine, graph, spec.seed, 8);
  const { parameters, gradients, executor } = model;
  const [x, y] = [new Float32Array(8 * 784), new Int32Array(8)];
  const pixels = new Uint8Array(8 * 784);
  const pipeline = new InputPipeline(spec.input);
  let applied = 0;
  for (const epoch of [0, 1]) {
    const order = epochPermutation(50, spec.seed, epoch);
    for (const done of [0, 16]) {
      const base = parameters.slice();
      const sum = new Float32Array(base.length);
      let examples = 0;
      for (const { start, end } of equalRanges(50, 3)) {
        const from = Math.min(end, start + done);
        const to = Math.min(end, from + 16);
        if (to === from) continue;
        parameters.set(base);
        for (let at = from; at < to; at += 8) {
          const n = Math.min(to, at + 8) - at;
          dataset.train.read(order, at, at + n, pixels, y);
          pipeline.fill(pixels, n, x, null);
          executor.step({ x, y, n }, [], () => {});
          const lr = fround(learningRate(spec.schedule, applied + 3 * (at - from)));
          for (const [index, g] of gradients.entries()) parameters[index]! -= fround(lr * g);
        }
        base.forEach((w, index) => {
          const term = fround((to - from) * fround(w - parameters[index]!));
          sum[index] = examples === 0 ? term : fround(sum[index]! + term);
        });
        examples += to - from;
      }
      const share = fround(1 / examples);
      const mean = sum.map((value) => value * share);
      parameters.set(base);
      outer(parameters, mean);
      applied += examples;
    }
  }
  const { tensors } = layoutOf(spec);
  const flat = new Float32Array(parameters.length);
  for (const { name, offset } of tensors) flat.set(model.tensor(parameters, name), offset);
  return flat;
}

describe("local steps in one process", () => {
  for (const [outer, made] of [
    ["average", averaged],
    ["nesterov", movedByNesterov],
  ] as const) {
    test(`has the bits of the loop written out, with ${outer} outside`, async () => {
      const choice = outer === "average" ? {} : { outer: nesterovOuter };
      const spec = specOf({ ...choice, localSteps: 2 });
      const { weights, globalSteps, examples, state, server } = await run(spec);
      assert.deepEqual([globalSteps, examples], [4, 100]);
      assert.deepEqual(weights, writtenOut(spec, made()));
      assert.equal(state.length, outer === "average" ? 0 : 1);
      assert.equal(server.lr, outer === "average" ? 1 : nesterovOuter.lr);
    });
  }

  test("one step of plain descent, averaged, is BSP up to rounding", async () => {
    for (const lrScaling of ["none", "linear"] as const) {
      const evaluateEvery = { unit: "step", count: 1 } as const;
      const spec = specOf({ localSteps: 1 }, { lrScaling, evaluateEvery });
      const [local, bsp] = [await run(spec), await run({ ...spec, protocol: { mode: "bsp" } })];
      assert.equal(local.globalSteps, bsp.globalSteps);
      const apart = local.weights.map((value, index) => Math.abs(value - bsp.weights[index]!));
      assert.ok(Math.max(...apart) < 1e-6, `${Math.max(...apart)}`);
      // What is evaluated is the weights of the servers, not a worker's own.
      for (const [index, { loss }] of bsp.evaluations.entries()) {
        assert.ok(Math.abs(local.evaluations[index]!.loss - loss) < 1e-5);
      }
      assert.notDeepEqual(local.weights, (await run(specOf({ localSteps: 3 }))).weights);
    }
  });

  for (const updateRule of ["momentum", "adam"] as const) {
    for (const step of [1, 2, 3]) {
      const what = `stopped after step ${step}, goes on with each rank's ${updateRule}`;
      test(`${what}, to the bits of one life`, async () => {
        const spec = specOf({ localSteps: 2, updateRule, outer: nesterovOuter });
        const whole = await run(spec);
        const afterStep = async ({ globalSteps }: BaselineProgress) => globalSteps === step;
        const stopped = await run(spec, { afterStep });
        const resumed = await run(spec, {}, startFrom(stopped));
        assert.deepEqual(resumed.weights, whole.weights);
        assert.deepEqual(resumed.state, whole.state);
        assert.deepEqual(resumed.residuals, whole.residuals);
        const { residuals, ...forgetful } = startFrom(stopped);
        assert.equal(residuals?.size, 3);
        assert.notDeepEqual((await run(spec, {}, forgetful)).weights, whole.weights);
      });
    }
  }
});

function startFrom(checkpoint: BaselineCheckpoint): BaselineStart {
  const { weights, state, marks, snapshot, residuals } = checkpoint;
  return {
    state: { weights, state, marks },
    resume: JSON.parse(JSON.stringify(snapshot)),
    residuals: new Map(residuals.map(({ rank, values }) => [rank, values])),
  };
}
