/** Members that come and go by themselves while a run goes on, each a process of its own. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { makePlace, type Place, type RunningCommand, until } from "./run-paceline.js";

const work = [
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--epochs", "10000"],
  ...["--eval-every", "none", "--chunk-values", "20000", "--name", "run"],
];

/** Starts a coordinator on any port, and answers with how members are started for it. */
async function startCoordinator(place: Place, words: readonly string[]) {
  const coordinator = place.start(["coordinator", "--port", "0", ...work, ...words]);
  const [, address] = await coordinator.waitFor(/coordinator listens on (\S+:\d+)/);
  const start = (role: "server" | "worker") => place.start([role, "--coordinator", address!]);
  return { coordinator, start };
}

/** Waits until so many events of the run match. */
function told(place: Place, what: RegExp, times = 1): Promise<unknown> {
  return until(`${times} times ${what}`, async () => {
    const events = await place.events("run");
    return events.filter(({ text }) => what.test(text)).length >= times;
  });
}

async function leavesInOrder(member: RunningCommand): Promise<void> {
  assert.equal((await member.end()).exitCode, 0, member.told());
}

/** The run is stopped: its epochs count what servers have applied, and nothing is skipped. */
async function demandAccount(place: Place, coordinator: RunningCommand): Promise<void> {
  coordinator.kill("SIGTERM");
  assert.equal((await coordinator.end()).exitCode, 143, coordinator.told());
  const { paceline } = await place.result("run");
  assert.ok(paceline.epochs.length > 0, "an epoch is over");
  for (const { epoch, examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [512, 0], `epoch ${epoch}`);
  }
  const last = (await place.checkpoints("run")).at(-1)!;
  const path = place.path("runs", "run", "checkpoints", last, "manifest.json");
  const { examples, cursor: account } = JSON.parse(await readFile(path, "utf8"));
  const counted = [...account.epochs, ...account.openEpochs].reduce(
    (sum: number, one: { examples: number }) => sum + one.examples,
    0,
  );
  assert.equal(examples, counted, "each example that is counted is applied once");
}

test("workers go from 2 to 6 to 3 and servers from 2 to 4 to 3 in one run", async (context) => {
  const place = await makePlace(context);
  const { coordinator, start } = await startCoordinator(place, ["-w", "2:6", "-s", "2:4"]);
  const servers = [start("server"), start("server")];
  const workers = [start("worker"), start("worker")];
  await told(place, /^training starts with 2 workers and 2 servers$/);
  for (let count = 0; count < 4; count++) workers.push(start("worker"));
  await told(place, /^worker-\d takes part from step/, 4);
  servers.push(start("server"), start("server"));
  await told(place, /^view .*: 6 workers and 4 servers$/);
  await told(place, /^chunk moves: \d+ done in/);
  // Two of the first and one of those who came.
  const leaving = [workers[0]!, workers[1]!, workers[5]!];
  for (const worker of leaving) worker.kill("SIGTERM");
  for (const worker of leaving) await leavesInOrder(worker);
  await told(place, /^worker-\d drained at step \d+, going on with \d workers$/, 3);
  servers[0]!.kill("SIGTERM");
  await leavesInOrder(servers[0]!);
  await told(place, /^view .*: 3 workers and 3 servers$/);
  await demandAccount(place, coordinator);
  for (const member of [...workers.slice(2, 5), ...servers.slice(1)]) await leavesInOrder(member);
  const events = await place.events("run");
  assert.deepEqual(
    events.filter(({ kind }) => kind === "lost"),
    [],
  );
  const config = await readFile(place.path("runs", "run", "config.yaml"), "utf8");
  assert.match(config, /^ *feed: leased/m);
  assert.deepEqual(await place.leftovers(), []);
});

test("below its minimum a run waits, goes on when one comes, and else ends", async (context) => {
  const place = await makePlace(context);
  const words = ["-w", "2:3", "-s", "1", "--wait-for-workers", "10s"];
  const { coordinator, start } = await startCoordinator(place, words);
  const server = start("server");
  const workers = [start("worker"), start("worker")];
  await told(place, /^training starts/);
  workers[0]!.kill("SIGTERM");
  await leavesInOrder(workers[0]!);
  const waits = /^1 worker is there and at least 2 must be: training waits up to 10 s for 1 more$/;
  await told(place, waits);
  workers.push(start("worker"));
  await told(place, /^worker-\d takes part from step/);
  const snapshot = await place.snapshot("run");
  await place.step("run", snapshot!.globalSteps + 5);
  workers[1]!.kill("SIGTERM");
  await leavesInOrder(workers[1]!);
  await told(place, waits, 2);
  assert.equal((await coordinator.end()).exitCode, 4, coordinator.told());
  const end =
    /1 worker is left and at least 2 must be, after 10 s of waiting: go on from its checkp/;
  assert.match(coordinator.err, end);
  assert.equal((await place.checkpoints("run")).length, 1);
  for (const member of [server, workers[2]!]) {
    assert.equal((await member.end()).exitCode, 1, member.told());
  }
  assert.deepEqual(await place.leftovers(), []);
});

test("a server that can't be let go leaves when it is told again", async (context) => {
  const place = await makePlace(context);
  const { coordinator, start } = await startCoordinator(place, ["-w", "1", "-s", "1"]);
  const server = start("server");
  const worker = start("worker");
  await told(place, /^training starts/);
  server.kill("SIGTERM");
  await told(
    place,
    /^server-0 asks to leave \(SIGTERM\): server-0 can't be drained: it is the only/,
  );
  assert.equal(server.isOver, false);
  server.kill("SIGINT");
  assert.equal((await server.end()).exitCode, 130, server.told());
  assert.match(server.err, /SIGTERM: waits up to 30 s to leave in order; a second signal leaves/);
  await told(place, /^server-0 left: SIGINT/);
  coordinator.kill("SIGTERM");
  await coordinator.end();
  await worker.end();
});
