import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { readCheckpoint } from "../dist/store/checkpoint/checkpoint.js";
import { longTest, makePlace, type Place } from "./run-paceline.js";

// A model with BatchNorm on 32 small pictures: 2 workers, 2 steps an epoch, 2 epochs.
const work = [
  ...["--model", "cnn6", "--data", "mnist", "--batch-size", "8", "--epochs", "2"],
  ...["--optimizer", "momentum", "--lr", "0.02", "--weight-decay", "0.0005", "--seed", "5"],
  // With oneDNN where it is installed.
  ...["--engine", "auto"],
];

interface Trained {
  readonly weights: string;
  /** Accuracy and loss of every evaluation. */
  readonly evaluations: readonly (readonly [number, number])[];
  tensor(name: string): Promise<Float32Array>;
}

async function trained(place: Place, name: string, words: readonly string[]): Promise<Trained> {
  const command = place.start([...words, ...work, "--name", name]);
  const { exitCode } = await command.end();
  assert.equal(exitCode, 0, command.told());
  const { paceline } = await place.result(name);
  const [latest] = await place.checkpoints(name);
  const path = join(place.folder, "runs", name, "checkpoints", latest as string);
  return {
    weights: await place.weights(name),
    evaluations: paceline.evaluations.map(({ accuracy, loss }) => [accuracy, loss] as const),
    async tensor(wanted) {
      const { manifest, weights } = await readCheckpoint(path);
      const place = manifest.layout.tensors.find((tensor) => tensor.name === wanted);
      assert.ok(place !== undefined, `the checkpoint has ${wanted}`);
      return weights.subarray(place.offset, place.offset + place.length);
    },
  };
}

test("any servers and the baseline merge statistics to the same bits", async (context) => {
  const place = await makePlace(context, { train: 32, test: 16 });
  const oracle = await trained(place, "oracle", ["baseline", "--as-workers", "2"]);
  assert.deepEqual([...(await oracle.tensor("bn1.num_batches_tracked"))], [4]);
  const means = await oracle.tensor("bn3.running_mean");
  assert.equal(means.length, 64);
  assert.ok(means.every((mean) => mean !== 0 && Number.isFinite(mean)));
  for (const servers of ["1", "3"]) {
    const words = ["train", "--chunk-values", "5000", "-w", "2", "-s", servers];
    const run = await trained(place, `servers-${servers}`, words);
    assert.equal(run.weights, oracle.weights, `${servers} servers`);
    assert.deepEqual(run.evaluations, oracle.evaluations);
  }
});

longTest("each asynchronous push moves the running statistics once", async (context) => {
  const place = await makePlace(context, { train: 32, test: 16 });
  const words = ["train", "--mode", "asp", "-w", "2", "-s", "2"];
  const run = await trained(place, "asp", words);
  assert.deepEqual([...(await run.tensor("bn6.num_batches_tracked"))], [8]);
  const variances = await run.tensor("bn1.running_var");
  assert.ok(variances.every((variance) => variance > 0 && variance !== 1));
});
