import assert from "node:assert/strict";
import { mkdir, readdir } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { freePort, longTest, makePlace, type Place, until } from "./run-paceline.js";

const model = ["--model", "logistic", "--data", "mnist-parity", "-s", "2", "--eval-every", "none"];
const dealt = (feed: string) => ["train", ...model, "--feed", feed, "--batch-size", "4"];

/** Every example of every epoch was used once, none skipped. */
async function assertAllUsed(place: Place, run: string, examples: number): Promise<void> {
  const { paceline } = await place.result(run);
  for (const epoch of paceline.epochs) {
    assert.deepEqual([epoch.examples, epoch.skipped], [examples, 0], `epoch ${epoch.epoch}`);
  }
  assert.equal(paceline.skippedExamples, 0);
}

async function dealtAgain(place: Place, run: string): Promise<string[]> {
  const texts = (await place.events(run)).map(({ text }) => String(text));
  return texts.filter((text) => / are dealt again to worker-\d$/.test(text));
}

/**
 * Stops worker 1 where the others wait for its push. Stopped between its push and its word of it,
 * it would hold up the next round without a batch; then it may go on for two steps.
 */
async function stickWithBatch(place: Place, run: string, pid: number): Promise<void> {
  for (;;) {
    process.kill(pid, "SIGSTOP");
    let last = "";
    let times = 0;
    const waits = await until("the others to wait for the stuck worker", async () => {
      const { members, globalSteps } = (await place.snapshot(run))!;
      const others = members.filter(({ role, rank }) => role === "worker" && rank !== 1);
      const activities = others.map(({ activity }) => activity);
      const now = [globalSteps, ...activities].join();
      times = now === last ? times + 1 : 0;
      last = now;
      // Members tell of themselves four times a second, and are asked twenty times at most.
      const stands = times > 8 && activities.every((text) => /waiting for/.test(text));
      return (
        stands && {
          globalSteps,
          forPush: activities.every((text) => /parts of the new weights$/.test(text)),
        }
      );
    });
    if (waits.forPush) return;
    process.kill(pid, "SIGCONT");
    await place.step(run, waits.globalSteps + 2);
  }
}

for (const [declare, feed, ...pace] of [
  [longTest, "leased"],
  [test, "central", "--mode", "asp"],
  [longTest, "central", "--mode", "ssp", "--staleness", "2"],
] as const) {
  const title = [feed, ...pace].join(" ");
  declare(
    `${title}: with a worker killed by injection each example is used once`,
    async (context) => {
      const place = await makePlace(context, { train: 514 });
      const words = ["-w", "3", "-e", "2", "--inject", "kill:worker=1,at=9", "--name", "run"];
      const command = place.start([...dealt(feed), ...pace, ...words]);
      const { exitCode, err } = await command.end();
      assert.equal(exitCode, 0, command.told());
      assert.match(err, /^worker-1 .*: lost at step \d+, going on with 2 workers$/m);
      await assertAllUsed(place, "run", 514);
      assert.deepEqual(await place.leftovers(), []);
    },
  );
}

for (const [declare, feed] of [
  [test, "leased"],
  [longTest, "central"],
] as const) {
  declare(`${feed}: the batch of a stuck worker that is killed is dealt again`, async (context) => {
    const place = await makePlace(context, { train: 1026 });
    // Long enough for a worker to be stopped in it, however busy the machine is.
    const words = ["-w", "3", "-e", "3", "--max-restarts", "0", "--lease", "1h", "--name", "run"];
    const command = place.start([...dealt(feed), ...words]);
    await place.step("run", 5);
    const { pid } = await place.member("run", "worker", 1);
    await stickWithBatch(place, "run", pid);
    process.kill(pid, "SIGKILL");
    const { exitCode } = await command.end();
    assert.equal(exitCode, 0, command.told());
    await assertAllUsed(place, "run", 1026);
    const again = await dealtAgain(place, "run");
    const { paceline } = await place.result("run");
    // Stuck in the middle of its pushes it would leave a torn step, and a batch that is used.
    assert.equal(again.length + paceline.tornSteps, 1, command.told());
    for (const text of again)
      assert.match(text, /^examples \d+ to \d+ of epoch \d, left by worker-1/);
    assert.deepEqual(await place.leftovers(), []);
  });
}

const pace = ["-w", "3", "-e", "2"];

/** A place where a run of leased batches has ended, undisturbed. */
async function placeWithWhole(context: TestContext): Promise<Place> {
  const place = await makePlace(context, { train: 480 });
  const whole = await place.run([...dealt("leased"), ...pace, "--name", "whole"]);
  assert.equal(whole.exitCode, 0, whole.err);
  return place;
}

test("workers without files touch no folder, and end in the bits of others", async (context) => {
  // Roles of their own; only the coordinator has the data.
  const place = await placeWithWhole(context);
  const port = String(await freePort());
  const run = [...model, "--batch-size", "4", "--feed", "central", "--port", port];
  const coordinator = place.start(["coordinator", ...run, ...pace, "--name", "central"]);
  const folders = [place.path("no-data"), place.path("no-cache")] as const;
  for (const folder of folders) await mkdir(folder);
  const to = ["--coordinator", `127.0.0.1:${port}`];
  const servers = [0, 1].map((index) => {
    return place.start(["server", ...to, "--rank", String(index), "--port", "0"]);
  });
  const where = ["--data-dir", folders[0], "--cache-dir", folders[1]];
  const workers = [0, 1, 2].map((rank) => {
    return place.start(["worker", ...to, ...where, "--rank", String(rank)]);
  });
  for (const command of [coordinator, ...servers, ...workers]) {
    assert.equal((await command.end()).exitCode, 0, command.told());
  }
  assert.equal(await place.weights("central"), await place.weights("whole"));
  const results = await Promise.all([place.result("central"), place.result("whole")]);
  const [sent, read] = results.map(({ paceline }) => {
    const { accuracy, loss } = paceline.evaluations.at(-1)!;
    return { accuracy, loss };
  });
  assert.deepEqual(sent, read);
  for (const folder of folders) assert.deepEqual(await readdir(folder), []);
});

longTest("a run resumed with the other feed ends in the bits of others", async (context) => {
  const place = await placeWithWhole(context);
  const stopped = place.start([...dealt("central"), ...pace, "--name", "stopped"]);
  await place.step("stopped", 8);
  stopped.kill("SIGINT");
  assert.equal((await stopped.end()).exitCode, 130, stopped.told());
  const [kept] = await place.checkpoints("stopped");
  assert.notEqual(Number(kept!.replace("step-", "")) % 40, 0, "it stopped within an epoch");
  const other = await place.call([...dealt("static"), ...pace, "--resume", "stopped"]);
  assert.equal(other.exitCode, 6, other.err);
  assert.match(other.err, /was written with --feed central and this run has static/);
  const rest = place.start([...dealt("leased"), ...pace, "--resume", "stopped"]);
  assert.equal((await rest.end()).exitCode, 0, rest.told());
  assert.equal(await place.weights("stopped"), await place.weights("whole"));
  await assertAllUsed(place, "stopped", 480);
});
