/** A quorum in processes: nobody waits for a slow worker for long, and every example is used. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { longTest, makePlace } from "./run-paceline.js";
import { stopsAndGoesOn } from "./stopped-run.js";

const work = [
  ...["--model", "logistic", "--data", "mnist-parity", "--batch-size", "8", "--lr", "0.05"],
  ...["--eval-every", "none", "--chunk-values", "200", "--seed", "4"],
];
const mode = ["--mode", "quorum"];

test("a slow worker's late gradients are merged, and no example is skipped", async (context) => {
  const place = await makePlace(context, { train: 240, test: 8 });
  // To the slow worker and back takes a fifth of a second, a step of the others some milliseconds.
  const slow = ["--inject", "straggler:worker=2,delay=100ms"];
  for (const [name, feed, more] of [
    ["leased", "leased", ["-s", "3", "--quorum", "2"]],
    ["replicas", "static", ["-s", "2", "--replicas", "2", "--quorum", "2", "--grace", "5ms"]],
  ] as const) {
    const words = ["train", ...work, ...mode, ...slow, "-w", "3", ...more, "--feed", feed];
    const { exitCode, out, err } = await place.run([...words, "--epochs", "2", "--name", name]);
    assert.equal(exitCode, 0, `${out}${err}`);
    const { epochs, tornSteps, skippedExamples } = (await place.result(name)).paceline;
    assert.deepEqual([tornSteps, skippedExamples], [0, 0], name);
    for (const one of epochs) assert.deepEqual([one.examples, one.skipped], [240, 0], name);
  }
});

longTest(
  "a planned run goes through a quorum, and one that is stopped goes on",
  async (context) => {
    const place = await makePlace(context, { train: 480, test: 8 });
    const words = ["train", ...work, "-w", "3", "-s", "2", "--plan", "bsp:1e,quorum:1e,asp"];
    const planned = [...words, "--quorum", "2", "--epochs", "3", "--name", "planned"];
    const { exitCode, err } = await place.run(planned);
    assert.equal(exitCode, 0, err);
    const { epochs } = (await place.result("planned")).paceline;
    for (const one of epochs) assert.deepEqual([one.examples, one.skipped], [480, 0]);
    await stopsAndGoesOn(place, [...work, ...mode, "-w", "3", "-s", "2"]);
  },
);

test("a quorum that can't be, or has no use, is refused", async (context) => {
  const place = await makePlace(context);
  for (const [words, reason] of [
    [[...mode, "-w", "2", "--quorum", "3"], /--quorum 3 with 2 workers: .* write 2 or less, or/],
    [[...mode, "--quorum", "0"], /--quorum .*0.* 1/],
    [[...mode, "--grace", "-5ms"], /--grace .*-5ms/],
    [["--grace", "5ms", "-w", "3"], /--grace .*no effect.* --mode quorum/],
    [[...mode, "--local-steps", "4"], /--local-steps .*no effect.* --mode local/],
  ] as const) {
    const { exitCode, err } = await place.call(["train", ...work, ...words]);
    assert.equal(exitCode, 2, err);
    assert.match(err, reason);
  }
  assert.deepEqual(await place.files(), []);
});
