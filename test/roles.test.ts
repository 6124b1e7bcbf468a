import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import {
  freePort,
  longTest,
  makePlace,
  metricsOf,
  type Place,
  type RunningCommand,
  until,
} from "./run-paceline.js";

const work = [
  ...["--model", "logistic", "--data", "mnist-parity", "--batch-size", "8"],
  ...["--eval-every", "none"],
];

/** Starts a coordinator on any port and answers with where it listens. */
async function startCoordinator(
  place: Place,
  words: readonly string[],
): Promise<{ coordinator: RunningCommand; address: string }> {
  const coordinator = place.start(["coordinator", "--port", "0", ...words]);
  const [, address] = await coordinator.waitFor(/coordinator listens on (\S+:\d+)/);
  return { coordinator, address: address! };
}

async function endWell(...commands: readonly RunningCommand[]): Promise<void> {
  for (const command of commands) assert.equal((await command.end()).exitCode, 0, command.told());
}

test("roles come in any order and keep the ranks they ask for", async (context) => {
  const place = await makePlace(context);
  const port = await freePort();
  const reach = ["--coordinator", `127.0.0.1:${port}`];
  const second = place.start(["worker", ...reach, "--rank", "1"]);
  const first = place.start(["worker", ...reach]);
  const server = place.start(["server", ...reach]);
  await second.waitFor(/trying again in 1 s/);
  const words = [...work, "-w", "2", "-s", "1", "--epochs", "1", "--name", "run"];
  const coordinator = place.start(["coordinator", "--port", `${port}`, ...words]);
  await endWell(coordinator, server, first, second);
  assert.match(second.err, /Worker 1 registered with ID 1/);
  assert.match(first.err, /Worker 0 registered with ID 0/);
  assert.match(second.err, /Worker 1 completed training!/);
  for (const [rank, { out }] of [first, second].entries()) {
    const metrics = metricsOf(out);
    assert.deepEqual(
      metrics.map(({ type, worker_id: id }) => [type, id]),
      [["WORKER_FINAL_METRICS", rank]],
    );
  }
  assert.equal(metricsOf(coordinator.out).length, 1);
  assert.equal((await place.result("run")).raw_worker_metrics.length, 2);
  assert.deepEqual(await place.leftovers(), []);
});

test("a rank that is taken is refused with who has it", async (context) => {
  const place = await makePlace(context);
  const words = [...work, "-w", "2", "-s", "1", "--name", "run"];
  const { address } = await startCoordinator(place, words);
  const holder = place.start(["worker", "--coordinator", address, "--rank", "1"]);
  await holder.waitFor(/registered with ID 1/);
  const late = await place.run(["worker", "--coordinator", address, "--rank", "1"]);
  assert.equal(late.exitCode, 1);
  assert.match(
    late.err,
    new RegExp(`rank 1 is taken by worker-1 \\(pid ${holder.pid} on .*--rank`),
  );
  const beyond = await place.run(["worker", "--coordinator", address, "--rank", "2"]);
  assert.equal(beyond.exitCode, 2);
  assert.match(beyond.err, /rank 2 is out of range: this run takes workers 0 to 1/);
});

test("a transport by name that a server lacks ends the worker with the remedy", async (context) => {
  const place = await makePlace(context);
  // The run is on when the other comes, and ends when it is told to.
  const words = [...work, "-w", "1:2", "--feed", "static", "-s", "1", "--epochs", "100000"];
  const { coordinator, address } = await startCoordinator(place, words);
  const reach = ["--coordinator", address];
  const server = place.start(["server", ...reach, "--transport", "tcp"]);
  const other = place.start(["worker", ...reach]);
  // It ends at once, and does not try for its session any more.
  const picky = await place.start(["worker", ...reach, "--transport", "unix"]).end();
  assert.equal(picky.exitCode, 2, picky.err);
  assert.match(picky.err, /--transport unix: it has no Unix socket .*--transport tcp or auto/);
  const { globalSteps } = await place.snapshotAt(address);
  await until("two steps without it", async () => {
    return (await place.snapshotAt(address)).globalSteps >= globalSteps + 2;
  });
  coordinator.kill("SIGINT");
  assert.equal((await coordinator.end()).exitCode, 130, coordinator.told());
  await endWell(server, other);
});

