import assert from "node:assert/strict";
import { test } from "node:test";
import { compareResults } from "./compare-runs.js";
import type { StudyResult } from "./study-result.js";

function result(name: string, changes: Partial<StudyResult> = {}): StudyResult {
  return {
    name,
    path: `${name}.json`,
    mode: "sync",
    workers: 4,
    servers: 1,
    model: "mlp",
    data: "mnist",
    seed: 1,
    outcome: "done",
    settings: { batchSize: 32, "schedule.lr": 0.1 },
    inOneProcess: null,
    simulated: false,
    crowded: null,
    seconds: 10,
    epochSeconds: 5,
    accuracyPercent: 90,
    epochs: [],
    evaluations: [],
    stalenessCounts: null,
    stepTimes: null,
    bytesIn: null,
    bytesOut: null,
    ...changes,
  };
}

function evaluations(...rows: readonly (readonly [seconds: number, percent: number])[]) {
  return rows.map(([seconds, accuracyPercent], index) => {
    return { seconds, step: index, examples: null, accuracyPercent, loss: 1 };
  });
}

test("others are measured by the first", () => {
  const { against } = compareResults([
    result("a"),
    result("b", { seconds: 5, epochSeconds: 2, accuracyPercent: 88.5 }),
    result("c", { seconds: null, epochSeconds: 0, accuracyPercent: null }),
  ]);
  assert.deepEqual(against, [
    { name: "b", speedup: 2, epochSpeedup: 2.5, accuracyDifference: -1.5 },
    { name: "c", speedup: null, epochSpeedup: null, accuracyDifference: null },
  ]);
});

test("differences are those that two files tell", () => {
  const { differences } = compareResults([
    result("a", { servers: null, settings: { batchSize: 32, "schedule.lr": 0.1, maxSteps: null } }),
    result("b", { seed: 2, settings: { batchSize: 32, "schedule.lr": 0.2, maxSteps: 10 } }),
    result("c", { settings: { batchSize: 32 } }),
  ]);
  assert.deepEqual(differences, [
    { option: "seed", values: [1, 2, 1] },
    { option: "maxSteps", values: [null, 10, undefined] },
    { option: "schedule.lr", values: [0.1, 0.2, undefined] },
  ]);
});

test("the common accuracy is the highest that all evaluated runs reached, with its times", () => {
  const { common } = compareResults([
    result("a", { evaluations: evaluations([1, 50], [2, 80], [3, 79], [4, 85]) }),
    result("b", { evaluations: evaluations([2, 60], [4, 79], [6, 78]) }),
    result("c"),
  ]);
  assert.deepEqual(common, { accuracyPercent: 79, seconds: [2, 4, null] });
  assert.equal(
    compareResults([result("a"), result("b", { evaluations: evaluations([1, 5]) })]).common,
    null,
  );
});

test("accuracies of two data sets are not compared, and that is said", () => {
  const evaluated = { evaluations: evaluations([1, 50]) };
  const { against, common, remarks } = compareResults([
    result("a", evaluated),
    result("b", { ...evaluated, data: "cifar10", seconds: 20 }),
  ]);
  assert.deepEqual(against[0], {
    name: "b",
    speedup: 0.5,
    epochSpeedup: 1,
    accuracyDifference: null,
  });
  assert.equal(common, null);
  assert.deepEqual(remarks, [
    "accuracies of a and b are not compared: they are of mnist and cifar10",
  ]);
});

test("a run is not compared with itself, whatever its file is called", () => {
  const runs = [result("a", { identity: "1" }), result("b", { identity: "1", path: "copy.json" })];
  assert.throws(() => compareResults(runs), {
    code: "usage",
    message: /copy\.json are of one run, b; name two different runs to compare$/,
  });
});

test("a run that did not come to its end is named", () => {
  const runs = [result("a", { outcome: "failed" }), result("b", { outcome: "interrupted" })];
  assert.deepEqual(compareResults(runs).remarks, [
    "a did not finish: it failed",
    "b did not finish: it was interrupted",
  ]);
});
