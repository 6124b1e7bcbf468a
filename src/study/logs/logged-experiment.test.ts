import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import {
  experimentFile,
  metricsLine,
  serverFinalMetrics,
  workerFinalMetrics,
} from "../../store/runs/experiment-file.js";
import { resultLines } from "../../store/runs/result-lines.js";
import { type LogQuestion, loggedExperiment } from "./logged-experiment.js";
import { LogReader } from "./read-logs.js";

const server = (globalSteps: number) =>
  serverFinalMetrics({
    ...{ protocol: "bsp", workers: 3, trainingSeconds: 10, globalSteps },
    ...{ parameterUpdates: globalSteps, pushes: 3 * globalSteps, updateSeconds: 1, lr: 0.1 },
    ...{ asyncUpdates: 0, stalenessSum: 0, stalenessCount: 0, stalenessMax: 0 },
  });
const worker = (rank: number, steps = 20) =>
  workerFinalMetrics({
    ...{ rank, workers: 3, trainingSeconds: 10, epochSeconds: [4, 5], steps },
    ...{ accuraciesPercent: [50, 60], batchSize: 16, lr: 0.1, epochs: 2 },
  });
/** A line of a system that names no run. */
const unnamed = (line: string) => line.replace(/,"run":"[^"]*"/, "");
const run = "demo-0123abcd";
const ofServer = metricsLine(server(20), run);
const ofWorkers = [0, 1, 2].map((rank) => metricsLine(worker(rank), run));

async function read(
  logs: Readonly<Record<string, readonly string[]>>,
  asked: Partial<LogQuestion> = {},
) {
  const reader = new LogReader();
  for (const [name, lines] of Object.entries(logs)) {
    await reader.takeStream(name, Readable.from([lines.join("\n")]));
  }
  return loggedExperiment({
    ...{ logs: reader.logs, signs: reader.signs, name: null, run: null },
    ...{ timestamp: "2026-03-01T00:00:00.000Z", source: "the logs", remedy: "read more" },
    ...asked,
  });
}

describe("a run", () => {
  test("is told once by each, in any order and however often", async () => {
    const lines = [...ofWorkers, ofServer, ...ofWorkers].reverse();
    const { experiment, gaps, notes } = await read({ "all.log": lines });
    const workers = [worker(0), worker(1), worker(2)];
    const timestamp = "2026-03-01T00:00:00.000Z";
    const expected = experimentFile({ name: "demo", timestamp, server: server(20), workers });
    assert.deepEqual(experiment, expected);
    assert.deepEqual([gaps, notes], [[], []]);
  });

  test("has a worker's most steps, where a worker of that id told twice", async () => {
    const early = metricsLine(worker(1, 7), run);
    const { experiment, notes } = await read({ "all.log": [ofServer, ...ofWorkers, early] });
    assert.equal(experiment.raw_worker_metrics[1]!.local_steps_completed, 20);
    assert.deepEqual(notes, ["worker 1 told 2 times: the most steps count"]);
  });

  test("is of the last line's time, where lines have one", async () => {
    const at = (line: string, second: number) => `2026-03-01 10:00:0${second},250 ${line}`;
    const lines = [...ofWorkers, ofServer].map((line, index) => at(line, index));
    const { experiment } = await read({ "all.log": lines });
    assert.equal(experiment.timestamp, "2026-03-01T10:00:03.250Z");
  });

  test("is the whole result where all its parts are there, else what the lines say", async () => {
    const paceline = { spec: { run }, long: "é".repeat(5000) };
    const parts = { name: "demo", timestamp: "2026-01-01T00:00:00.000Z", paceline };
    const whole = experimentFile({ ...parts, server: server(20), workers: [worker(0)] });
    const lines = resultLines(whole);
    assert.ok(lines.length > 2, `${lines.length}`);
    for (const line of lines) assert.ok(Buffer.byteLength(line) < 4096, "a pipe takes it whole");
    const all = [...lines].reverse();
    const found = await read({ "all.log": [...all, lines[1]!, ...ofWorkers] });
    assert.deepEqual(found.experiment, whole);
    const cut = [...lines.slice(1), lines[0]!.slice(0, 3000), ...ofWorkers, ofServer];
    const { experiment } = await read({ "all.log": cut });
    assert.equal(experiment.paceline, undefined);
    assert.equal(experiment.raw_worker_metrics.length, 3);
    const changed = lines.map((line) => line.replace('"demo"', '"dome"'));
    const { experiment: other } = await read({ "all.log": [...changed, ...ofWorkers] });
    assert.equal(other.experiment_name, "demo", "a part that was changed is not believed");
  });
});

