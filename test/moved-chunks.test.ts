/** Servers that come by hand, and one that is drained: the run's bits are those without them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makePlace, until } from "./run-paceline.js";

const work = [
  // It goes on until it is stopped: however long a server takes to come, it comes into training.
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--epochs", "100000"],
  ...["--optimizer", "adam", "--lr", "0.002", "--eval-every", "none", "--chunk-values", "10000"],
];

test("servers grow from 2 to 4 and shrink to 3 in one run, bit for bit", async (context) => {
  const place = await makePlace(context, { train: 960 });
  const command = place.start(["train", ...work, "-w", "2", "-s", "2:4", "--name", "moved"]);
  const told = (what: RegExp, times: number) =>
    until(`${times} times ${what}`, async () => {
      const events = await place.events("moved");
      return events.filter(({ text }) => what.test(text)).length >= times;
    });
  const { address } = await place.member("moved", "coordinator", 0);
  await told(/^training starts with 2 workers and 2 servers$/, 1);
  const reach = ["--coordinator", address];
  const drain = (member: string) => place.call(["admin", "drain", member, ...reach]);
  const refused = await drain("server-1");
  assert.equal(refused.exitCode, 1);
  assert.match(refused.err, /server-1 can't be drained: 2 servers take part and at least 2 must/);
  const servers = [];
  for (const count of [1, 2]) {
    servers.push(place.start(["server", ...reach]));
    await told(/^chunk moves: \d+ done in/, count);
  }
  const drained = await drain("server-1");
  assert.equal(drained.exitCode, 0, drained.err);
  assert.match(drained.out, /^server-1 is drained: \d+ chunks to be moved\n$/);
  await told(/^server-1 drained: \d+ chunks moved in \d+\.\d s$/, 1);
  command.kill("SIGINT");
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 130, command.told());
  assert.doesNotMatch(err, /: lost|started again/);
  for (const server of servers) assert.equal((await server.end()).exitCode, 0, server.told());
  const step = (await place.checkpoints("moved")).at(-1)!.replace("step-", "");
  const oracle = ["baseline", ...work, "--as-workers", "2", "--max-steps", step];
  const whole = await place.run([...oracle, "--name", "whole"]);
  assert.equal(whole.exitCode, 0, whole.err);
  assert.equal(await place.weights("moved"), await place.weights("whole"));
  const { paceline } = await place.result("moved");
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [960, 0]);
  }
  assert.deepEqual(await place.leftovers(), []);
});
