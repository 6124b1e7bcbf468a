import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { openDnnl } from "../dist/nn/onednn/library.js";
import type { TraceEvent } from "../dist/runtime/trace/trace-file.js";
import { readCheckpoint } from "../dist/store/checkpoint/checkpoint.js";
import { readExperimentFile } from "../dist/store/runs/experiment-file.js";
import { makePlace, metricsOf } from "./run-paceline.js";

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
const workerFields = [
  "type",
  "worker_id",
  "total_workers",
  "total_training_time_seconds",
  "average_epoch_time_seconds",
  "epoch_times_seconds",
  "final_test_accuracy_percent",
  "all_accuracies_percent",
  "local_steps_completed",
  "batch_size",
  "learning_rate",
  "num_epochs",
];

const logistic = ["--model", "logistic", "--data", "mnist-parity", "--chunk-values", "200"];

test("four workers and two servers train in step, tell it and are gone", async (context) => {
  const place = await makePlace(context);
  const words = ["--model", "mlp", "--data", "mnist", "--batch-size", "16", "--epochs", "3"];
  const command = place.start(["train", ...words, "-w", "4", "-s", "2", "--name", "in-step"]);
  const { exitCode, out, err } = await command.end();
  assert.equal(exitCode, 0, command.told());
  assert.deepEqual(await place.leftovers(), []);

  const metrics = metricsOf(out);
  const servers = metrics.filter(({ type }) => type === "SERVER_FINAL_METRICS");
  const workers = metrics.filter(({ type }) => type === "WORKER_FINAL_METRICS");
  assert.equal(metrics.length, 5);
  assert.deepEqual(servers.map(Object.keys), [[...serverFields, "run"]]);
  assert.deepEqual(workers.map(Object.keys), Array(4).fill([...workerFields, "run"]));
  const steps = (3 * 512) / 4 / 16;
  const [server] = servers;
  assert.equal(server!.mode, "sync");
  assert.equal(server!.global_steps_completed, steps);
  assert.equal(server!.total_parameter_updates, steps);
  assert.equal(server!.gradients_processed, 4 * steps);
  assert.deepEqual(workers.map(({ worker_id: id }) => id).sort(), [0, 1, 2, 3]);
  for (const worker of workers) {
    assert.equal(worker.local_steps_completed, steps);
    assert.equal((worker.epoch_times_seconds as number[]).length, 3);
    assert.equal((worker.all_accuracies_percent as number[]).length, 3);
  }

  const file = place.path("runs", "in-step", "result.json");
  const result = await readExperimentFile(file);
  const { run, ...told } = server!;
  assert.match(String(run), /^in-step-[0-9a-f]{8}$/);
  assert.deepEqual(result.server_metrics, told);
  assert.equal(result.worker_metrics_aggregated.num_workers, 4);
  assert.equal(result.worker_metrics_aggregated.total_local_steps, 4 * steps);
  const accuracy = result.worker_metrics_aggregated.final_test_accuracy_percent!;
  assert.ok(accuracy > 80, `${accuracy} %`);

  const logs = await place.logs("in-step");
  const everything = `${err}${out}${logs}`;
  for (const rank of [0, 1, 2, 3]) {
    assert.match(everything, new RegExp(`Worker ${rank} registered with ID ${rank}`));
    assert.match(everything, new RegExp(`Worker ${rank} completed training!`));
  }
  for (const epoch of [1, 2, 3]) {
    assert.match(everything, new RegExp(`Epoch ${epoch}/3 completed`));
  }
  assert.match(everything, new RegExp(`Final test accuracy: ${accuracy.toFixed(2)}%`));
  assert.match(everything, /PARAMETER SERVER FINAL STATISTICS/);
});

test("SSP keeps its bound and ends with the staleness it saw", async (context) => {
  const place = await makePlace(context);
  const words = ["--mode", "ssp", "--staleness", "2", "-w", "3", "-s", "2", "--batch-size", "8"];
  const command = place.start(["train", ...logistic, ...words, "--epochs", "4", "--name", "ssp"]);
  const { exitCode, out } = await command.end();
  assert.equal(exitCode, 0, command.told());
  const [server] = metricsOf(out).filter(({ type }) => type === "SERVER_FINAL_METRICS");
  assert.deepEqual(Object.keys(server!), [...serverFields, ...asyncFields, "run"]);
  assert.equal(server!.mode, "ssp");
  const average = server!.average_gradient_staleness as number;
  const most = server!.max_staleness_observed as number;
  assert.ok(average > 0 && average <= most, `${average} of ${most}`);
  // While one worker takes a step, each of the two others may at most apply the steps that lie
  // between two ahead of it and two behind it, both ends counted.
  assert.ok(most <= 2 * 5, `${most}`);
});

