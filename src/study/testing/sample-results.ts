/** Results made by hand, of every shape that charts meet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../random.js";
import type { StudyResult } from "../study-result.js";

/** A result that tells everything, with some fields changed. */
export function sampleResult(
  mode: string,
  workers: number,
  changes: Partial<StudyResult> & { readonly epochCount?: number } = {},
): StudyResult {
  const { epochCount = 3, ...fields } = changes;
  const seed = fields.seed ?? 1;
  const random = new Random(seed, mode, workers, "sample");
  const rate = mode === "sync" ? 1 : 0.85;
  const seconds = (96 * rate) / workers ** 0.7 + random.float();
  const epochSeconds = seconds / epochCount;
  const final = 98 - 0.15 * Math.log2(workers) - (mode === "sync" ? 0 : 0.4) + random.normal() / 20;
  const numbers = Array.from({ length: epochCount }, (_, index) => index + 1);
  const accuracyAfter = (epoch: number) => final - 9 * (0.5 ** epoch - 0.5 ** epochCount);
  return {
    name: `${mode}_${workers}workers`,
    path: `experiment_results/${mode}_${workers}workers.json`,
    mode,
    workers,
    servers: 2,
    model: "mlp",
    data: "mnist",
    seed,
    outcome: "done",
    settings: { batchSize: 128, "schedule.lr": 0.1, epochs: epochCount },
    inOneProcess: null,
    simulated: false,
    crowded: workers > 2,
    seconds,
    epochSeconds,
    accuracyPercent: final,
    epochs: numbers.map((epoch) => ({
      epoch,
      longestSeconds: epochSeconds * (1 + 0.1 * random.float()),
      meanSeconds: epochSeconds,
      testAccuracyPercent: accuracyAfter(epoch),
      trainAccuracyPercent: accuracyAfter(epoch) + 0.9 - 1 / epoch,
      trainLoss: 0.6 / epoch + 0.02 * random.float(),
      testLoss: 0.5 / epoch + 0.05,
    })),
    evaluations: numbers.map((epoch) => ({
      seconds: epoch * epochSeconds,
      step: epoch * 100,
      examples: epoch * 60_000,
      accuracyPercent: accuracyAfter(epoch),
      loss: 0.5 / epoch + 0.05,
    })),
    stalenessCounts:
      mode === "sync"
        ? [4000]
        : Array.from({ length: 17 }, (_, s) => (s < 2 * workers ? 4000 >> s : 0)),
    stepTimes: {
      inputSeconds: 0.0011,
      computeSeconds: 0.0123 + 0.001 * random.float(),
      waitSeconds: 0.003 * workers * rate,
    },
    bytesIn: 1e9,
    bytesOut: 1e9,
    ...fields,
  };
}

/** Some modes at some worker counts, each with some seeds. */
export function sampleSuite(
  modes: readonly string[],
  counts: readonly number[],
  seeds: number,
  changes: Parameters<typeof sampleResult>[2] = {},
): StudyResult[] {
  const numbers = Array.from({ length: seeds }, (_, index) => index + 1);
  return modes.flatMap((mode) =>
    counts.flatMap((workers) =>
      numbers.map((seed) => {
        const name = `${mode}_${workers}workers${seeds === 1 ? "" : `_run${seed}`}`;
        return sampleResult(mode, workers, { name, seed, ...changes });
      }),
    ),
  );
}

/** What a file of the published form tells: no model, no evaluations, nothing of Paceline's. */
export function publishedResult(mode: string, workers: number, seconds: number): StudyResult {
  const unknown = { servers: null, model: null, data: null, seed: null, outcome: null };
  const own = {
    crowded: null,
    stalenessCounts: null,
    stepTimes: null,
    bytesIn: null,
    bytesOut: null,
  };
  const sample = sampleResult(mode, workers);
  return {
    ...{ ...sample, ...unknown, ...own, seconds, epochSeconds: seconds / 3, evaluations: [] },
    epochs: sample.epochs.map((epoch) => ({
      ...epoch,
      longestSeconds: seconds / 3 + epoch.epoch,
      meanSeconds: seconds / 3,
      trainAccuracyPercent: null,
      trainLoss: null,
      testLoss: null,
      testAccuracyPercent: 3 + epoch.epoch / 2,
    })),
    accuracyPercent: 4.5,
  };
}

test("samples of one seed are equal, of two seeds are not", () => {
  assert.deepEqual(sampleResult("sync", 2), sampleResult("sync", 2));
  assert.notEqual(sampleResult("sync", 2).seconds, sampleResult("sync", 2, { seed: 2 }).seconds);
});
