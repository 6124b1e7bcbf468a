/** Servers that are killed with the only copy of a chunk: the run goes back and loses no bit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makePlace, until } from "./run-paceline.js";

const work = [
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--epochs", "4"],
  ...["--optimizer", "adam", "--lr", "0.002", "--lr-schedule", "cosine", "--eval-every", "none"],
];

test("a run goes back to its start, and to a checkpoint, and ends in its bits", async (context) => {
  const place = await makePlace(context, { train: 960 });
  const whole = await place.run(["baseline", ...work, "--as-workers", "2", "--name", "whole"]);
  assert.equal(whole.exitCode, 0, whole.err);
  const cluster = ["--chunk-values", "10000", "-w", "2", "-s", "2"];
  const words = ["train", ...work, ...cluster, "--checkpoint-every", "50it"];
  const command = place.start([...words, "--name", "killed"]);
  const told = async (what: RegExp) => {
    const events = await place.events("killed");
    return events.some(({ text }) => what.test(text));
  };
  const kill = async (server: number) => {
    const { pid } = await place.member("killed", "server", server);
    process.kill(pid, "SIGKILL");
  };
  await place.step("killed", 1);
  await kill(1);
  await until("a new beginning", () => told(/^the run begins anew, as it has no checkpoint/));
  await until("a checkpoint", () => told(/^checkpoint of step 50 /));
  await kill(0);
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 0, command.told());
  assert.match(err, /^.*the run goes back to its checkpoint of step \d+, from step \d+/m);
  assert.equal(await place.weights("killed"), await place.weights("whole"));
  const { paceline } = await place.result("killed");
  assert.equal(paceline.globalSteps, (await place.result("whole")).paceline.globalSteps);
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [960, 0]);
  }
  assert.deepEqual(await place.leftovers(), []);
});
