import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { loadDataset } from "../../data/dataset.js";
import type { Dataset } from "../../data/split.js";
import { writeSampleMnist } from "../../data/testing/sample-files.js";
import { referenceEngine } from "../../nn/reference/reference.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { runBaseline } from "../baseline/baseline-training.js";
import { classProbabilities, ModelScorer } from "./stored-model.js";

const counts = { trainExamples: 300, testExamples: 290 };
const schedule = { ...sampleSpec.schedule, totalExamples: 300 };
const spec: RunSpec = { ...sampleSpec, ...counts, schedule, workersMin: 3, workersMax: 3 };

let folder = "";
let dataset: Dataset;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-stored-"));
  await writeSampleMnist(folder, { train: 300, test: 290, seed: 5 });
  dataset = await loadDataset("mnist", { dataDir: folder });
});
after(() => rm(folder, { recursive: true, force: true }));

/** A trained model with the last evaluation of its own run. */
async function trained(own: RunSpec = spec) {
  const parts = { dataset, engine: referenceEngine, nowMs: () => 0 };
  const { weights, evaluations } = await runBaseline(own, parts);
  return { weights, last: evaluations.at(-1)! };
}

async function withScorer<T>(
  evaluateOn: "train" | "test",
  use: (scorer: ModelScorer) => Promise<T>,
): Promise<T> {
  const place = { dataDir: folder, cacheDir: null, evaluateOn };
  const scorer = new ModelScorer({ ...place, log: () => {} });
  try {
    return await use(scorer);
  } finally {
    await scorer.close();
  }
}

describe("the score of a stored model", () => {
  test("has the bits of the run's own evaluation, in its workers' shares", async () => {
    const { weights, last } = await trained();
    const score = await withScorer("test", (scorer) => scorer.score(spec, weights));
    const { accuracyPercent, loss, examples } = last;
    assert.deepEqual(score, { accuracyPercent, loss, examples });
    assert.ok(accuracyPercent > 20, `${accuracyPercent} %`);
  });

  test("in other shares has the same accuracy, and the loss but for rounding", async () => {
    const { weights, last } = await trained();
    const alone = { ...spec, workersMin: 1, workersMax: 1 };
    const score = await withScorer("test", (scorer) => scorer.score(alone, weights));
    assert.equal(score.accuracyPercent, last.accuracyPercent);
    assert.ok(Math.abs(score.loss - last.loss) < 1e-9);
  });

  test("is of the training examples where these are asked for, without augmentation", async () => {
    const { weights } = await trained();
    const augment = { cropPadding: 4, flip: true, standardise: false };
    const plain = { ...spec, testExamples: 300 };
    const augmented = { ...plain, input: { ...spec.input, augment } };
    await withScorer("train", async (scorer) => {
      const score = await scorer.score(plain, weights);
      assert.equal(score.examples, 300);
      assert.deepEqual(await scorer.score(augmented, weights), score);
    });
  });

  test("of one model after the other does not depend on the one before", async () => {
    const { weights, last } = await trained();
    await withScorer("test", async (scorer) => {
      const other = await scorer.score(spec, new Float32Array(weights.length));
      assert.equal(other.loss.toFixed(6), Math.log(10).toFixed(6));
      assert.equal((await scorer.score(spec, weights)).loss, last.loss);
    });
  });

  test("is refused with the data's own error, and the scorer stays of use", async () => {
    const { weights } = await trained();
    await withScorer("test", async (scorer) => {
      const more = { ...spec, testExamples: 500 };
      await assert.rejects(scorer.score(more, weights), { code: "data", message: /290 test/ });
      assert.equal((await scorer.score(spec, weights)).examples, 290);
    });
  });

  test("is given up when the scorer is closed", async () => {
    const { weights } = await trained();
    const place = { dataDir: folder, cacheDir: null, log: () => {} };
    const scorer = new ModelScorer(place);
    const refusal = assert.rejects(scorer.score(spec, weights), { code: "unavailable" });
    await scorer.close();
    await refusal;
    await assert.rejects(scorer.score(spec, weights), { code: "unavailable" });
  });
});

describe("class probabilities", () => {
  /** Every test picture, and its label. */
  function testPictures(set: Dataset) {
    const indices = Array.from({ length: set.test.count }, (_, index) => index);
    const pixels = new Uint8Array(784 * indices.length);
    const labels = new Int32Array(indices.length);
    set.test.read(indices, 0, indices.length, pixels, labels);
    const pictures = indices.map((index) => pixels.subarray(784 * index, 784 * (index + 1)));
    return { pictures, labels };
  }

  test("add up to 1, and the likeliest class is the one that evaluation counts", async () => {
    const { weights, last } = await trained();
    const { pictures, labels } = testPictures(dataset);
    const all = classProbabilities(spec, weights, referenceEngine, pictures);
    assert.equal(all.length, 290);
    let right = 0;
    for (const [index, probabilities] of all.entries()) {
      assert.equal(probabilities.length, 10);
      assert.ok(Math.abs(probabilities.reduce((sum, one) => sum + one, 0) - 1) < 1e-12);
      if (probabilities.indexOf(Math.max(...probabilities)) === labels[index]) right++;
    }
    assert.equal((100 * right) / 290, last.accuracyPercent);
  });

  test("of one logit are the sigmoid and its rest", async () => {
    const parity = await loadDataset("mnist-parity", { dataDir: folder });
    const input = { ...spec.input, classes: 2 };
    const own = { ...spec, input, model: "logistic", data: "mnist-parity" };
    const parts = { dataset: parity, engine: referenceEngine, nowMs: () => 0 };
    const { weights, evaluations } = await runBaseline(own, parts);
    const { pictures, labels } = testPictures(parity);
    const all = classProbabilities(own, weights, referenceEngine, pictures);
    const right = all.filter(([even, odd], index) => Number(odd! > even!) === labels[index]);
    assert.equal((100 * right.length) / 290, evaluations.at(-1)!.accuracyPercent);
    for (const [even, odd] of all) assert.ok(Math.abs(even! + odd! - 1) < 1e-12);
  });

  test("of logits beyond every exponential are still numbers", async () => {
    const { weights } = await trained();
    const large = weights.map((value) => value * 1e4);
    const { pictures } = testPictures(dataset);
    const [first] = classProbabilities(spec, large, referenceEngine, pictures.slice(0, 1));
    assert.ok(
      first!.every((one) => one >= 0 && one <= 1),
      `${first}`,
    );
  });

  test("of a model that has diverged are refused", async () => {
    const { weights } = await trained();
    const { pictures } = testPictures(dataset);
    const broken = weights.map(() => Number.NaN);
    assert.throws(() => classProbabilities(spec, broken, referenceEngine, pictures), {
      code: "diverged",
      message: /choose a checkpoint from before it diverged/,
    });
  });
});
