import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { PacelineError } from "../../errors.js";
import {
  experimentFile,
  metricsLine,
  modeWord,
  readExperimentFile,
  type ServerTotals,
  serverFinalMetrics,
  type WorkerTotals,
  workerFinalMetrics,
} from "./experiment-file.js";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-experiment-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const totals: ServerTotals = {
  protocol: "bsp",
  workers: 4,
  trainingSeconds: 50,
  globalSteps: 200,
  parameterUpdates: 200,
  pushes: 800,
  updateSeconds: 0.4,
  lr: 0.1,
  asyncUpdates: 790,
  stalenessSum: 2370,
  stalenessCount: 790,
  stalenessMax: 5,
};

function worker(
  rank: number,
  epochs: (number | null)[],
  accuracies: (number | null)[],
  steps = 10,
): WorkerTotals {
  return {
    rank,
    workers: 3,
    trainingSeconds: epochs.reduce((sum: number, seconds) => sum + (seconds ?? 0), 1),
    epochSeconds: epochs,
    accuraciesPercent: accuracies,
    steps,
    batchSize: 128,
    lr: 0.1,
    epochs: 3,
  };
}

const serverFields = [
  "type",
  "mode",
  "total_workers",
  "total_training_time_seconds",
  "global_steps_completed",
  "total_parameter_updates",
  "gradients_processed",
  "average_update_time_seconds",
  "updates_per_second",
  "learning_rate",
];
const asyncFields = ["async_updates", "average_gradient_staleness", "max_staleness_observed"];

test("a BSP server's line has the published fields in their order and no staleness", () => {
  const metrics = serverFinalMetrics(totals);
  assert.deepEqual(Object.keys(metrics), serverFields);
  assert.equal(
    metricsLine(metrics, "a-run"),
    'METRICS_JSON: {"type":"SERVER_FINAL_METRICS","mode":"sync","total_workers":4,' +
      '"total_training_time_seconds":50,"global_steps_completed":200,' +
      '"total_parameter_updates":200,"gradients_processed":800,' +
      '"average_update_time_seconds":0.002,"updates_per_second":4,"learning_rate":0.1,' +
      '"run":"a-run"}',
  );
});

test("nor has a server's of another mode in which all take each step", () => {
  for (const protocol of ["local", "k-of-n", "quorum"]) {
    assert.deepEqual(Object.keys(serverFinalMetrics({ ...totals, protocol })), serverFields);
  }
});

test("ASP's and SSP's lines add the staleness fields", () => {
  for (const [protocol, mode] of [
    ["asp", "async"],
    ["ssp", "ssp"],
  ] as const) {
    const metrics = serverFinalMetrics({ ...totals, protocol });
    assert.deepEqual(Object.keys(metrics), [...serverFields, ...asyncFields]);
    assert.equal(metrics.mode, mode);
    assert.deepEqual(
      [metrics.async_updates, metrics.average_gradient_staleness, metrics.max_staleness_observed],
      [790, 3, 5],
    );
  }
  assert.equal(modeWord("hybrid"), "hybrid");
});

test("a run of no time and no updates divides nothing by zero", () => {
  const nothing = { trainingSeconds: 0, parameterUpdates: 0, stalenessCount: 0, stalenessSum: 0 };
  const metrics = serverFinalMetrics({ ...totals, ...nothing, protocol: "asp" });
  assert.deepEqual(
    [
      metrics.average_update_time_seconds,
      metrics.updates_per_second,
      metrics.average_gradient_staleness,
    ],
    [0, 0, 0],
  );
});

test("a worker's line has the published fields in their order", () => {
  assert.equal(
    metricsLine(workerFinalMetrics(worker(2, [3, 4.5], [90.5, 97.25])), "a-run"),
    'METRICS_JSON: {"type":"WORKER_FINAL_METRICS","worker_id":2,"total_workers":3,' +
      '"total_training_time_seconds":8.5,"average_epoch_time_seconds":3.75,' +
      '"epoch_times_seconds":[3,4.5],"final_test_accuracy_percent":97.25,' +
      '"all_accuracies_percent":[90.5,97.25],"local_steps_completed":10,"batch_size":128,' +
      '"learning_rate":0.1,"num_epochs":3,"run":"a-run"}',
  );
});

test("numbers have two to four decimals as published files do, and none becomes zero by it", () => {
  const third = 1 / 3;
  const server = serverFinalMetrics({
    ...totals,
    protocol: "asp",
    trainingSeconds: 50 + third,
    updateSeconds: third,
    stalenessSum: 1,
    stalenessCount: 3,
  });
  assert.deepEqual(
    [
      server.total_training_time_seconds,
      server.average_update_time_seconds,
      server.updates_per_second,
      server.average_gradient_staleness,
    ],
    [50.3333, 0.0017, 3.97, 0.33],
  );
  assert.equal(
    serverFinalMetrics({ ...totals, updateSeconds: 1e-3 }).average_update_time_seconds,
    5e-6,
  );
  const own = workerFinalMetrics(worker(0, [third, null, 2e-5, null], [third, null, 97.126, null]));
  assert.deepEqual(own.epoch_times_seconds, [0.3333, null, 2e-5]);
  assert.deepEqual(own.all_accuracies_percent, [0.33, null, 97.13]);
  assert.equal(own.final_test_accuracy_percent, 97.13);
  assert.equal(own.average_epoch_time_seconds, 0.1667);
});

