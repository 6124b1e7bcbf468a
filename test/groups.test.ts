/** Groups in processes: the fast step together, and nobody waits for a slow worker. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { longTest, makePlace } from "./run-paceline.js";
import { stopsAndGoesOn } from "./stopped-run.js";

const work = [
  ...["--model", "logistic", "--data", "mnist-parity", "--batch-size", "8", "--lr", "0.05"],
  ...["--eval-every", "none", "--chunk-values", "200", "--seed", "4"],
];
const mode = ["--mode", "group"];

test("two fast workers take many steps while a slow one takes one", async (context) => {
  const place = await makePlace(context, { train: 960, test: 8 });
  // To the slow worker and back takes a fifth of a second, a step of the others some milliseconds.
  const slow = ["--inject", "straggler:worker=2,delay=100ms"];
  const words = ["train", ...work, ...mode, "--groups", "2", ...slow, "-w", "3", "-s", "3"];
  const run = [...words, "--feed", "leased", "--epochs", "2", "--name", "leased"];
  const { exitCode, out, err } = await place.run(run);
  assert.equal(exitCode, 0, `${out}${err}`);
  const { paceline, raw_worker_metrics: workers } = await place.result("leased");
  const { epochs, skippedExamples } = paceline;
  assert.equal(skippedExamples, 0);
  for (const one of epochs) assert.deepEqual([one.examples, one.skipped], [960, 0]);
  const told = await place.logs("leased");
  assert.match(told, /workers step in groups: 0 1 \(\S+ ms\), 2 \(\S+ ms\)/);
  // 240 batches: had the others waited for it, it would have had a third of them.
  const steps = workers.map(({ local_steps_completed: count }) => count);
  assert.equal(steps[0]! + steps[1]! + steps[2]!, 240, `${steps}`);
  assert.ok(steps[2]! < 0.5 * Math.min(steps[0]!, steps[1]!), `${steps}`);
});

test("a plan goes through groups with replicas, and a switch by hand to them", async (context) => {
  const place = await makePlace(context, { train: 480, test: 8 });
  const words = ["train", ...work, "-w", "3", "-s", "2", "--replicas", "2"];
  const planned = [...words, "--plan", "bsp:1e,group:1e,asp", "--epochs", "3"];
  const { exitCode, err } = await place.run([...planned, "--name", "planned"]);
  assert.equal(exitCode, 0, err);
  const { epochs, protocol } = (await place.result("planned")).paceline;
  assert.equal(protocol, "bsp-group-asp");
  for (const one of epochs) assert.deepEqual([one.examples, one.skipped], [480, 0]);
});

longTest("a run in groups that is stopped goes on", async (context) => {
  const place = await makePlace(context, { train: 480, test: 8 });
  await stopsAndGoesOn(place, [...work, ...mode, "-w", "3", "-s", "2"], async () => {
    const switched = await place.call(["admin", "switch", "asp", "stopped"]);
    assert.equal(switched.exitCode, 0, switched.err);
    const back = await place.call(["admin", "switch", "group", "stopped"]);
    assert.match(`${back.out}${back.err}`, /group/);
  });
});

test("groups that can't be, or have no use, are refused", async (context) => {
  const place = await makePlace(context);
  for (const [words, reason] of [
    [[...mode, "-w", "2", "--groups", "3"], /--groups 3 with 2 workers: .* write 2 or less, or/],
    [[...mode, "--groups", "0"], /--groups .*0.* 1/],
    [[...mode, "--groups", "few"], /--groups .*few.* auto/],
    [["--groups", "2", "-w", "3"], /--groups .*no effect.* --mode group/],
    [[...mode, "--max-steps", "40"], /--max-steps 40 with mode group: .*say by --epochs/],
    [[...mode, "--reduce", "median", "-w", "3"], /--mode group: an update is of some workers/],
    [[...mode, "--straggler-policy", "elastic"], /nobody waits for a straggler there/],
    [[...mode, "--local-steps", "4"], /--local-steps .*no effect.* --mode local/],
  ] as const) {
    const { exitCode, err } = await place.call(["train", ...work, ...words]);
    assert.equal(exitCode, 2, err);
    assert.match(err, reason);
  }
  assert.deepEqual(await place.files(), []);
});
