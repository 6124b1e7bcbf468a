import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServerStatistics, WorkerStatistics } from "../../protocol/messages.js";
import type { EpochRecord, EvaluationRecord, RunResult } from "../../protocol/run-events.js";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { idleServer, idleWorker } from "../../protocol/statistics.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { type RunFacts, runExperiment } from "./run-result.js";

const spec: RunSpec = {
  ...sampleSpec,
  run: "trial-1",
  name: "trial",
  seed: 7,
  trainExamples: 2000,
  testExamples: 100,
  workersMax: 2,
  servers: 2,
  schedule: { ...sampleSpec.schedule, name: "cosine", totalExamples: 4000 },
  epochs: 2,
  batchSize: 64,
  chunkValues: 262144,
  evaluateEvery: { unit: "epoch", count: 1 },
};

const server: ServerStatistics = {
  ...idleServer,
  versionMin: 32,
  versionMax: 32,
  chunks: 3,
  pushes: 64,
  updates: 96,
  updateSeconds: 0.96,
  bytesIn: 1000,
  bytesOut: 2000,
  lr: 0.01,
};

const evaluation = (epoch: number, step: number, final = false): EvaluationRecord => {
  const accuracyPercent = 90 + step / 16;
  const moment = { atSeconds: step / 4, trainedExamples: 125 * step };
  return { epoch, step, final, accuracyPercent, loss: 0.5, examples: 100, ...moment };
};

const epoch = (number: number, workerSeconds: EpochRecord["workerSeconds"]): EpochRecord => {
  const counts = { seconds: 4, examples: 2000, skipped: 3, workerSeconds };
  return { epoch: number, ...counts, trainLoss: 0.75, trainAccuracyPercent: 80 };
};

const result: RunResult = {
  outcome: "done",
  code: null,
  reason: "training is done",
  trainingSeconds: 8,
  globalSteps: 32,
  tornSteps: 1,
  skippedExamples: 6,
  epochs: [epoch(0, { 0: 4, 1: 3 }), epoch(1, { 0: 4, 1: 2 })],
  evaluations: [evaluation(0, 16), evaluation(1, 32, true)],
  servers: { 0: server, 1: { ...server, chunks: 1, updates: 32, updateSeconds: 0.32 } },
  workers: {},
};

const counts = (examples: number): WorkerStatistics => {
  const times = { inputSeconds: 1, computeSeconds: 6, waitSeconds: 3 };
  return { ...idleWorker, ...times, examples, steps: Math.ceil(examples / 64) };
};

const facts: RunFacts = {
  spec,
  result,
  exitCode: 0,
  workerCounts: new Map([
    [0, counts(2000)],
    [1, counts(2000)],
  ]),
  version: "1.2.3",
  commit: "abc",
  inOneProcess: false,
  crowded: true,
  engines: ["abacus"],
  algorithms: ["by hand"],
  machine: { cpu: "fast" },
  nodeVersion: "v20.0.0",
  startedAt: "2026-01-01T00:00:00.000Z",
  endedAt: "2026-01-01T00:01:00.000Z",
};

const of = (changes: Partial<RunResult>, more: Partial<RunFacts> = {}) =>
  runExperiment({ ...facts, ...more, result: { ...result, ...changes } });

test("the server's line stands for all servers, an update for all chunks", () => {
  assert.deepEqual(runExperiment(facts).server_metrics, {
    type: "SERVER_FINAL_METRICS",
    mode: "sync",
    total_workers: 2,
    total_training_time_seconds: 8,
    global_steps_completed: 32,
    total_parameter_updates: 32,
    gradients_processed: 64,
    average_update_time_seconds: 0.04,
    updates_per_second: 4,
    learning_rate: 0.1,
  });
});

test("asynchronous modes tell staleness over all servers", () => {
  const rule = { rule: "none", scale: 0.1, floor: 0.1, max: 5 } as const;
  const protocols: [Protocol, string][] = [
    [{ mode: "asp", staleness: rule }, "async"],
    [{ mode: "ssp", staleness: 3 }, "ssp"],
  ];
  for (const [protocol, mode] of protocols) {
    const sums = { stalenessSum: 30, stalenessCount: 10, stalenessMax: 4, rejected: 2 };
    const stale = { ...sums, stalenessCounts: [1, 0, 2] };
    const other = { ...server, stalenessCount: 5, stalenessCounts: [4, 1] };
    const servers = { 0: { ...server, ...stale }, 1: other };
    const { server_metrics, paceline } = of({ servers }, { spec: { ...spec, protocol } });
    assert.equal(server_metrics?.mode, mode);
    assert.equal(server_metrics?.async_updates, 64);
    assert.equal(server_metrics?.average_gradient_staleness, 2);
    assert.equal(server_metrics?.max_staleness_observed, 4);
    const counts = [5, 1, 2];
    assert.deepEqual(paceline.staleness, { average: 2, max: 4, rejected: 2, counts });
  }
});

test("each worker that took part has a line, with the steps that it took", () => {
  assert.deepEqual(runExperiment(facts).raw_worker_metrics[1], {
    type: "WORKER_FINAL_METRICS",
    worker_id: 1,
    total_workers: 2,
    total_training_time_seconds: 8,
    average_epoch_time_seconds: 2.5,
    epoch_times_seconds: [3, 2],
    final_test_accuracy_percent: 92,
    all_accuracies_percent: [91, 92],
    local_steps_completed: 32,
    batch_size: 64,
    learning_rate: 0.1,
    num_epochs: 2,
  });
  const workerCounts = new Map([
    [3, counts(10)],
    [4, counts(0)],
  ]);
  const ids = of({ epochs: [epoch(0, { 1: 2 })] }, { workerCounts }).raw_worker_metrics;
  assert.deepEqual(
    ids.map((worker) => [worker.worker_id, worker.local_steps_completed]),
    [
      [1, 0],
      [3, 1],
    ],
  );
});

