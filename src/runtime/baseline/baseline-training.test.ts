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
import type { Engine, Executor } from "../../nn/engine.js";
import { buildModel } from "../../nn/models.js";
import { referenceEngine } from "../../nn/reference/reference.js";
import { bindStandalone } from "../../nn/standalone.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { initialState, layoutOf } from "../compute/initial-state.js";
import {
  assertBaselineStart,
  type BaselineCheckpoint,
  type BaselineStart,
} from "./baseline-start.js";
import {
  type BaselineHooks,
  type BaselineProgress,
  type BaselineResult,
  runBaseline,
} from "./baseline-training.js";

let folder = "";
let dataset: Dataset;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-baseline-"));
  await writeSampleMnist(folder, { train: 50, test: 30, seed: 5 });
  dataset = await loadDataset("mnist", { dataDir: folder });
});
after(() => rm(folder, { recursive: true, force: true }));

/** Three workers have 17, 17 and 16 of 50 examples: steps of 8, 8, 1 and 8, 8, 0. */
const spec: RunSpec = {
  ...sampleSpec,
  trainExamples: 50,
  testExamples: 30,
  workersMin: 3,
  workersMax: 3,
  schedule: { ...sampleSpec.schedule, totalExamples: 100 },
  epochs: 2,
  batchSize: 8,
  chunkValues: 262_144,
};

function run(change: Partial<RunSpec> = {}, hooks: BaselineHooks = {}, start?: BaselineStart) {
  let nowMs = 0;
  const parts = { dataset, engine: referenceEngine, nowMs: () => nowMs++ };
  return runBaseline({ ...spec, ...change }, start ? { ...parts, start } : parts, hooks);
}

/** What a checkpoint keeps of a result. */
function startFrom({ weights, state, marks, snapshot }: BaselineCheckpoint): BaselineStart {
  return { state: { weights, state, marks }, resume: JSON.parse(JSON.stringify(snapshot)) };
}

/** Two epochs of plain SGD, written out on a model with a memory of its own. */
function writtenOut(reduce: "mean" | "sum"): Map<string, Float32Array> {
  const graph = buildModel("mlp");
  const model = bindStandalone(referenceEngine, graph, 3, 8);
  const { parameters, gradients, executor } = model;
  const { fround } = Math;
  const x = new Float32Array(8 * 784);
  const y = new Int32Array(8);
  const pixels = new Uint8Array(8 * 784);
  const pipeline = new InputPipeline(spec.input);
  for (const epoch of [0, 1]) {
    const order = epochPermutation(50, 3, epoch);
    for (const done of [0, 8, 16]) {
      const sum = new Float32Array(parameters.length);
      let examples = 0;
      for (const { start, end } of equalRanges(50, 3)) {
        const from = Math.min(end, start + done);
        const to = Math.min(end, from + 8);
        if (to === from) continue;
        dataset.train.read(order, from, to, pixels, y);
        pipeline.fill(pixels, to - from, x, null);
        executor.step({ x, y, n: to - from }, [], () => {});
        const factor = reduce === "mean" ? to - from : 1;
        gradients.forEach((value, index) => {
          const term = fround(factor * value);
          sum[index] = examples === 0 ? term : fround(sum[index]! + term);
        });
        examples += to - from;
      }
      const share = reduce === "mean" ? fround(1 / examples) : 1;
      sum.forEach((value, index) => {
        parameters[index] = parameters[index]! - fround(fround(0.1) * fround(value * share));
      });
    }
  }
  return new Map(graph.tensors.map(({ name }) => [name, model.tensor(parameters, name)]));
}

function tensorsOf(weights: Float32Array): Map<string, Float32Array> {
  const { tensors } = layoutOf(spec);
  return new Map(
    tensors.map(({ name, offset, length }) => [name, weights.subarray(offset, offset + length)]),
  );
}

