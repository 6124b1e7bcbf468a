import assert from "node:assert/strict";
import { test } from "node:test";
import { longTest, makePlace, metricsOf, type Place, until } from "./run-paceline.js";

const logistic = ["train", "--model", "logistic", "--data", "mnist-parity"];
const pace = ["--batch-size", "4", "--eval-every", "none"];
const unrestarted = ["--max-restarts", "0", "--name", "run"];

/** Kills a member of the run and returns its pid. */
async function killMember(place: Place, run: string, role: "server" | "worker", id: number) {
  const { pid } = await place.member(run, role, id);
  process.kill(pid, "SIGKILL");
  return pid;
}

test("a worker killed in mid-epoch is one line and is replaced", async (context) => {
  const place = await makePlace(context, { train: 2048 });
  // Its silence would be noticed after the lease: sooner it can only be its supervisor.
  const words = [...pace, "-w", "4", "-s", "2", "--epochs", "4", "--lease", "1h"];
  const command = place.start([...logistic, ...words, "--name", "run"]);
  await place.step("run", 15);
  const pid = await killMember(place, "run", "worker", 2);
  const line = await command.waitFor(
    /^worker-2 .*: lost at step (\d+), going on with 3 workers.*$/m,
  );
  const before = await place.step("run", 0);
  const goesOn = () =>
    place.snapshot("run").then((now) => now!.globalSteps > before.globalSteps + 2);
  await until("progress after the loss", goesOn);
  const successor = await place.member("run", "worker", 2, pid);
  const { exitCode, err, out } = await command.end();
  assert.equal(exitCode, 0, command.told());
  assert.equal([...err.matchAll(/^worker-2 .*lost.*$/gm)].length, 1, line[0]);
  assert.notEqual(successor.pid, pid);
  const events = await place.events("run");
  const lives = events.filter(({ kind, rank }) => kind === "registered" && rank === 2);
  assert.equal(lives.filter(({ role }) => role === "worker").length, 2);
  const takesPart = events.filter(({ text }) => /^worker-2 takes part from step \d+/.test(text));
  assert.equal(takesPart.length, 1);
  assert.equal(metricsOf(out).length, 5);
  const { paceline } = await place.result("run");
  const [first] = paceline.epochs;
  assert.equal(first!.examples + first!.skipped, 2048);
  assert.deepEqual(await place.leftovers(), []);
});

// The first epoch has steps enough for both to be killed in it, however fast they are.
longTest(
  "with all but one killed and none restarted, the last one ends the run",
  async (context) => {
    const examples = 8192;
    const place = await makePlace(context, { train: examples });
    const words = [...pace, ...["-w", "3", "-s", "1", "--epochs", "2"], ...unrestarted];
    const command = place.start([...logistic, ...words]);
    await place.step("run", 5);
    for (const rank of [1, 2]) await killMember(place, "run", "worker", rank);
    const { exitCode, err } = await command.end();
    assert.equal(exitCode, 0, command.told());
    assert.match(err, /^worker-\d .*: lost at step \d+, going on with 1 worker$/m);
    const { paceline } = await place.result("run");
    assert.ok(paceline.skippedExamples > 0);
    assert.match(err, new RegExp(`${paceline.skippedExamples} examples skipped`));
    const [first, second] = paceline.epochs;
    assert.equal(first!.examples + first!.skipped, examples);
    assert.deepEqual([second!.examples, second!.skipped], [examples, 0]);
    assert.deepEqual(await place.leftovers(), []);
  },
);

test("below the minimum of workers the run ends with 4 and says what to do", async (context) => {
  const place = await makePlace(context);
  const words = [...pace, ...["-w", "2:2", "-s", "1", "--epochs", "200"], ...unrestarted];
  const command = place.start([...logistic, ...words]);
  await place.step("run", 5);
  await killMember(place, "run", "worker", 1);
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 4, command.told());
  assert.match(
    err,
    /1 worker is left and at least 2 must be: go on from its checkpoint of step \d+/,
  );
  assert.deepEqual(await place.leftovers(), []);
});

