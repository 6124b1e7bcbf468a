/** K-of-N in processes: nobody waits for a slow worker, and every example is accounted for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { longTest, makePlace } from "./run-paceline.js";
import { stopsAndGoesOn } from "./stopped-run.js";

const work = [
  ...["--model", "logistic", "--data", "mnist-parity", "--batch-size", "8", "--lr", "0.05"],
  ...["--eval-every", "none", "--chunk-values", "200", "--seed", "4"],
];
const mode = ["--mode", "k-of-n"];

test("steps are taken without the slow one of three workers, and the run ends", async (context) => {
  const place = await makePlace(context, { train: 480, test: 8 });
  // 20 steps an epoch; to the slow worker and back takes half a second.
  const slow = ["--inject", "straggler:worker=2,delay=250ms"];
  for (const [name, feed, servers] of [
    ["static", "static", ["-s", "3"]],
    ["replicas", "static", ["-s", "2", "--replicas", "2"]],
  ] as const) {
    const words = ["train", ...work, ...mode, ...slow, "-w", "3", ...servers, "--feed", feed];
    const { exitCode, out, err } = await place.run([...words, "--epochs", "3", "--name", name]);
    assert.equal(exitCode, 0, `${out}${err}`);
    const { globalSteps, epochs, tornSteps, skippedExamples } = (await place.result(name)).paceline;
    assert.deepEqual([globalSteps, tornSteps], [60, 0], name);
    assert.equal(epochs.length, 3);
    let skipped = 0;
    for (const one of epochs) {
      assert.equal(one.examples + one.skipped, 480, `${name}, epoch ${one.epoch}`);
      // What is passed over is of the slow worker's third.
      assert.ok(one.skipped > 80 && one.skipped <= 160, `${name}: ${one.skipped} skipped`);
      skipped += one.skipped;
    }
    assert.equal(skippedExamples, skipped);
    const told = await place.logs(name);
    const passed = [...told.matchAll(/of step \d+ were not used.*, (\d+) are passed over/g)];
    assert.ok(passed.length > 0, "the slow worker says what it did not take");
    assert.ok(passed.some(([, count]) => Number(count) > 5));
  }
});

longTest("without backup workers the bits are those of BSP", async (context) => {
  const place = await makePlace(context, { train: 240, test: 8 });
  const words = ["train", ...work, "-w", "3", "-s", "2", "--epochs", "2"];
  for (const [name, more] of [
    ["bsp", []],
    ["no-backups", [...mode, "--backup-workers", "0"]],
  ] as const) {
    const { exitCode, err } = await place.run([...words, ...more, "--name", name]);
    assert.equal(exitCode, 0, err);
  }
  assert.equal(await place.weights("no-backups"), await place.weights("bsp"));
});

longTest("a run that is planned or stopped goes on with its backup workers", async (context) => {
  const place = await makePlace(context, { train: 480, test: 8 });
  const words = ["train", ...work, "-w", "3", "-s", "2", "--plan", "bsp:1e,k-of-n:1e,asp"];
  const { exitCode, err } = await place.run([...words, "--epochs", "3", "--name", "planned"]);
  assert.equal(exitCode, 0, err);
  const { epochs } = (await place.result("planned")).paceline;
  for (const one of epochs) assert.equal(one.examples + one.skipped, 480);
  await stopsAndGoesOn(place, [...work, ...mode, "-w", "3", "-s", "2"]);
});

test("more backup workers than a step can spare are refused", async (context) => {
  const place = await makePlace(context);
  for (const [words, reason] of [
    [
      [...mode, "-w", "2", "--backup-workers", "2"],
      /--backup-workers 2 with 2 workers leaves none that a step of mode k-of-n needs; write 1 or/,
    ],
    [[...mode, "-w", "1"], /--backup-workers 1 with 1 workers leaves none .*; raise --workers, or/],
    [["--backup-workers", "1", "-w", "3"], /--backup-workers .*no effect.* --mode k-of-n/],
    [["--plan", "bsp:50%,k-of-n", "-w", "2:3", "--backup-workers", "3"], /with 3 workers leaves/],
  ] as const) {
    const { exitCode, err } = await place.call(["train", ...work, ...words]);
    assert.equal(exitCode, 2, err);
    assert.match(err, reason);
  }
  assert.deepEqual(await place.files(), []);
});
