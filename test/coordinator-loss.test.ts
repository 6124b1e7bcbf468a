/** Coordinators that are killed while a run trains: members outlive them, and the run goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { longTest, makePlace, metricsOf, type Place, until } from "./run-paceline.js";

const work = [
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8"],
  ...["--optimizer", "adam", "--lr", "0.002", "--lr-schedule", "cosine"],
];

/** Kills the coordinator of a run that is past a step, and returns its pid. */
async function killAt(place: Place, run: string, step: number, other: number): Promise<number> {
  const { pid } = await place.member(run, "coordinator", 0, other);
  await until(`step ${step}`, async () => ((await place.snapshot(run))?.globalSteps ?? 0) >= step);
  process.kill(pid, "SIGKILL");
  return pid;
}

test("a coordinator killed twice in a run costs it no bit, and no member", async (context) => {
  const place = await makePlace(context, { train: 960 });
  const pace = ["--epochs", "8", "--eval-every", "2e", "--checkpoint-every", "3e"];
  const alone = ["baseline", ...work, ...pace, "--as-workers", "3", "--name", "whole"];
  const whole = await place.run(alone);
  assert.equal(whole.exitCode, 0, whole.err);
  const words = ["train", ...work, ...pace, "--chunk-values", "10000", "-w", "3", "-s", "2"];
  const command = place.start([...words, "--replicas", "2", "--name", "killed"]);
  let pid = -1;
  for (const step of [40, 140]) pid = await killAt(place, "killed", step, pid);
  const { exitCode, err, out } = await command.end();
  assert.equal(exitCode, 0, command.told());
  const again = /^the coordinator \(pid \d+\) ended with SIGKILL: it is started again in/gm;
  assert.equal([...err.matchAll(again)].length, 2, err);
  for (const term of [2, 3]) {
    const words = `the coordinator was started again, under term ${term}: the run goes on in place`;
    assert.ok(err.includes(words), `${words}\n${err}`);
  }
  assert.doesNotMatch(err, /lost|goes back to|begins anew/);
  assert.equal(await place.weights("killed"), await place.weights("whole"));
  const [one, other] = [await place.result("killed"), await place.result("whole")];
  const [{ paceline }, { paceline: undisturbed }] = [one, other];
  const longest = one.raw_worker_metrics.map((worker) => worker.epoch_times_seconds);
  for (const { epoch, examples, skipped, seconds } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [960, 0]);
    // Workers train on while nobody coordinates.
    const least = Math.min(...longest.map((times) => times[epoch - 1]!));
    assert.ok(seconds > 0.9 * least, `epoch ${epoch} took ${seconds} s, its workers ${least} s`);
  }
  const evaluated = (result: typeof paceline) =>
    result.evaluations.map(({ step, final, accuracy, loss }) => [...[step, final, accuracy, loss]]);
  assert.deepEqual(evaluated(paceline), evaluated(undisturbed));
  const events = await place.events("killed");
  const lives = events.filter(({ kind }) => kind === "registered");
  assert.equal(lives.length, 5, "nobody had to register again");
  assert.equal(metricsOf(out).length, 4);
  assert.deepEqual(await place.leftovers(), []);
});

longTest("batches that are dealt one at a time are each used once", async (context) => {
  const place = await makePlace(context, { train: 1600 });
  const pace = ["--mode", "asp", "--feed", "leased", "--epochs", "4", "--eval-every", "none"];
  const words = ["train", ...work, ...pace, "-w", "3", "-s", "2", "--name", "run"];
  const command = place.start(words);
  let pid = -1;
  for (const step of [100, 350]) pid = await killAt(place, "run", step, pid);
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 0, command.told());
  assert.equal([...err.matchAll(/the run goes on in place, with/g)].length, 2, err);
  const { paceline } = await place.result("run");
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [1600, 0]);
  }
  assert.deepEqual(await place.leftovers(), []);
});

test("a member that dies with the coordinator is lost when that is back", async (context) => {
  const place = await makePlace(context, { train: 960 });
  const pace = ["--epochs", "8", "--eval-every", "none", "--checkpoint-every", "1e"];
  const words = ["train", ...work, ...pace, "-w", "2", "-s", "2", "--name", "run"];
  const command = place.start(words);
  const server = await place.member("run", "server", 1);
  // What is told of is in the record; a folder alone may be one that is being written.
  await command.waitFor(/^checkpoint of step \d+ written$/m);
  await killAt(place, "run", 100, -1);
  process.kill(server.pid, "SIGKILL");
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 0, command.told());
  // Workers may tell of it before its supervisor does.
  const reason =
    "ended with SIGKILL, is started again|a new process took its rank|no worker reaches";
  assert.match(err, new RegExp(`^server-1 .*(${reason}).*: lost`, "m"));
  assert.match(err, /the run goes back to its checkpoint of step \d+/);
  assert.deepEqual(await place.leftovers(), []);
});

test("with no restarts the run ends, and is continued from its checkpoint", async (context) => {
  const place = await makePlace(context, { train: 960 });
  const pace = ["--epochs", "4", "--eval-every", "none", "--checkpoint-every", "1e"];
  const words = ["train", ...work, ...pace, "-w", "2", "-s", "1", "--max-restarts", "0"];
  const kill = ["--inject", "kill:coordinator=0,at=150"];
  const command = place.start([...words, ...kill, "--name", "run"]);
  const { exitCode, err } = await command.end();
  assert.notEqual(exitCode, 0);
  assert.match(err, /ended with SIGKILL: the run is over; continue from step \d+ with paceline/);
  const again = place.start(["resume", "run"]);
  assert.equal((await again.end()).exitCode, 0, again.told());
  assert.deepEqual(await place.leftovers(), []);
});

test("two signals end a run whose coordinator is about to be started again", async (context) => {
  const place = await makePlace(context, { train: 960 });
  const pace = ["--epochs", "200", "--eval-every", "none"];
  const command = place.start(["train", ...work, ...pace, "-w", "1", "-s", "1", "--name", "run"]);
  await killAt(place, "run", 20, -1);
  await command.waitFor(/it is started again in/);
  command.kill("SIGINT");
  command.kill("SIGINT");
  // One that is heard late finds the next coordinator, which saves; the next ends it at once.
  const { exitCode } = await command.end();
  assert.ok(exitCode === 130, command.told());
  assert.deepEqual(await place.leftovers(), []);
});