test("SIGTERM lets a worker leave cleanly, and a server and a coordinator end", async (context) => {
  const place = await makePlace(context);
  const words = [...work, "-w", "2", "-s", "1", "--epochs", "200", "--name", "run"];
  const { coordinator, address } = await startCoordinator(place, words);
  const reach = ["--coordinator", address];
  const server = place.start(["server", ...reach]);
  const workers = [place.start(["worker", ...reach]), place.start(["worker", ...reach])];
  await place.step("run", 5);
  workers[0]!.kill("SIGTERM");
  assert.equal((await workers[0]!.end()).exitCode, 0, workers[0]!.told());
  const line = /^worker-\d drained at step \d+, going on with 1 worker$/m;
  await coordinator.waitFor(line);
  coordinator.kill("SIGTERM");
  assert.equal((await coordinator.end()).exitCode, 143, coordinator.told());
  assert.equal((await place.checkpoints("run")).length, 1);
  await endWell(server, workers[1]!);
  assert.deepEqual(await place.leftovers(), []);
});

longTest("a serving coordinator takes run after run with the same members", async (context) => {
  const place = await makePlace(context);
  const { coordinator, address } = await startCoordinator(place, ["--serve"]);
  const reach = ["--coordinator", address];
  const members = [
    place.start(["server", ...reach]),
    place.start(["worker", ...reach]),
    place.start(["worker", ...reach]),
  ];
  const idle = await place.call(["status", ...reach]);
  assert.equal(idle.exitCode, 0, idle.err);
  assert.match(idle.out, /run +none/);
  const results = [];
  for (const mode of ["bsp", "asp"]) {
    const lines = ["model: logistic", "data: mnist-parity", "workers: 2", "servers: 1"];
    await writeFile(
      place.path("run.yaml"),
      [...lines, "batch-size: 8", "epochs: 2", `mode: ${mode}`, `name: ${mode}-job`, ""].join("\n"),
    );
    const { exitCode, out, err } = await place.call(["submit", "run.yaml", ...reach]);
    assert.deepEqual({ exitCode, out }, { exitCode: 0, out: `${mode}-job\n` }, err);
    results.push(mode);
  }
  for (const mode of results) {
    await coordinator.waitFor(new RegExp(`result in runs/${mode}-job/result.json`));
    assert.equal((await place.result(`${mode}-job`)).paceline.outcome, "done");
  }
  // One that is between two registrations is not listed, and has no part to end in order.
  for (const member of members) {
    await member.waitFor(/job asp-job is over; registering again[\s\S]*registered with ID/);
  }
  const { exitCode, out } = await place.call(["status", ...reach, "--json"]);
  assert.equal(exitCode, 0);
  const { phase, members: listed } = JSON.parse(out);
  assert.equal(phase, "idle");
  assert.equal(listed.length, 3);
  for (const member of members) assert.equal(member.isOver, false, member.told());
  await endServing(coordinator, members);
  assert.deepEqual(await place.leftovers(), []);
});

test("a serving coordinator says no to a bad run and takes the next", async (context) => {
  const place = await makePlace(context);
  const { coordinator, address } = await startCoordinator(place, ["--serve"]);
  const reach = ["--coordinator", address];
  const members = [place.start(["server", ...reach]), place.start(["worker", ...reach])];
  const submit = ["submit", ...reach, ...work, "-s", "1", "--epochs", "1", "-w", "1"];
  const large = await place.run([...submit, "--name", "large", "--batch-size", "100000"]);
  await coordinator.waitFor(/a job is refused: --batch-size 100000 is larger/);
  assert.match(large.err, /--batch-size 100000 is larger than a worker's slice of 512/);
  assert.notEqual(large.exitCode, 0);
  const good = await place.run([...submit, "--name", "good"]);
  assert.equal(good.exitCode, 0, good.err);
  await coordinator.waitFor(/result in runs\/good\/result.json/);
  // One that is between two registrations has no part that it could end in order.
  for (const member of members) {
    await member.waitFor(/job good is over; registering again[\s\S]*registered with ID/);
  }
  await endServing(coordinator, members);
});

/** A serving coordinator ends on a signal; its members are then ended one by one. */
async function endServing(
  coordinator: RunningCommand,
  members: readonly RunningCommand[],
): Promise<void> {
  for (const member of members) member.kill("SIGTERM");
  await endWell(...members);
  coordinator.kill("SIGTERM");
  assert.equal((await coordinator.end()).exitCode, 143, coordinator.told());
}