test("workers with fewer epochs count only where they have one", () => {
  const workers = [
    worker(2, [2, 4, 9], [50, 80, 91], 30),
    worker(0, [4, 2], [60, 70], 20),
    worker(1, [], [], 0),
    worker(3, [null, null, null], [], 0),
  ].map(workerFinalMetrics);
  const timestamp = "2024-05-06T07:08:09Z";
  const server = serverFinalMetrics(totals);
  const file = experimentFile({ name: "uneven", timestamp, server, workers });
  assert.deepEqual(Object.keys(file), [
    "experiment_name",
    "timestamp",
    "server_metrics",
    "worker_metrics_aggregated",
    "raw_worker_metrics",
  ]);
  const order = file.raw_worker_metrics.map((metrics) => metrics.worker_id);
  assert.deepEqual(order, [0, 1, 2, 3]);
  const { per_worker_metrics, ...aggregated } = file.worker_metrics_aggregated;
  assert.equal(per_worker_metrics.length, 4);
  assert.deepEqual(aggregated, {
    num_workers: 4,
    total_training_time_seconds: 16,
    average_epoch_time_seconds: 4,
    final_test_accuracy_percent: 80.5,
    total_local_steps: 50,
    epoch_times_by_epoch: [
      { epoch: 1, max_time: 4, avg_time: 3, min_time: 2 },
      { epoch: 2, max_time: 4, avg_time: 3, min_time: 2 },
      { epoch: 3, max_time: 9, avg_time: 9, min_time: 9 },
    ],
    accuracy_by_epoch: [
      { epoch: 1, avg_accuracy: 55, max_accuracy: 60, min_accuracy: 50 },
      { epoch: 2, avg_accuracy: 75, max_accuracy: 80, min_accuracy: 70 },
      { epoch: 3, avg_accuracy: 91, max_accuracy: 91, min_accuracy: 91 },
    ],
  });
});

test("without workers the aggregate says so instead of inventing zeros", () => {
  const parts = { name: "none", timestamp: "", server: null, workers: [] };
  const file = experimentFile({ ...parts, paceline: { note: 1 } });
  assert.deepEqual(file.worker_metrics_aggregated, {
    num_workers: 0,
    total_training_time_seconds: null,
    average_epoch_time_seconds: null,
    final_test_accuracy_percent: null,
    total_local_steps: 0,
    per_worker_metrics: [],
    epoch_times_by_epoch: [],
    accuracy_by_epoch: [],
  });
  assert.deepEqual(file.paceline, { note: 1 });
});

async function readBack(content: unknown): Promise<unknown> {
  const path = join(folder, "experiment.json");
  await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
  return readExperimentFile(path);
}

test("what was written is read back equal", async () => {
  const workers = [worker(0, [1, 2], [80, 90]), worker(1, [null, 3], [null, 90])].map(
    workerFinalMetrics,
  );
  for (const server of [serverFinalMetrics({ ...totals, protocol: "asp" }), null]) {
    const file = experimentFile({ name: "x", timestamp: "t", server, workers, paceline: { a: 1 } });
    assert.deepEqual(await readBack(file), file);
  }
});

test("a file of others is read though fields are missing or more", async () => {
  const metrics = { ...workerFinalMetrics(worker(0, [2], [17.5])), region: "us-west-2" };
  const { type: _, ...untyped } = metrics;
  const read = await readBack({
    experiment_name: "ecs",
    timestamp: "2025-01-01",
    worker_metrics_aggregated: { num_workers: 9, per_worker_metrics: [untyped] },
  });
  const expected = experimentFile({
    name: "ecs",
    timestamp: "2025-01-01",
    server: null,
    workers: [metrics],
  });
  assert.deepEqual(read, expected);
  const bare = { experiment_name: "e", timestamp: "t", raw_worker_metrics: null };
  const empty = experimentFile({ name: "e", timestamp: "t", server: null, workers: [] });
  assert.deepEqual(await readBack(bare), empty);
});

test("a file that is no experiment is a usage error that names the field", async () => {
  const good = experimentFile({ name: "e", timestamp: "t", server: null, workers: [] });
  const cases: [content: unknown, message: RegExp][] = [
    ["{", /experiment\.json is not JSON: give an experiment file/],
    [[], /the whole: .*; give a run's result\.json/],
    [{ ...good, experiment_name: 7 }, /experiment_name: /],
    [{ ...good, server_metrics: { mode: "sync" } }, /server_metrics\.total_workers: /],
    [{ ...good, raw_worker_metrics: [{}] }, /raw_worker_metrics\.0\.worker_id: /],
    [
      {
        ...good,
        raw_worker_metrics: [2, 2].map((rank) => workerFinalMetrics(worker(rank, [], []))),
      },
      /lists worker 2 twice in raw_worker_metrics/,
    ],
    ['{"timestamp": "a", "timestamp": "b"}', /timestamp stands twice, as "a" and "b"/],
  ];
  for (const [content, message] of cases) {
    await assert.rejects(readBack(content), (thrown) => {
      assert.ok(thrown instanceof PacelineError && thrown.code === "usage", String(thrown));
      assert.match(thrown.message, message);
      return true;
    });
  }
  await assert.rejects(readExperimentFile(join(folder, "none.json")), /no such file or folder/);
});
