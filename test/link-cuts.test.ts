import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { startShapingProxy } from "../dist/bench/proxy/shaping-proxy.js";
import { freePort, makePlace, type Place, type RunningCommand } from "./run-paceline.js";

const cutMs = 2000;
const work = [
  ...["--model", "logistic", "--data", "mnist-parity", "--batch-size", "8", "--epochs", "8"],
  ...["--eval-every", "none", "--chunk-values", "200", "-w", "2", "-s", "2"],
];

/** A proxy that goes when the test is over. */
async function proxyTo(context: TestContext, target: string) {
  const proxy = await startShapingProxy({ target });
  context.after(() => proxy.close());
  return proxy;
}

/**
 * Two servers and two workers; worker 1 reaches the coordinator, and both reach server 1, by a
 * proxy.
 */
async function startCluster(context: TestContext, place: Place, name: string) {
  const coordinator = place.start(["coordinator", "--port", "0", ...work, "--name", name]);
  const [, address] = await coordinator.waitFor(/coordinator listens on (\S+:\d+)/);
  const toCoordinator = await proxyTo(context, address!);
  const port = await freePort();
  const toServer = await proxyTo(context, `127.0.0.1:${port}`);
  const reach = ["--coordinator", address!];
  const bent = ["--coordinator", toCoordinator.address];
  const advertise = ["--port", `${port}`, "--advertise", toServer.address];
  const members = [
    place.start(["server", ...reach, "--rank", "0"]),
    place.start(["server", ...bent, "--rank", "1", ...advertise]),
    place.start(["worker", ...reach, "--rank", "0"]),
    place.start(["worker", ...bent, "--rank", "1"]),
  ];
  return { coordinator, members, toCoordinator, toServer };
}

async function endWell(commands: readonly RunningCommand[]): Promise<void> {
  for (const command of commands) assert.equal((await command.end()).exitCode, 0, command.told());
}

test("links cut for two seconds cost time, but no member and no bit", async (context) => {
  const place = await makePlace(context);
  const oracle = [...work.slice(0, -6), "--as-workers", "2", "--name", "whole"];
  const whole = place.start(["baseline", ...oracle]);
  await endWell([whole]);
  const cluster = await startCluster(context, place, "cut");
  const { coordinator, members, toCoordinator, toServer } = cluster;
  for (const [step, proxies] of [
    [20, [toServer]],
    [60, [toCoordinator]],
    [100, [toCoordinator, toServer]],
  ] as const) {
    await place.step("cut", step);
    for (const proxy of proxies) proxy.cut();
    await delay(cutMs);
    for (const proxy of proxies) proxy.restore();
  }
  await endWell([coordinator, ...members]);
  assert.doesNotMatch(coordinator.err, /lost/);
  assert.equal(await place.weights("cut"), await place.weights("whole"));
  const { paceline } = await place.result("cut");
  assert.equal(paceline.skippedExamples, 0);
  assert.equal(paceline.tornSteps, 0);
  const events = await place.events("cut");
  assert.equal(events.filter(({ kind }) => kind === "registered").length, 4);
});

test("a link that is silent for two seconds loses nobody either", async (context) => {
  const place = await makePlace(context);
  const { coordinator, members, toCoordinator, toServer } = await startCluster(
    context,
    place,
    "silent",
  );
  await place.step("silent", 20);
  for (const proxy of [toCoordinator, toServer]) proxy.stall();
  await delay(cutMs);
  for (const proxy of [toCoordinator, toServer]) proxy.restore();
  await endWell([coordinator, ...members]);
  assert.doesNotMatch(coordinator.err, /lost/);
  assert.equal((await place.result("silent")).paceline.skippedExamples, 0);
});

test("a worker cut off for longer than the lease is lost and comes back", async (context) => {
  const place = await makePlace(context);
  const words = [...work, "--lease", "1s", "--epochs", "60", "--name", "long"];
  const coordinator = place.start(["coordinator", "--port", "0", ...words]);
  const [, address] = await coordinator.waitFor(/coordinator listens on (\S+:\d+)/);
  const proxy = await proxyTo(context, address!);
  const reach = ["--coordinator", address!];
  const members = [
    place.start(["server", ...reach]),
    place.start(["server", ...reach]),
    place.start(["worker", ...reach, "--rank", "0"]),
    place.start(["worker", "--coordinator", proxy.address, "--rank", "1"]),
  ];
  await place.step("long", 20);
  proxy.cut("blackhole");
  await coordinator.waitFor(/^worker-1 .*: lost at step \d+, going on with 1 worker$/m, 10_000);
  proxy.restore();
  await coordinator.waitFor(/worker-1 takes part from step \d+/, 20_000);
  await endWell([coordinator, ...members]);
});