describe("training in one process", () => {
  for (const reduce of ["mean", "sum"] as const) {
    test(`folds gradients by ${reduce} to the bits of the written-out loop`, async () => {
      const { weights, globalSteps, outcome } = await run({ reduce });
      assert.deepEqual([outcome, globalSteps], ["done", 6]);
      assert.deepEqual(tensorsOf(weights), writtenOut(reduce));
    });
  }

  test("gives the same bits again and under other chunk sizes, with any rule's state", async () => {
    for (const name of ["momentum", "adamw"] as const) {
      const updateRule = { ...spec.updateRule, name, momentum: 0.9, weightDecay: 0.01 };
      const first = await run({ updateRule });
      for (const chunkValues of [262_144, 1000]) {
        const { weights, state } = await run({ updateRule, chunkValues });
        assert.deepEqual(weights, first.weights);
        assert.deepEqual(state, first.state);
      }
      assert.equal(first.state.length, name === "adamw" ? 2 : 1);
    }
  });

  test("makes one micro-batch a step for one worker, whatever the protocol", async () => {
    const alone = {
      workersMin: 1,
      workersMax: 1,
      protocol: { mode: "ssp", staleness: 1 },
    } as const;
    const { globalSteps, server, workers, examples } = await run(alone);
    assert.deepEqual([globalSteps, server.pushes, examples], [14, 14, 100]);
    assert.equal(workers.length, 1);
  });

  test("follows the schedule by the examples applied before each step", async () => {
    const rates: number[] = [];
    const schedule = { ...spec.schedule, name: "step", milestones: [0.45], gamma: 0.5 } as const;
    const afterStep = async ({ server }: BaselineProgress) => {
      rates.push(server.lr);
      return false;
    };
    await run({ schedule }, { afterStep });
    // Steps take 24, 24 and 2 examples of 100.
    assert.deepEqual(rates, [0.1, 0.1, 0.05, 0.05, 0.05, 0.05]);
  });

  test("evaluates at the start, at multiples of the step cadence and once at the end", async () => {
    const seen: unknown[] = [];
    const hooks = { onEvent: ({ kind }: { kind: string }) => void seen.push(kind) };
    const result = await run({ evaluateEvery: { unit: "step", count: 2 } }, hooks);
    const { evaluations } = result;
    assert.deepEqual(
      evaluations.map(({ step, final }) => [step, final]),
      [0, 2, 4, 6].map((step) => [step, step === 6]),
    );
    const kinds = ["evaluation", "evaluation", "epoch", "evaluation", "epoch", "evaluation"];
    assert.deepEqual(seen, kinds);
    const last = evaluations.at(-1)!;
    assert.equal(last.examples, 30);
    assert.ok(last.loss < evaluations[0]!.loss);
  });

  test("evaluates after each epoch, and only at the end without a cadence", async () => {
    const each = await run({ evaluateEvery: { unit: "epoch", count: 1 } });
    assert.deepEqual(
      each.evaluations.map(({ step, epoch, final }) => [step, epoch, final]),
      [
        [3, 0, false],
        [6, 1, true],
      ],
    );
    assert.deepEqual(each.evaluations.at(-1)!.loss, (await run()).evaluations[0]!.loss);
  });

  test("accounts for every example of every epoch", async () => {
    const { epochs, marks, workers, examples } = await run();
    assert.deepEqual(
      epochs.map((epoch) => [epoch.epoch, epoch.examples, epoch.skipped]),
      [
        [0, 50, 0],
        [1, 50, 0],
      ],
    );
    assert.ok(epochs[1]!.trainLoss < epochs[0]!.trainLoss);
    assert.deepEqual(Object.keys(epochs[0]!.workerSeconds), ["0", "1", "2"]);
    assert.deepEqual(
      workers.map((worker) => worker.examples),
      [34, 34, 32],
    );
    const none = { rejected: 0, stalenessSum: 0, stalenessMax: 0, stalenessCounts: [] };
    const counts = { pushes: 16, ...none };
    const mark = { version: 6, examples: 100, sealedStep: 5, applied: [], counts };
    assert.deepEqual([examples, marks[0]], [100, mark]);
  });

  test("says of every rank the time that its epochs took, not its turns'", async () => {
    const { epochs, workers } = await run();
    for (const { seconds, workerSeconds } of epochs) {
      assert.deepEqual(Object.keys(workerSeconds), ["0", "1", "2"]);
      // The clock is read, and walks on a millisecond, a few times between the two.
      for (const own of Object.values(workerSeconds)) {
        assert.ok(own > 0.9 * seconds && own <= seconds, `${own} of ${seconds} s`);
      }
    }
    const turns = workers.map((one) => one.inputSeconds + one.computeSeconds);
    const whole = workers.map((one, rank) => turns[rank]! + one.waitSeconds);
    for (const own of whole) assert.ok(own > 2 * Math.max(...turns), `${own} of ${turns}`);
  });

  test("ends after the most steps, with the state of the first of them", async () => {
    const { outcome, globalSteps, evaluations } = await run({ maxSteps: 4 });
    assert.deepEqual([outcome, globalSteps], ["done", 4]);
    assert.deepEqual([evaluations[0]!.step, evaluations[0]!.final], [4, true]);
  });

  test("stops after a step when it is asked to, and says where it stands", async () => {
    const afterStep = async ({ globalSteps }: BaselineProgress) => globalSteps === 5;
    const result = await run({}, { afterStep });
    assert.equal(result.outcome, "interrupted");
    const { shares } = result.snapshot.cursor.plans.at(-1)!;
    assert.deepEqual(
      shares.map(({ next, nextStep }) => [next, nextStep]),
      [
        [16, 5],
        [33, 5],
        [50, 5],
      ],
    );
    assert.deepEqual(
      result.snapshot.openEpochs.map(({ epoch, examples }) => [epoch, examples]),
      [[1, 48]],
    );
    const stepped = await run({ maxSteps: 5 });
    assert.deepEqual(result.weights, stepped.weights);
  });

  test("fails where the loss is no number, with the weights before that step", async () => {
    const schedule = { ...spec.schedule, lr: 1e30 };
    const result = await run({ schedule });
    assert.equal(result.outcome, "failed");
    assert.equal(result.failure?.code, "diverged");
    assert.deepEqual(result.failure?.details, { step: result.globalSteps, rank: 0 });
    const sentence = new RegExp(`at step ${result.globalSteps} on worker 0: lower --lr`);
    assert.match(result.failure?.message ?? "", sentence);
    assert.ok(result.globalSteps >= 1 && result.globalSteps < 6);
    const before = await run({ schedule, maxSteps: result.globalSteps });
    assert.deepEqual(result.weights, before.weights);
  });
});

