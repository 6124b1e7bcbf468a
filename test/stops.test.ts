/** What stops a run, or tries to: signals to one process or to all, and output that goes away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makePlace, until } from "./run-paceline.js";

const work = ["--model", "logistic", "--data", "mnist-parity", "-w", "2", "-s", "2"];
const pace = ["--batch-size", "4", "--eval-every", "none", "--epochs", "200"];

test("a signal to all processes saves first, and resume goes on from there", async (context) => {
  const place = await makePlace(context);
  const command = place.start(["train", ...work, ...pace, "--name", "run"]);
  await place.step("run", 5);
  // Nobody listens any more, as after `| head`, and a hang-up finds no terminal to take away.
  command.deafen();
  command.kill("SIGHUP");
  const members = await place.members("run");
  const coordinator = members.find(({ role }) => role === "coordinator")!;
  process.kill(coordinator.pid, "SIGHUP");
  await place.step("run", 15);
  // As a service manager does: every process of the group is told, in any order.
  for (const { pid } of members) process.kill(pid, "SIGTERM");
  command.kill("SIGTERM");
  assert.equal((await command.end()).exitCode, 143);
  const [kept] = await place.checkpoints("run");
  assert.ok(kept !== undefined);
  await until("no process left", async () => (await place.leftovers()).length === 0);

  const again = place.start(["resume", "run"]);
  await again.waitFor(/^continues from .*run.checkpoints.step-\d+ \(step \d+, \d+ examples/m);
  const second = await place.run(["resume", "run"]);
  assert.equal(second.exitCode, 2);
  assert.match(second.err, /has been writing into .*run since .*: wait until it ends, or stop it/);
  const removal = await place.run(["runs", "rm", "run"]);
  assert.equal(removal.exitCode, 2);
  assert.match(removal.err, /run stays: process \d+ on /);
  await again.waitFor(/training starts/);
  again.kill("SIGINT");
  again.kill("SIGINT");
  const { exitCode, err } = await again.end();
  assert.equal(exitCode, 130, again.told());
  assert.equal([...err.matchAll(/^SIGINT: writing a checkpoint$/gm)].length, 1);
  assert.match(err, /^resume with: paceline resume .*run$/m);
  assert.deepEqual(await place.leftovers(), []);
});
