import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { startShapingProxy } from "../dist/transport/shaping/shaping-proxy.js";
import { freePort, longTest, makePlace, type Place, type RunningCommand } from "./run-paceline.js";

const cutMs = 2000;
// Runs go on until they are stopped: however fast they are, none ends before its links are cut.
const work = [
  ...["--model", "logistic", "--data", "mnist-parity", "--batch-size", "8", "--epochs", "100000"],
  ...["--eval-every", "none", "--chunk-values", "200"],
];
const members = ["-w", "2", "-s", "2"];

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
async function startCluster(context: TestContext, place: Place, words: readonly string[]) {
  const all = ["coordinator", "--port", "0", ...work, ...members, ...words];
  const coordinator = place.start(all);
  const [, address] = await coordinator.waitFor(/coordinator listens on (\S+:\d+)/);
  const toCoordinator = await proxyTo(context, address!);
  const port = await freePort();
  const toServer = await proxyTo(context, `127.0.0.1:${port}`);
  const reach = ["--coordinator", address!];
  const bent = ["--coordinator", toCoordinator.address];
  const advertise = ["--port", `${port}`, "--advertise", toServer.address];
  const started = [
    place.start(["server", ...reach, "--rank", "0"]),
    place.start(["server", ...bent, "--rank", "1", ...advertise]),
    place.start(["worker", ...reach, "--rank", "0"]),
    place.start(["worker", ...bent, "--rank", "1"]),
  ];
  return { coordinator, started, toCoordinator, toServer };
}

/** Stops a run as Ctrl-C does, and answers with the step of its checkpoint. */
async function stop(
  place: Place,
  name: string,
  coordinator: RunningCommand,
  started: readonly RunningCommand[],
): Promise<string> {
  coordinator.kill("SIGINT");
  assert.equal((await coordinator.end()).exitCode, 130, coordinator.told());
  for (const command of started) assert.equal((await command.end()).exitCode, 0, command.told());
  const kept = (await place.checkpoints(name)).at(-1);
  return kept!.replace("step-", "");
}

longTest(
  "links cut or silent for two seconds cost time, but no member and no bit",
  async (context) => {
    const place = await makePlace(context);
    // What a busy machine adds to a cut must not make it longer than the lease.
    const cluster = await startCluster(context, place, ["--lease", "20s", "--name", "cut"]);
    const { coordinator, started, toCoordinator, toServer } = cluster;
    let done = 0;
    for (const [how, proxies] of [
      ["cut", [toServer]],
      ["cut", [toCoordinator]],
      ["cut", [toCoordinator, toServer]],
      ["stall", [toCoordinator, toServer]],
    ] as const) {
      done = (await place.step("cut", done + 20)).globalSteps;
      for (const proxy of proxies) proxy[how]();
      await delay(cutMs);
      for (const proxy of proxies) proxy.restore();
    }
    await place.step("cut", done + 20);
    const step = await stop(place, "cut", coordinator, started);
    assert.doesNotMatch(coordinator.err, /lost/);
    const oracle = ["baseline", ...work, "--as-workers", "2", "--max-steps", step];
    const whole = await place.run([...oracle, "--name", "whole"]);
    assert.equal(whole.exitCode, 0, whole.err);
    assert.equal(await place.weights("cut"), await place.weights("whole"));
    const { paceline } = await place.result("cut");
    assert.equal(paceline.skippedExamples, 0);
    assert.equal(paceline.tornSteps, 0);
    const events = await place.events("cut");
    assert.equal(events.filter(({ kind }) => kind === "registered").length, 4);
  },
);

test("a worker cut off for longer than the lease is lost and comes back", async (context) => {
  const place = await makePlace(context);
  const words = [...work, ...members, "--lease", "1s", "--name", "long"];
  const coordinator = place.start(["coordinator", "--port", "0", ...words]);
  const [, address] = await coordinator.waitFor(/coordinator listens on (\S+:\d+)/);
  const proxy = await proxyTo(context, address!);
  const reach = ["--coordinator", address!];
  const started = [
    place.start(["server", ...reach]),
    place.start(["server", ...reach]),
    place.start(["worker", ...reach, "--rank", "0"]),
    place.start(["worker", "--coordinator", proxy.address, "--rank", "1"]),
  ];
  await place.step("long", 20);
  proxy.cut("blackhole");
  await coordinator.waitFor(/^worker-1 .*: lost at step \d+, going on with 1 worker$/m);
  proxy.restore();
  await coordinator.waitFor(/worker-1 takes part from step \d+/);
  await stop(place, "long", coordinator, started);
});
