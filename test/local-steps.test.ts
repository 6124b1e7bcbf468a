import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { readCheckpoint } from "../dist/store/checkpoint/checkpoint.js";
import { longTest, makePlace, type Place } from "./run-paceline.js";

const local = ["--mode", "local", "--local-steps", "3", "--outer-optimizer", "nesterov"];
const work = [
  ...["--data", "mnist", "--optimizer", "momentum", "--lr", "0.02"],
  ...["--lr-schedule", "cosine", "--lr-warmup", "0.2", "--seed", "5"],
];

async function bitsOf(place: Place, name: string, words: readonly string[]): Promise<string> {
  const { exitCode, out, err } = await place.run([...words, ...work, ...local, "--name", name]);
  assert.equal(exitCode, 0, `${out}${err}`);
  return place.weights(name);
}

test("local steps have the bits of the baseline over any way, with replicas", async (context) => {
  const place = await makePlace(context, { train: 48, test: 8 });
  // BatchNorm's statistics move on each worker; 4 batches of one are two steps.
  const model = ["--model", "cnn6", "--batch-size", "4", "--epochs", "1", "--eval-every", "1e"];
  const oracle = await bitsOf(place, "oracle", [
    ...["baseline", "--as-workers", "3", ...model, "--kernels", "scalar"],
  ]);
  const train = ["train", "-w", "3", "--chunk-values", "20000", ...model];
  for (const [name, words] of [
    ["grpc", ["-s", "1", "--transport", "grpc"]],
    ["frames-replicas", ["-s", "3", "--replicas", "2", "--transport", "tcp"]],
  ] as const) {
    const bits = await bitsOf(place, name, [...train, ...words]);
    assert.equal(bits, oracle, name);
  }
  const [first, second] = [await lastOf(place, "oracle"), await lastOf(place, "frames-replicas")];
  const accuracies = (one: typeof first) => one.evaluations.map(({ accuracy }) => accuracy);
  assert.deepEqual(accuracies(second), accuracies(first));
  assert.equal(await firstOf(place, "oracle", "bn1.num_batches_tracked"), 2);
  assert.ok((await firstOf(place, "oracle", "bn1.running_var")) > 0);
});

async function lastOf(place: Place, name: string) {
  return (await place.result(name)).paceline;
}

/** The first value of a tensor at the end. */
async function firstOf(place: Place, name: string, wanted: string): Promise<number> {
  const [latest] = await place.checkpoints(name);
  const path = join(place.folder, "runs", name, "checkpoints", latest as string);
  const { manifest, weights } = await readCheckpoint(path);
  return weights[manifest.layout.tensors.find((one) => one.name === wanted)!.offset]!;
}

longTest("a run of local steps that was stopped ends in the bits of one life", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const model = ["--model", "mlp", "--batch-size", "8", "--epochs", "12", "--eval-every", "none"];
  const words = ["train", "-w", "2", "-s", "2", "--compress", "topk:0.05", ...model];
  const whole = await bitsOf(place, "whole", words);
  const command = place.start([...words, ...work, ...local, "--name", "stopped"]);
  await place.step("stopped", 20);
  command.kill("SIGINT");
  assert.equal((await command.end()).exitCode, 130, command.told());
  const changed = ["--resume", "stopped", "--local-steps", "4"];
  const refused = await place.call([...words, ...work, ...local.slice(0, 2), ...changed]);
  assert.equal(refused.exitCode, 6, refused.err);
  assert.match(refused.err, /with --local-steps 3 and this run has 4: give it the same/);
  const resumed = place.start(["resume", "runs/stopped"]);
  assert.equal((await resumed.end()).exitCode, 0, resumed.told());
  assert.equal(await place.weights("stopped"), whole);
  const told = await place.logs("stopped");
  assert.equal(
    told.match(/state of momentum for local steps \(\d+ values\) is restored/g)?.length,
    2,
  );
});

test("asynchronous local steps train, and what has no effect is refused", async (context) => {
  const place = await makePlace(context, { train: 160 });
  const words = ["train", "-w", "2", "--model", "mlp", "--data", "mnist", "--batch-size", "8"];
  const asynchronous = ["--mode", "local-async", "--local-steps", "5", "--name", "async"];
  const { exitCode, err } = await place.run([...words, ...asynchronous, "--epochs", "1"]);
  assert.equal(exitCode, 0, err);
  const { globalSteps, evaluations } = await lastOf(place, "async");
  // Each of two workers has 80 examples, two steps of five batches.
  assert.equal(globalSteps, 4);
  assert.ok((evaluations.at(-1)?.accuracy ?? 0) > 0);
  for (const [options, message] of [
    [["--local-steps", "5"], /--local-steps has no effect with --mode bsp; .* --mode local or/],
    [["--outer-optimizer", "nesterov"], /--outer-optimizer has no effect with --mode bsp/],
    [
      ["--mode", "local", "--outer-lr", "1"],
      /--outer-lr has no effect with --outer-optimizer aver/,
    ],
    [["--mode", "local", "--local-steps", "0"], /--local-steps 0 is below 1/],
    [["--mode", "local", "--staleness", "2"], /--staleness has no effect with --mode local/],
    [
      ["--mode", "local", "--feed", "central"],
      /--feed central with --mode local .*one batch a step/,
    ],
  ] as const) {
    const told = await place.call([...words, ...options]);
    assert.equal(told.exitCode, 2, told.err);
    assert.match(told.err, message);
  }
});
