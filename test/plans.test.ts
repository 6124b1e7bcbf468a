/**
 * Plans with real processes: workers go from one way to keep pace to the next while they train, by
 * a plan and by hand, while servers are killed; no example is lost or used twice.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makePlace, until } from "./run-paceline.js";

const work = ["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--eval-every", "none"];

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
  const half = "learning rate x 0.5: phase 1 of 2 of the plan has ended";
  assert.equal(told?.text, `switch from bsp to asp from step 60, after 960 examples, ${half}`);
  assert.equal(await place.weights("planned", 60), await place.weights("alone"));
  const { paceline } = await place.result("planned");
  const counts = paceline.epochs.map(({ examples, skipped }) => [examples, skipped]);
  assert.deepEqual(counts, [
    [960, 0],
    [960, 0],
  ]);
});

test("switches by hand while servers are killed lose nothing", async (context) => {
  const place = await makePlace(context, { train: 120 });
  const cluster = ["-w", "3", "-s", "3", "--replicas", "2", "--feed", "leased"];
  const length = ["--epochs", "1000", "--chunk-values", "10000"];
  const command = place.start(["train", ...work, ...cluster, ...length, "--name", "switched"]);
  const told = (start: string, times: number) =>
    until(`${times} times ${start}`, async () => {
      const events = await place.events("switched");
      return events.filter(({ text }) => text.startsWith(start)).length >= times;
    });
  const { address } = await place.member("switched", "coordinator", 0);
  await told("redundant", 1);
  const order = (...words: readonly string[]) =>
    place.call(["admin", "switch", ...words, "--coordinator", address]);
  const same = await order("bsp");
  assert.equal(same.exitCode, 1);
  assert.match(same.err, /the run keeps pace by bsp already/);
  assert.match((await order("bps")).err, /needs a mode, bsp, ssp/);
  const modes = ["asp", "bsp", "ssp", "asp", "ssp", "bsp"];
  let pid = -1;
  for (const [index, mode] of modes.entries()) {
    const asked = await order(mode);
    assert.equal(asked.exitCode, 0, asked.err);
    assert.match(asked.out, new RegExp(`to ${mode}\\n$`));
    if (index % 3 === 0) {
      const { pid: present } = await place.member("switched", "server", 1, pid);
      process.kill(present, "SIGKILL");
      pid = present;
      await told("server-1 (pid", 1 + Math.floor(index / 3));
    }
    await told("switch from", index + 1);
  }
  command.kill("SIGINT");
  const { err } = await command.end();
  assert.doesNotMatch(err, /goes back|refused|not used/);
  const events = await place.events("switched");
  const entered = events.flatMap(({ text }) => /^switch from \w+ to (\w+)/.exec(text)?.[1] ?? []);
  assert.deepEqual(entered, modes);
  const { paceline } = await place.result("switched");
  assert.ok(paceline.epochs.length > 0, "some epochs ended");
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [120, 0]);
  }
  assert.deepEqual(await place.leftovers(), []);
});