test("an epoch that a worker took no part in has no time: no zero is a mean's or a least", () => {
  const epochs = [epoch(0, { 0: 4 }), epoch(1, { 0: 4, 1: 2 }), epoch(2, { 0: 4 })];
  const { raw_worker_metrics: workers, worker_metrics_aggregated: together } = of({ epochs });
  assert.deepEqual(
    workers.map((worker) => worker.epoch_times_seconds),
    [
      [4, 4, 4],
      [null, 2],
    ],
  );
  assert.deepEqual(
    workers.map((worker) => worker.average_epoch_time_seconds),
    [4, 2],
  );
  assert.equal(together.average_epoch_time_seconds, 3);
  assert.deepEqual(together.epoch_times_by_epoch, [
    { epoch: 1, max_time: 4, avg_time: 4, min_time: 4 },
    { epoch: 2, max_time: 4, avg_time: 3, min_time: 2 },
    { epoch: 3, max_time: 4, avg_time: 4, min_time: 4 },
  ]);
});

test("accuracies stand at their epochs, whatever the evaluations' cadence", () => {
  const epochs = [0, 1, 2, 3].map((number) => epoch(number, { 0: 4 }));
  const evaluations = [evaluation(0, 0), evaluation(1, 16), evaluation(3, 32, true)];
  const file = of({ epochs, evaluations });
  assert.deepEqual(file.raw_worker_metrics[0]?.all_accuracies_percent, [null, 91, null, 92]);
  assert.equal(file.raw_worker_metrics[0]?.final_test_accuracy_percent, 92);
  assert.deepEqual(
    file.worker_metrics_aggregated.accuracy_by_epoch.map((one) => [one.epoch, one.avg_accuracy]),
    [
      [2, 91],
      [4, 92],
    ],
  );
});

test("of several evaluations in an epoch the last one is its accuracy", () => {
  const evaluations = [evaluation(0, 0), evaluation(0, 8), evaluation(0, 16), evaluation(1, 24)];
  const accuracies = (changes: Partial<RunResult>) =>
    of(changes).raw_worker_metrics[0]?.all_accuracies_percent;
  assert.deepEqual(accuracies({ evaluations }), [91, 91.5]);
  const interrupted = { evaluations, epochs: [epoch(0, { 0: 1 })] };
  assert.deepEqual(accuracies(interrupted), [91]);
  const final = [...evaluations, evaluation(1, 32, true)];
  assert.deepEqual(accuracies({ ...interrupted, evaluations: final }), [91, 92]);
});

test("what the published form lacks stands in the object paceline, epochs from 1", () => {
  const { machine, node, spec: kept, ...rest } = runExperiment(facts).paceline;
  assert.deepEqual([machine, node, kept], [{ cpu: "fast" }, "v20.0.0", spec]);
  const epochs = {
    seconds: 4,
    trainLoss: 0.75,
    trainAccuracy: 80,
    examples: 2000,
    skipped: 3,
  };
  assert.deepEqual(rest, {
    version: "1.2.3",
    commit: "abc",
    protocol: "bsp",
    model: "mlp",
    data: "mnist",
    servers: 2,
    workers: 2,
    seed: 7,
    outcome: "done",
    reason: "training is done",
    exitCode: 0,
    startedAt: "2026-01-01T00:00:00.000Z",
    endedAt: "2026-01-01T00:01:00.000Z",
    trainingSeconds: 8,
    globalSteps: 32,
    evaluations: [
      { step: 16, epoch: 1, accuracy: 91, loss: 0.5, seconds: 4, examples: 2000, final: false },
      { step: 32, epoch: 2, accuracy: 92, loss: 0.5, seconds: 8, examples: 4000, final: true },
    ],
    epochs: [
      { epoch: 1, ...epochs },
      { epoch: 2, ...epochs },
    ],
    phases: [],
    tornSteps: 1,
    skippedExamples: 6,
    staleness: { average: 0, max: 0, rejected: 0, counts: [] },
    stepTimes: { inputSeconds: 2 / 64, computeSeconds: 12 / 64, waitSeconds: 6 / 64 },
    inOneProcess: false,
    crowded: true,
    engines: ["abacus"],
    algorithms: ["by hand"],
    simulated: false,
    bytesIn: 2000,
    bytesOut: 4000,
  });
});

test("a run that never came to training has no metrics, but its outcome", () => {
  const failed = { outcome: "failed", reason: "nobody came", trainingSeconds: 0 } as const;
  const nothing = { globalSteps: 0, epochs: [], evaluations: [], servers: {} };
  const file = of({ ...failed, ...nothing }, { exitCode: 3 });
  assert.equal(file.server_metrics, null);
  assert.deepEqual(file.raw_worker_metrics, []);
  assert.equal(file.worker_metrics_aggregated.num_workers, 0);
  const { outcome, reason, exitCode } = file.paceline;
  assert.deepEqual([outcome, reason, exitCode], ["failed", "nobody came", 3]);
});

test("of a run that went on from a checkpoint the bytes are not known", () => {
  const { bytesIn, bytesOut } = of({ earlierWorkers: { 0: idleWorker } }).paceline;
  assert.deepEqual([bytesIn, bytesOut], [null, null]);
});