describe("what is missing", () => {
  const about = (rank: number, gaps: readonly string[]) =>
    gaps.find((gap) => gap.startsWith(`worker ${rank} of 3 is missing: `)) ?? "";

  test("is named with what the logs say of it", async () => {
    const { gaps } = await read({
      "c.log": ["Worker 1 registered with ID 1 (pid 9 on b)", ofServer],
      "w0.log": [ofWorkers[0]!],
      "w2.log": [
        "2026-03-01T00:00:00.000Z worker: Worker 2 registered with ID 2",
        "paceline: no memory is left: give the container more",
      ],
    });
    assert.equal(gaps.length, 2);
    assert.match(about(1, gaps), /it registered \(c.log:1: .*\), and its own log is not among/);
    assert.match(about(2, gaps), /it failed \(w2.log:2: paceline: no memory is left.*; read more$/);
  });

  test("is a line that is cut off, a lost worker, a server that never told", async () => {
    const silent = "worker-2 silent for 3.0 s: lost at step 8, going on with 2 workers";
    const lines = [ofWorkers[0]!, ofWorkers[1]!.slice(0, 120), silent, "", "", "", "x", "y", "z"];
    const { gaps } = await read({ "all.log": lines });
    assert.match(about(1, gaps), /its line is cut off at all.log:2/);
    assert.match(about(2, gaps), /the coordinator lost it \(all.log:3: worker-2 silent/);
    assert.match(gaps[0]!, /^the servers' metrics are missing: the coordinator's log is not/);
  });

  test("is everything: logs without metrics say why", async () => {
    await assert.rejects(read({ "a.log": ["hello", "world"] }), {
      code: "data",
      message:
        "the logs (2 lines) hold no METRICS_JSON line: no line is of a run (a coordinator and " +
        "workers print them where standard output is no terminal, and not with --json); the " +
        "last line is a.log:2: world; read more",
    });
    const begun = ["training starts with 2 workers and 1 server", "Epoch 1/9 completed"];
    await assert.rejects(read({ "a.log": begun }), /the run had not ended when these lines/);
    await assert.rejects(read({}), /\(0 lines\) hold no METRICS_JSON line: there is not one line/);
    await assert.rejects(read({ "a.log": [ofServer.slice(0, 40)] }), /1 are cut off \(a.log:1\)/);
    const odd = 'METRICS_JSON: {"type":"WORKER_FINAL_METRICS","worker_id":"one"}';
    await assert.rejects(read({ "a.log": [odd] }), /have another form \(a.log:1: worker_id/);
  });
});

describe("several runs in one log", () => {
  const other = "other-89abcdef";
  const both = [ofServer, ...ofWorkers, metricsLine(server(9), other)];

  test("are named, and one is chosen by its id, its beginning or its name", async () => {
    await assert.rejects(read({ "a.log": both }), (error: Error) => {
      assert.match(error.message, /^the logs hold 2 runs: demo-0123abcd \(the servers, workers 0/);
      assert.match(error.message, /; other-89abcdef \(the servers\); choose one, e.g. --run demo-/);
      return true;
    });
    for (const asked of [
      { run: "other" },
      { run: other },
      { run: "other-89" },
      { name: "other" },
    ]) {
      const { experiment } = await read({ "a.log": both }, asked);
      assert.equal(experiment.experiment_name, "other");
      assert.equal(experiment.server_metrics?.global_steps_completed, 9);
    }
    await assert.rejects(read({ "a.log": both }, { run: "third" }), /no run of the logs is third/);
  });

  test("that name none are noticed by numbers that can't be of one", async () => {
    const one = [ofServer, ...ofWorkers].map(unnamed);
    const { experiment } = await read({ "a.log": [...one, ...one] }, { name: "ecs" });
    assert.equal(experiment.raw_worker_metrics.length, 3);
    await assert.rejects(read({ "a.log": one }), /name no experiment; write --experiment-name/);
    const twice = [...one, unnamed(metricsLine(worker(0, 99), run))];
    await assert.rejects(
      read({ "a.log": twice }, { name: "ecs" }),
      /worker 0 told different numbers \(a.log:2 and a.log:5\), so these are of several runs/,
    );
  });
});

test("the rest of a cut line is not taken from another process", async () => {
  const [first, second] = ofWorkers as [string, string];
  const lines = [first.slice(0, 70), second.slice(0, 70), first.slice(70), second.slice(70)];
  await assert.rejects(read({ "a.log": lines }), /2 are cut off/);
  const { experiment } = await read({ "a.log": [first.slice(0, 70), "", first.slice(70)] });
  assert.deepEqual(experiment.raw_worker_metrics, [worker(0)]);
});
