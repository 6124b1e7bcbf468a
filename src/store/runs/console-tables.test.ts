import assert from "node:assert/strict";
import { test } from "node:test";
import {
  epochTableHeading,
  epochTableRow,
  serverStatistics,
  summaryTable,
} from "./console-tables.js";
import { serverFinalMetrics } from "./experiment-file.js";

const row = {
  mode: "sync",
  workers: 4,
  seconds: 83.26,
  epochSeconds: 25.5,
  accuracyPercent: 97.118,
};

test("the summary table has the published columns, numbers to the right", () => {
  const lines = summaryTable([
    { experiment: "mlp-bsp-4w-001", ...row },
    { ...row, experiment: "mlp-asp-4w-001", mode: "async", workers: 16, accuracyPercent: null },
  ]);
  assert.deepEqual(lines, [
    "Experiment            Mode    Workers    Time(s)   Epoch(s)  Accuracy(%)",
    "--------------------  ------  -------  ---------  ---------  -----------",
    "mlp-bsp-4w-001        sync          4       83.3      25.50        97.12",
    "mlp-asp-4w-001        async        16       83.3      25.50            -",
  ]);
});

test("a long name widens its column for all rows", () => {
  const experiment = "a-very-long-name-of-an-experiment";
  const lines = summaryTable([
    { experiment, ...row },
    { experiment: "short", ...row },
  ]);
  assert.equal(new Set(lines.map((line) => line.length)).size, 1);
  assert.ok(lines[2]!.startsWith(`${experiment}  sync`));
  assert.equal(lines[2]!.indexOf("sync"), lines[3]!.indexOf("sync"));
});

test("a row for several runs shows how far they lie apart", () => {
  const deviations = { seconds: 1.24, epochSeconds: null, accuracyPercent: 0.315 };
  const [, , line] = summaryTable([{ experiment: "sync_4workers", ...row, deviations }]);
  assert.equal(
    line,
    "sync_4workers         sync          4  83.3 +- 1.2      25.50  97.12 +- 0.32",
  );
});

test("a summary of nothing is its heading", () => {
  assert.equal(summaryTable([]).length, 2);
});

test("epoch rows stand under their heading", () => {
  const epoch = { epoch: 1, epochs: 3, seconds: 12.345, loss: 0.31234, workers: 4 };
  const known = { trainAccuracyPercent: 91.254, accuracyPercent: 94.5, examplesPerSecond: 4862.4 };
  const nothing = { trainAccuracyPercent: null, accuracyPercent: null, loss: null };
  const unknown = { ...nothing, examplesPerSecond: Number.NaN };
  assert.deepEqual(
    [
      ...epochTableHeading(),
      epochTableRow({ ...epoch, ...known }),
      epochTableRow({ ...epoch, ...unknown, epoch: 10, epochs: 100 }),
    ],
    [
      "Epoch        Time(s)       Loss  Train(%)  Accuracy(%)  Examples/s  Workers",
      "---------  ---------  ---------  --------  -----------  ----------  -------",
      "1/3            12.35     0.3123     91.25        94.50        4862        4",
      "10/100         12.35          -         -            -           -        4",
    ],
  );
});

test("the servers' statistics close with the staleness in asynchronous modes only", () => {
  const totals = {
    protocol: "asp",
    workers: 4,
    trainingSeconds: 83.261,
    globalSteps: 1404,
    parameterUpdates: 1404,
    pushes: 1404,
    updateSeconds: 1.404,
    lr: Math.fround(0.1),
    asyncUpdates: 1400,
    stalenessSum: 4200,
    stalenessCount: 1400,
    stalenessMax: 6,
  };
  const rule = "=".repeat(60);
  const synchronous = [
    "Total workers:              4",
    "Total training time:        83.26 s",
    "Global steps completed:     1404",
    "Total parameter updates:    1404",
    "Gradients processed:        1404",
    "Average update time:        1.000 ms",
    "Updates per second:         16.86",
    "Learning rate:              0.1",
  ];
  assert.deepEqual(serverStatistics(serverFinalMetrics(totals)), [
    rule,
    "PARAMETER SERVER FINAL STATISTICS",
    rule,
    "Mode:                       async",
    ...synchronous,
    "Asynchronous updates:       1400",
    "Average gradient staleness: 3.00",
    "Maximum staleness observed: 6",
    rule,
  ]);
  const sync = serverStatistics(serverFinalMetrics({ ...totals, protocol: "bsp" }));
  assert.equal(sync.length, 13);
  assert.ok(!sync.some((line) => line.includes("staleness")));
});
