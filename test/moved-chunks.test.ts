/** Servers that come by hand, and one that is drained: the run's bits are those without them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makePlace, until } from "./run-paceline.js";

const work = [
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--epochs", "16"],
  ...["--optimizer", "adam", "--lr", "0.002", "--lr-schedule", "cosine", "--eval-every", "none"],
];

test("servers grow from 2 to 4 and shrink to 3 in one run, bit for bit", async (context) => {
  const place = await makePlace(context, { train: 960 });
  const words = ["train", ...work, "--chunk-values", "10000", "-w", "2"];
  const whole = place.start([...words, "-s", "1", "--name", "whole"]);
  assert.equal((await whole.end()).exitCode, 0, whole.told());
  const command = place.start([...words, "-s", "2:4", "--name", "moved"]);
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
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 0, command.told());
  assert.doesNotMatch(err, /: lost|started again/);
  for (const server of servers) assert.equal((await server.end()).exitCode, 0, server.told());
  assert.equal(await place.weights("moved"), await place.weights("whole"));
  const { paceline } = await place.result("moved");
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [960, 0]);
  }
  assert.deepEqual(await place.leftovers(), []);
});
