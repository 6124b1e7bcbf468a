/** A coordinator that was started by hand, killed, and started again: its run goes on in place. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { longTest, makePlace, type Place, type RunningCommand, until } from "./run-paceline.js";

const work = [
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--chunk-values", "10000"],
  ...["--optimizer", "adam", "--lr", "0.002", "--lr-schedule", "cosine", "--eval-every", "4e"],
];
const pace = [...work, "--epochs", "10", "-w", "2", "-s", "1"];
const begin = (name: string) => ["coordinator", ...pace, "--name", name, "--port", "0"];

/** A server and two workers of the coordinator that listens at this address, or those named. */
function startMembers(
  place: Place,
  address: string,
  roles = ["server", "worker", "worker"],
  firstRank = 0,
): RunningCommand[] {
  let rank = firstRank;
  return roles.map((role) =>
    place.start([
      role,
      "--coordinator",
      address,
      ...(role === "worker" ? ["--rank", `${rank++}`] : []),
    ]),
  );
}

async function addressOf(coordinator: RunningCommand): Promise<string> {
  const [, address = ""] = await coordinator.waitFor(/^coordinator listens on (\S+)$/m);
  return address;
}

async function killAt(place: Place, coordinator: RunningCommand, step: number): Promise<void> {
  await place.step("run", step);
  coordinator.kill("SIGKILL");
  await coordinator.end();
}

async function endWell(place: Place, started: readonly RunningCommand[]): Promise<void> {
  for (const one of started) assert.equal((await one.end()).exitCode, 0, one.told());
  assert.deepEqual(await place.leftovers(), []);
}

test("by its run's name, or by the same command: no bit is lost", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const whole = place.start(["train", ...pace, "--name", "whole"]);
  assert.equal((await whole.end()).exitCode, 0, whole.told());
  const first = place.start(begin("run"));
  const address = await addressOf(first);
  const members = startMembers(place, address);
  await killAt(place, first, 40);
  const second = place.start(["coordinator", "--resume", "run"]);
  assert.equal(await addressOf(second), address, "members look for it where it was");
  await second.waitFor(/started again, under term 2: the run goes on in place, with 3 members/);
  await killAt(place, second, 140);
  const third = place.start(begin("run"));
  await third.waitFor(/under term 3: the run goes on in place/);
  await endWell(place, [third, ...members]);
  assert.equal(await place.weights("run"), await place.weights("whole"));
  assert.doesNotMatch(third.err, /lost|goes back to/);
  const again = await place.run(begin("run"));
  assert.equal(again.exitCode, 2);
  assert.match(again.err, /there is a run of that name/, "it is over");
});

test("one coordinator has a run: another is refused, and so is another run", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const first = place.start(begin("run"));
  const address = await addressOf(first);
  // Its second worker comes last, so that it can't be over before the others were refused.
  const early = startMembers(place, address, ["server", "worker"]);
  await place.member("run", "worker", 0);
  for (const words of [["coordinator", "--resume", "run", "--port", "0"], begin("run")]) {
    const { exitCode, err } = await place.run(words);
    assert.equal(exitCode, 2, err);
    const who = `process ${first.pid} on .* has been writing into runs/run since .*: wait until`;
    assert.match(err, new RegExp(who));
  }
  const members = [...early, ...startMembers(place, address, ["worker"], 1)];
  await killAt(place, first, 60);
  const other = await place.run([...begin("run"), "--lr", "0.5"]);
  assert.equal(other.exitCode, 2);
  assert.match(other.err, /run run goes on in place with what it was given, but --lr is 0.5/);
  const back = place.start(begin("run"));
  await endWell(place, [back, ...members]);
});

longTest("a run of a process elsewhere is taken over when the user says so", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const first = place.start(begin("run"));
  const members = startMembers(place, await addressOf(first));
  await killAt(place, first, 60);
  const lock = place.path("runs", "run", "writer.lock");
  const owner = JSON.parse(await readFile(lock, "utf8"));
  await writeFile(lock, JSON.stringify({ ...owner, host: "elsewhere" }));
  const words = ["coordinator", "--resume", "run"];
  const { exitCode, err } = await place.run(words);
  assert.equal(exitCode, 2, err);
  const { pid, since } = owner;
  const who = `process ${pid} on elsewhere has been writing into runs/run since ${since}`;
  assert.ok(err.includes(`${who}: if it is gone, add --take-over`), err);
  const back = place.start([...words, "--take-over"]);
  await until("the run's end", () => back.isOver);
  await endWell(place, [back, ...members]);
});
