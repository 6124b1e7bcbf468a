import assert from "node:assert/strict";
import { test } from "node:test";
import {
  at,
  done,
  epoch,
  lost,
  member,
  picture,
  recordReport,
  steps,
} from "./testing/recorded-report.js";

test("events.jsonl has every event with its time, epochs counted from 1", () => {
  const recorded = recordReport();
  recorded.clock.ms = 1500;
  recorded.report.onEvent(lost);
  recorded.report.onEvent(epoch(0));
  const { kind, text, epoch: _, ...record } = epoch(0);
  assert.deepEqual(recorded.events, [
    { time: at(1500), ...lost },
    { time: at(1500), kind, text, epoch: 1, ...record },
  ]);
  assert.deepEqual(recorded.metrics, [{ kind, time: at(1500), epoch: 1, ...record }]);
});

test("cluster.json is rewritten when somebody has come or gone, and only then", () => {
  const recorded = recordReport();
  const all = [member("server", 0), member("worker", 0)];
  recorded.report.onSnapshot(picture([]));
  recorded.report.onSnapshot(picture(all));
  recorded.report.onSnapshot(picture([all[0]!, member("worker", 0, { activity: "resting" })]));
  recorded.report.onSnapshot(picture([all[0]!, member("worker", 0, { pid: 99 })]));
  const coordinator = { role: "coordinator", id: 0, pid: 1, host: "box" };
  const self = { ...coordinator, address: "127.0.0.1:8000" };
  const server = { role: "server", id: 0, pid: 10, host: "box", address: "127.0.0.1:9000" };
  const worker = { role: "worker", id: 0, pid: 10, host: "box", address: "" };
  assert.deepEqual(recorded.clusters, [
    [self],
    [self, server, worker],
    [self, server, { ...worker, pid: 99 }],
  ]);
});

test("metrics.jsonl has a row, and standard error a line, every so many steps", () => {
  const recorded = recordReport({ options: { logEvery: { unit: "step", count: 10 } } });
  const { report, clock } = recorded;
  const snapshot = (globalSteps: number) =>
    report.onSnapshot(
      picture([member("worker", 0, { worker: steps(globalSteps) })], { globalSteps }),
    );
  for (const step of [0, 4, 9, 12, 19, 40, 41]) {
    clock.ms = 100 * step;
    snapshot(step);
  }
  assert.deepEqual(recorded.err(), [
    "step 10: loss 2.0000, 100 examples/s",
    "step 20: loss 2.0000, 100 examples/s",
    "step 30: loss 2.0000, 100 examples/s",
    "step 40: loss 2.0000, 100 examples/s",
  ]);
  assert.deepEqual(
    [recorded.metrics[0], recorded.metrics[3]],
    [
      {
        kind: "step",
        time: at(1200),
        seconds: 1,
        step: 10,
        epoch: 1,
        examples: 100,
        loss: 2,
        examplesPerSecond: 100,
        workers: [{ rank: 0, clock: 12, computeSeconds: 12, waitSeconds: 6 }],
        staleness: null,
      },
      {
        kind: "step",
        time: at(4000),
        seconds: 4,
        step: 40,
        epoch: 1,
        examples: 400,
        loss: 2,
        examplesPerSecond: 100,
        workers: [{ rank: 0, clock: 40, computeSeconds: 40, waitSeconds: 20 }],
        staleness: null,
      },
    ],
  );
});

test("each epoch has a row, the last one from what members said in leaving", async () => {
  const recorded = recordReport();
  const { report, clock } = recorded;
  report.onSnapshot(picture([member("worker", 0)]));
  clock.ms = 1000;
  report.onEvent(epoch(0));
  report.onSnapshot(picture([member("worker", 0, { worker: steps(10) })], { globalSteps: 10 }));
  clock.ms = 2000;
  report.onEvent(epoch(1));
  report.onSnapshot(picture([], { phase: "idle" }));
  await report.finish({ ...done, workers: { 0: steps(20) } });
  const rows = recorded.metrics.filter((row) => "step" in row && "workers" in row);
  assert.deepEqual(
    rows.map((row) => ["step", "examples", "seconds"].map((key) => row[key as keyof object])),
    [
      [10, 100, 1],
      [20, 200, 2],
    ],
  );
});
