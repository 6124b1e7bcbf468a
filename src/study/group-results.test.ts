import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { demandComparable, groupResults, spreadOf } from "./group-results.js";
import type { StudyEpoch, StudyResult } from "./study-result.js";

function epoch(number: number, changes: Partial<StudyEpoch> = {}): StudyEpoch {
  return {
    epoch: number,
    longestSeconds: null,
    meanSeconds: null,
    testAccuracyPercent: null,
    trainAccuracyPercent: null,
    trainLoss: null,
    testLoss: null,
    ...changes,
  };
}

function result(changes: Partial<StudyResult> = {}): StudyResult {
  return {
    name: "sync_4workers",
    path: "a.json",
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
    crowded: false,
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

describe("mean and spread", () => {
  const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), {
    minLength: 2,
    maxLength: 20,
  });
  const near = (left: number, right: number, scale: number) =>
    assert.ok(Math.abs(left - right) <= 1e-9 * Math.max(1, scale), `${left} and ${right}`);

  test("are those over pairs: the variance is half the mean square distance", () => {
    fc.assert(
      fc.property(values, (numbers) => {
        const { mean, std, n } = spreadOf(numbers)!;
        const scale = Math.max(...numbers.map(Math.abs));
        near(mean, numbers.reduce((sum, one) => sum + one, 0) / numbers.length, scale);
        let squares = 0;
        for (const left of numbers) for (const right of numbers) squares += (left - right) ** 2;
        near(std! ** 2, squares / (2 * n * (n - 1)), scale ** 2);
        assert.equal(n, numbers.length);
      }),
    );
  });
  test("move with the values and leave out what is not known", () => {
    fc.assert(
      fc.property(values, fc.integer({ min: -1000, max: 1000 }), (numbers, shift) => {
        const plain = spreadOf(numbers)!;
        const moved = spreadOf([null, ...numbers.map((one) => one + shift), undefined])!;
        const scale = Math.max(1000, ...numbers.map(Math.abs));
        near(moved.mean, plain.mean + shift, scale);
        near(moved.std!, plain.std!, scale);
      }),
    );
  });
  test("of 2, 4 and 9 are 5 and the root of 13", () => {
    assert.deepEqual(spreadOf([2, 4, 9]), { mean: 5, std: Math.sqrt(13), n: 3 });
  });
  test("of one value have no spread, of none there is nothing", () => {
    assert.deepEqual(spreadOf([7]), { mean: 7, std: null, n: 1 });
    assert.equal(spreadOf([null]), null);
  });
});

describe("groups", () => {
  test("average runs that differ in seed and name, epoch by epoch", () => {
    const groups = groupResults([
      result({ epochs: [epoch(1, { testAccuracyPercent: 80, trainLoss: 2 })] }),
      result({
        name: "sync_4workers_run2",
        seed: 2,
        seconds: 14,
        accuracyPercent: 92,
        epochs: [epoch(1, { testAccuracyPercent: 90 }), epoch(2, { testAccuracyPercent: 92 })],
      }),
    ]);
    assert.equal(groups.length, 1);
    const [{ name, seconds, accuracyPercent, epochs, results }] = groups as [(typeof groups)[0]];
    assert.equal(name, "sync_4workers");
    assert.deepEqual(seconds, { mean: 12, std: Math.sqrt(8), n: 2 });
    assert.equal(accuracyPercent!.mean, 91);
    assert.deepEqual(
      epochs.map((row) => [row.epoch, row.testAccuracyPercent, row.trainLoss]),
      [
        [1, { mean: 85, std: Math.sqrt(50), n: 2 }, { mean: 2, std: null, n: 1 }],
        [2, { mean: 92, std: null, n: 1 }, null],
      ],
    );
    assert.equal(results.length, 2);
  });

  const unlike: readonly Partial<StudyResult>[] = [
    { mode: "async" },
    { workers: 8 },
    { servers: 2 },
    { model: "cnn6" },
    { data: "cifar10" },
    { data: null },
    { simulated: true },
    { crowded: true },
    { settings: { batchSize: 64, "schedule.lr": 0.1 } },
    { settings: { batchSize: 32 } },
  ];
  for (const changes of unlike) {
    test(`keep apart what differs in ${JSON.stringify(changes)}`, () => {
      assert.equal(groupResults([result(), result(changes)]).length, 2);
    });
  }

  test("do not care for the order of the settings", () => {
    const settings = { "schedule.lr": 0.1, batchSize: 32 };
    assert.equal(groupResults([result(), result({ settings })]).length, 1);
  });

  test("name runs that did not end well and average them never", () => {
    const failed = result({ outcome: "failed", seconds: 1000 });
    const [group] = groupResults([result(), failed, result({ outcome: null })]);
    assert.deepEqual(group!.seconds, { mean: 10, std: 0, n: 2 });
    assert.deepEqual(group!.unfinished, [failed]);
    assert.equal(groupResults([failed])[0]!.seconds, null);
  });
});

describe("results are comparable", () => {
  test("when data and model agree, or are not told", () => {
    demandComparable([result(), result({ data: null, model: null }), result({ mode: "async" })]);
    demandComparable([]);
  });
  test("and not when two files are of different data sets or models", () => {
    const files = [result({ data: null }), result(), result({ path: "b.json", data: "cifar10" })];
    assert.throws(() => demandComparable(files), {
      code: "usage",
      message:
        "results of different data sets can't be compared: a.json is of mnist, " +
        "b.json of cifar10; leave one of the two out",
    });
    const models = [result(), result({ path: "b.json", model: "logistic" })];
    assert.throws(
      () => demandComparable(models),
      /models .* a\.json is of mlp, b\.json of logistic/,
    );
  });
});