test("finite gradients whose sum is not end it before any weight is moved", async () => {
  const change = { reduce: "sum", chunkValues: 5000 } as const;
  const layout = layoutOf({ ...spec, ...change });
  const { offset, index } = layout.chunks.at(-1)!;
  assert.ok(index > 0);
  const engine: Engine = {
    name: "huge",
    bind(graph, memory) {
      const executor = referenceEngine.bind(graph, memory);
      const step: Executor["step"] = (...about) => {
        const outcome = executor.step(...about);
        memory.gradients[offset] = 2e38;
        return outcome;
      };
      return new Proxy(executor, {
        get: (target, name) => (name === "step" ? step : Reflect.get(target, name).bind?.(target)),
      });
    },
  };
  const parts = { dataset, engine, nowMs: () => 0 };
  const { outcome, failure, weights } = await runBaseline({ ...spec, ...change }, parts, {});
  assert.equal(outcome, "failed");
  const told = `the sum of 3 finite gradients of chunk ${index} is not finite at step 0: lower`;
  assert.ok(failure?.message.startsWith(told), failure?.message);
  assert.deepEqual(weights, initialState({ ...spec, ...change }, layout).weights);
});

describe("training in one process that goes on from a checkpoint", () => {
  const change: Partial<RunSpec> = {
    updateRule: { ...spec.updateRule, name: "adamw", weightDecay: 0.01 },
    input: { ...spec.input, augment: { cropPadding: 2, flip: true, standardise: false } },
    schedule: { ...spec.schedule, name: "cosine" },
    evaluateEvery: { unit: "step", count: 2 },
  };
  const stopAt = (step: number) => ({
    afterStep: async ({ globalSteps }: BaselineProgress) => globalSteps === step,
  });

  // Steps 3 and 6 are the ends of the epochs; 2 and 4 are evaluated after the stop.
  for (const step of [1, 2, 3, 4, 5, 6]) {
    test(`stopped after step ${step} it ends in the bits and account of one life`, async () => {
      const whole = await run(change);
      const stopped = await run(change, stopAt(step));
      assert.deepEqual([stopped.outcome, stopped.globalSteps], ["interrupted", step]);
      const resumed = await run(change, {}, startFrom(stopped));
      assert.equal(resumed.outcome, "done");
      assert.deepEqual(resumed.weights, whole.weights);
      assert.deepEqual(resumed.state, whole.state);
      assert.deepEqual(resumed.marks, whole.marks);
      const timeless = ({ evaluations }: BaselineResult) =>
        evaluations.map(({ atSeconds, ...rest }) => rest);
      assert.deepEqual(timeless(resumed), timeless(whole));
      const accounts = ({ epochs }: BaselineResult) =>
        epochs.map(({ epoch, examples, skipped }) => ({ epoch, examples, skipped }));
      assert.deepEqual(accounts(resumed), accounts(whole));
      resumed.epochs.forEach(({ trainLoss, trainAccuracyPercent }, index) => {
        assert.ok(Math.abs(trainLoss - whole.epochs[index]!.trainLoss) < 1e-12);
        assert.equal(trainAccuracyPercent, whole.epochs[index]!.trainAccuracyPercent);
      });
      // Counts of work are those of its own life.
      assert.equal(resumed.server.updates, (6 - step) * resumed.server.chunks);
    });
  }

  for (const count of [2, 3]) {
    const every = { unit: "step", count } as const;
    test(`every checkpoint of each ${count} steps ends in the bits of one life`, async () => {
      const kept: BaselineCheckpoint[] = [];
      const onCheckpoint = async (checkpoint: BaselineCheckpoint) => void kept.push(checkpoint);
      const own = { ...change, checkpointEvery: every };
      const whole = await run(own, { onCheckpoint });
      assert.deepEqual(whole.weights, (await run(change)).weights);
      // The last step's is the caller's, who has the result.
      const steps = count === 2 ? [2, 4] : [3];
      assert.deepEqual(
        kept.map(({ globalSteps }) => globalSteps),
        steps,
      );
      for (const checkpoint of kept) {
        const resumed = await run(own, {}, startFrom(checkpoint));
        assert.deepEqual(resumed.weights, whole.weights);
        assert.deepEqual(
          resumed.evaluations.map(({ step, final, loss }) => [step, final, loss]),
          whole.evaluations.map(({ step, final, loss }) => [step, final, loss]),
        );
        assert.deepEqual(
          resumed.epochs.map(({ examples }) => examples),
          [50, 50],
        );
      }
    });
  }

  test("checkpoints of each epoch are written between two, evaluations included", async () => {
    const kept: BaselineCheckpoint[] = [];
    const onCheckpoint = async (checkpoint: BaselineCheckpoint) => void kept.push(checkpoint);
    const checkpointEvery = { unit: "epoch", count: 1 } as const;
    await run({ ...change, checkpointEvery, evaluateEvery: checkpointEvery }, { onCheckpoint });
    const told = kept.map(({ globalSteps, snapshot }) => {
      return [globalSteps, snapshot.evaluations.length, snapshot.openEpochs.length];
    });
    assert.deepEqual(told, [[3, 1, 0]]);
  });

  test("more epochs go on from the end of the first ones", async () => {
    const schedule = { ...spec.schedule, totalExamples: 150 };
    const whole = await run({ ...change, schedule, epochs: 3 });
    const first = await run({ ...change, schedule, epochs: 2 });
    const resumed = await run({ ...change, schedule, epochs: 3 }, {}, startFrom(first));
    assert.deepEqual(resumed.weights, whole.weights);
    assert.deepEqual(resumed.epochs.length, 3);
  });

  test("nothing is left to do after the last step", async () => {
    const whole = await run(change);
    const again = await run(change, {}, startFrom(whole));
    assert.deepEqual(again.weights, whole.weights);
    assert.deepEqual(again.evaluations, whole.evaluations);
  });

  test("another number of workers is refused within an epoch, not between two", async () => {
    const within = startFrom(await run(change, stopAt(2)));
    const other = { ...change, workersMin: 2, workersMax: 2 };
    await assert.rejects(run(other, {}, within), {
      code: "checkpoint",
      message: /lies within an epoch of 3 workers and this run has 2: give --as-workers 3$/,
    });
    const between = startFrom(await run({ ...change, epochs: 1 }));
    const { outcome, globalSteps } = await run({ ...other, epochs: 2 }, {}, between);
    // Two workers have 25 examples each, 4 steps of 8.
    assert.deepEqual([outcome, globalSteps], ["done", 3 + 4]);
  });

  test("a checkpoint of batches dealt one by one is refused", async () => {
    const { state, resume } = startFrom(await run(change, stopAt(2)));
    const cursor = { pools: [], assignments: 2, nextStep: 2 };
    const dealt = { state, resume: { ...resume!, cursor } };
    const message = /batches one by one \(leased or central\): .*paceline train --resume/;
    await assert.rejects(run(change, {}, dealt), { code: "checkpoint", message });
  });

  test("a checkpoint whose chunks did not take every step together is refused", async () => {
    const { state, resume } = startFrom(await run(change, stopAt(2)));
    const [mark] = state.marks;
    const apart = [mark!, { ...mark!, version: mark!.version + 1 }];
    for (const marks of [apart, [{ ...mark!, sealedStep: -1 }]]) {
      assert.throws(() => assertBaselineStart({ state: { ...state, marks }, resume }, 3), {
        code: "checkpoint",
        message: /were not in step \(ssp or asp\): .*paceline train --resume/,
      });
    }
  });
});