test("ASP counts staleness, and the reject rule counts what it refused", async (context) => {
  const place = await makePlace(context);
  const rule = ["--staleness-rule", "reject", "--staleness-max", "0"];
  const words = ["--mode", "asp", ...rule, "-w", "4", "-s", "2", "--batch-size", "8"];
  const command = place.start(["train", ...logistic, ...words, "--epochs", "4", "--name", "asp"]);
  const { exitCode, out } = await command.end();
  assert.equal(exitCode, 0, command.told());
  const metrics = metricsOf(out);
  const [server] = metrics.filter(({ type }) => type === "SERVER_FINAL_METRICS");
  assert.deepEqual(Object.keys(server!), [...serverFields, ...asyncFields, "run"]);
  assert.equal(server!.mode, "async");
  assert.equal(server!.max_staleness_observed, 0);
  const steps = metrics.reduce((sum, one) => sum + Number(one.local_steps_completed ?? 0), 0);
  assert.equal(
    Number(server!.async_updates),
    steps,
    "a worker's steps are those that were applied",
  );
  const { paceline } = await place.result("asp");
  const { rejected } = paceline.staleness;
  assert.ok(rejected > 0, JSON.stringify(paceline));
  const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
  const [used, skipped] = (["examples", "skipped"] as const).map((what) =>
    sum(paceline.epochs.map((epoch) => epoch[what])),
  );
  assert.equal(skipped, 8 * rejected, "what was rejected is reported as skipped");
  assert.equal(used, 8 * steps);
});

const library = openDnnl();
const skip = library.dnnl === null && library.reason;

test("a checkpoint tells what computed, and the kernels it took", { skip }, async (context) => {
  const place = await makePlace(context, { train: 64 });
  const words = ["--model", "cnn6", "--data", "mnist", "-b", "8", "--max-steps", "2", "-e", "1"];
  const ways = ["--engine", "onednn", "--threads", "3", "--name", "told"];
  const run = ["-w", "2", "--eval-every", "none", ...ways];
  // What is said of the run counts, though its workers see the environment too.
  const ofRoles = { PACELINE_HOST: "0.0.0.0", PACELINE_HEALTH_SOCKET: place.path("socket") };
  const environment = { PACELINE_THREADS: "2", PACELINE_ADVERTISE: "192.0.2.1:9", ...ofRoles };
  const command = place.start(["train", ...words, ...run], environment);
  assert.equal((await command.end()).exitCode, 0, command.told());
  const [step] = await place.checkpoints("told");
  const path = place.path("runs", "told", "checkpoints", step!);
  const { manifest } = await readCheckpoint(path);
  const told = JSON.stringify(manifest.machine);
  assert.match(told, /oneDNN [23]\.\d+\.\d+ .*, f32, 3 threads/);
  assert.match(told, /"conv f32 8x1x28x28 to 32 kernel 3x3 stride 1x1 padding 1x1: [^"]+"/);
  assert.match(await place.logs("told"), /engine onednn: oneDNN/);
});

test("--json is result.json alone, --trace leaves spans of every process", async (context) => {
  const place = await makePlace(context, { train: 64 });
  const words = ["-w", "2", "-s", "2", "-b", "8", "-e", "1", "--eval-every", "none"];
  const told = ["--trace", "--json", "--name", "traced"];
  const command = place.start(["train", ...logistic, ...words, ...told]);
  const { exitCode, out } = await command.end();
  assert.equal(exitCode, 0, command.told());
  assert.deepEqual(JSON.parse(out), await place.result("traced"));
  // As Chrome has them.
  const text = await readFile(place.path("runs", "traced", "trace.json"), "utf8");
  const { traceEvents: events } = JSON.parse(text) as { traceEvents: readonly TraceEvent[] };
  const processes = events.filter(({ name }) => name === "process_name");
  const names = processes.map(({ args }) => args!.name).sort();
  assert.deepEqual(names, ["server-0", "server-1", "worker-0", "worker-1"]);
  const spans = events.filter(({ ph }) => ph === "X");
  for (const { name, pid } of processes.map(({ args, pid }) => ({ name: args!.name, pid }))) {
    const own = spans.filter((span) => span.pid === pid);
    const isWorker = name.startsWith("worker");
    const wanted = isWorker ? [/^forward$/, /^backward$/, /^push of/] : [/^chunk/];
    for (const one of wanted)
      assert.ok(
        own.some((span) => one.test(span.name)),
        `${name} ${one}`,
      );
    for (const { ts, dur } of own) assert.ok(ts! >= 0 && dur! >= 0, name);
  }
  assert.deepEqual(
    await readdir(place.path("runs", "traced")).then((all) => all.includes("trace")),
    false,
  );
});