test("a lost server ends the run with 1 and its name", async (context) => {
  const place = await makePlace(context);
  const cluster = ["-w", "1", "-s", "2", "--server-grace", "0s"];
  const words = [...pace, ...cluster, "--epochs", "200", "--name", "run"];
  const command = place.start([...logistic, ...words]);
  await place.step("run", 5);
  const pid = await killMember(place, "run", "server", 1);
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 1, command.told());
  assert.match(err, new RegExp(`server-1 \\(pid ${pid} .*is lost: .*no checkpoint was written`));
  assert.equal((await place.result("run")).paceline.exitCode, 1);
  assert.deepEqual(await place.leftovers(), []);
});

test("a second Ctrl-C stops at once, also when a worker hangs", async (context) => {
  const place = await makePlace(context);
  const words = [
    ...pace,
    ...["-w", "1", "-s", "1", "--epochs", "200", "--lease", "1h", "--name", "run"],
  ];
  const command = place.start([...logistic, ...words]);
  await place.step("run", 5);
  const { pid } = await place.member("run", "worker", 0);
  process.kill(pid, "SIGSTOP");
  command.kill("SIGINT");
  await command.waitFor(/SIGINT: writing a checkpoint/);
  // A press that comes within a moment of the first is taken for the same one.
  let pressedMs = performance.now();
  await until("the end", () => {
    if (performance.now() - pressedMs >= 50) {
      command.kill("SIGINT");
      pressedMs = performance.now();
    }
    return command.isOver;
  });
  const { exitCode } = await command.end();
  assert.equal(exitCode, 130, command.told());
  await until("no process left", async () => (await place.leftovers()).length === 0);
  assert.deepEqual(await place.checkpoints("run"), []);
});

test("a coordinator lost for good ends the run with 1, and the members", async (context) => {
  const place = await makePlace(context);
  const once = ["--max-restarts", "0", "--epochs", "200"];
  const words = [...pace, "-w", "1", "-s", "1", ...once, "--name", "run"];
  const command = place.start([...logistic, ...words]);
  await place.step("run", 5);
  const { pid } = await place.member("run", "coordinator", 0);
  assert.notEqual(pid, command.pid);
  process.kill(pid, "SIGKILL");
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 1, command.told());
  const told = `the coordinator \\(pid ${pid}\\) ended with SIGKILL: the run is over; it left`;
  assert.match(err, new RegExp(`^paceline: ${told} no checkpoint`, "m"));
  assert.deepEqual(await place.leftovers(), []);
});

test("a signal that reaches the coordinator too, as Ctrl-C does, counts once", async (context) => {
  const place = await makePlace(context);
  const words = [...pace, "-w", "1", "-s", "1", "--epochs", "200", "--name", "run"];
  const command = place.start([...logistic, ...words]);
  await place.step("run", 5);
  const { pid } = await place.member("run", "coordinator", 0);
  process.kill(pid, "SIGINT");
  command.kill("SIGINT");
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 130, command.told());
  assert.match(err, /resume with: paceline resume .*\/run$/m);
  assert.equal((await place.checkpoints("run")).length, 1);
  assert.deepEqual(await place.leftovers(), []);
});

test("where the supervisor is killed the run is saved, and nobody stays", async (context) => {
  const place = await makePlace(context);
  const words = [...pace, "-w", "1", "-s", "1", "--epochs", "200", "--name", "run"];
  const command = place.start([...logistic, ...words]);
  await place.step("run", 5);
  // The supervisor, the coordinator, a server, a worker.
  assert.equal((await place.leftovers()).length, 4);
  command.kill("SIGKILL");
  assert.equal((await command.end()).signal, "SIGKILL");
  await until("no process left", async () => (await place.leftovers()).length === 0);
  const { paceline } = await place.result("run");
  assert.equal(paceline.outcome, "interrupted");
  assert.equal((await place.checkpoints("run")).length, 1);
});
