/**
 * Plans with real processes: workers go from one way to keep pace to the next while they train, by
 * a plan and by hand, while servers are killed; no example is lost or used twice.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { longTest, makePlace } from "./run-paceline.js";
import { trainSwitching, work } from "./switched-run.js";

test("a plan's first phase has the bits of bsp, and the rest is of the plan", async (context) => {
  const place = await makePlace(context, { train: 960 });
  const words = ["train", ...work, "-w", "2", "-s", "2"];
  const alone = await place.start([...words, "--epochs", "1", "--name", "alone"]).end();
  assert.equal(alone.exitCode, 0, alone.err);
  const plan = ["--plan", "bsp:1e,asp", "--checkpoint-every", "1e", "--keep", "9"];
  const planned = await place
    .start([...words, ...plan, "--epochs", "2", "--name", "planned"])
    .end();
  assert.equal(planned.exitCode, 0, planned.err);
  const events = await place.events("planned");
  const [told] = events.filter(({ text }) => text.startsWith("switch from"));
  const half =
    "learning rate 0.5 of the schedule's instead of 1: phase 1 of 2 of the plan has ended";
  assert.equal(told?.text, `switch from bsp to asp from step 60, after 960 examples, ${half}`);
  assert.equal(await place.weights("planned", 60), await place.weights("alone"));
  const { paceline } = await place.result("planned");
  const counts = paceline.epochs.map(({ examples, skipped }) => [examples, skipped]);
  assert.deepEqual(counts, [
    [960, 0],
    [960, 0],
  ]);
});

longTest("switches by hand while servers are killed lose nothing", async (context) => {
  const place = await makePlace(context, { train: 120 });
  await trainSwitching(place, ["asp", "bsp", "ssp", "asp", "ssp", "bsp"], (switches) =>
    switches % 3 === 0 ? 1 : null,
  );
});

longTest("a plan goes from bsp to local steps and on to single pushes", async (context) => {
  const place = await makePlace(context, { train: 960 });
  const words = ["train", ...work, "-w", "2", "-s", "2", "--optimizer", "momentum"];
  const alone = await place.start([...words, "--epochs", "1", "--name", "alone"]).end();
  assert.equal(alone.exitCode, 0, alone.err);
  const plan = ["--plan", "bsp:1e,local:1e,asp", "--local-steps", "5", "--checkpoint-every", "1e"];
  const planned = await place
    .start([...words, ...plan, "--keep", "9", "--epochs", "3", "--name", "planned"])
    .end();
  assert.equal(planned.exitCode, 0, planned.err);
  const events = await place.events("planned");
  const told = events.flatMap(({ text }) => /^switch from [^,]*/.exec(text)?.[0] ?? []);
  // 480 examples of each worker are 60 batches of 8: twelve rounds of five.
  assert.deepEqual(told, [
    "switch from bsp to local from step 60",
    "switch from local to asp from step 72",
  ]);
  assert.equal(await place.weights("planned", 60), await place.weights("alone"));
  const { paceline } = await place.result("planned");
  const counts = paceline.epochs.map(({ examples, skipped }) => [examples, skipped]);
  assert.deepEqual(counts, Array(3).fill([960, 0]));
  for (const { trainLoss } of paceline.epochs) assert.ok(Number.isFinite(trainLoss));
});

test("a plan whose phases have no place for each other's state is refused", async (context) => {
  const place = await makePlace(context, { train: 120 });
  const words = ["train", ...work, "-w", "2", "--plan", "bsp:50%,local", "--epochs", "2"];
  const refused = async (more: readonly string[], reason: RegExp) => {
    const { exitCode, err } = await place.start([...words, ...more, "--name", "mixed"]).end();
    assert.equal(exitCode, 2, err);
    assert.match(err, reason);
  };
  await refused(["--outer-optimizer", "nesterov"], /nesterov has a state that other phases/);
  await refused(["--compress", "topk:0.1"], /drops of gradients is of another size/);
  await refused(["--feed", "central"], /workers without files are sent one batch a step/);
});
