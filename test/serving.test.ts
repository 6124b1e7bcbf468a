/** A coordinator that serves: its queue outlives it, and members go from job to job. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import type { ServingSnapshot } from "../dist/runtime/serving/serving-picture.js";
import { longTest, makePlace, until } from "./run-paceline.js";
import { serve, work } from "./serving-cluster.js";

const small = ["-w", "2", "-s", "1", "--epochs", "2"];
const long = ["-w", "2", "-s", "1", "--epochs", "10"];

test("killed amid a job with others behind it: all end, the first in place", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const cluster = await serve(place);
  // The first job's second worker comes when the others are in the queue: it can't be over before.
  cluster.add("server");
  cluster.add("worker");
  await cluster.submit("first", ...long);
  for (const name of ["second", "third"]) await cluster.submit(name, ...small);
  const waiting = place.start(["submit", ...cluster.reach, ...work, ...small, "--wait"]);
  await waiting.waitFor(/^job-4$/m);
  cluster.add("worker");
  const follow = ["jobs", "logs", "first", "-f", ...cluster.reach];
  const following = place.start(follow);
  await place.step("first", 100);
  cluster.coordinator.kill("SIGKILL");
  await cluster.coordinator.end();
  const back = cluster.start();
  await back.waitFor(/goes on with first, second, third, job-4, of runs\/.queue.json/);
  await back.waitFor(/under term \d+: the run goes on in place, with 3 members/);
  for (const name of ["first", "second", "third", "job-4"]) await cluster.state(name, "done");
  const waited = await waiting.end();
  assert.equal(waited.exitCode, 0, waiting.told());
  const { exitCode, out } = await following.end();
  assert.equal(exitCode, 0, following.told());
  assert.match(out, /the run goes on in place[\s\S]*ended|done/);
  assert.doesNotMatch(out, /: lost at step/, "no member is lost");
  const { paceline } = await place.result("first");
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [480, 0]);
  }
  await cluster.end();
});

longTest("Ctrl-C keeps the queue and the run; a second coordinator is refused", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const cluster = await serve(place);
  const early = [...cluster.add("server"), ...cluster.add("worker")];
  await cluster.submit("first", ...long);
  await cluster.submit("second", ...small, "--priority", "-2");
  const other = await place.run(["coordinator", "--serve", "--port", "0"]);
  assert.equal(other.exitCode, 2);
  const who = `process ${cluster.coordinator.pid} on .* has been writing into runs since`;
  assert.match(other.err, new RegExp(who));
  const members = [...early, ...cluster.add("worker")];
  await place.step("first", 60);
  cluster.coordinator.kill("SIGINT");
  const { exitCode, err } = await cluster.coordinator.end();
  assert.equal(exitCode, 130, err);
  assert.match(err, /SIGINT: queued jobs are kept in runs\/.queue.json: second/);
  for (const member of members) await member.end();
  assert.equal((await place.checkpoints("first")).length, 1);
  const back = cluster.start();
  await back.waitFor(/goes on with first, second, of/);
  await back.waitFor(/^coordinator listens on/m);
  const [first] = (await cluster.jobs()).filter(({ name }) => name === "first");
  assert.match(`${first?.state} ${first?.reason}`, /^queued stopped by SIGINT at step \d+$/);
  cluster.add("server");
  cluster.add("worker", 2);
  for (const name of ["first", "second"]) await cluster.state(name, "done");
  const { paceline } = await place.result("first");
  assert.equal(paceline.outcome, "done");
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [480, 0]);
  }
  await cluster.end();
});

test("two at a time where members suffice; a large job waits for more", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const cluster = await serve(place, "--jobs", "2");
  cluster.add("server", 2);
  cluster.add("worker", 3);
  const endless = ["-w", "1", "-s", "1", "--epochs", "100000"];
  await cluster.submit("one", ...endless);
  await cluster.submit("large", "-w", "4", "-s", "1", "--epochs", "1");
  await cluster.submit("two", ...endless);
  await until("both train", async () => {
    const { runs } = (await place.snapshotAt(cluster.reach[1]!)) as ServingSnapshot;
    return runs.filter(({ globalSteps }) => globalSteps >= 5).length === 2;
  });
  await cluster.coordinator.waitFor(/job large waits for /);
  const { out } = await place.call(["status", ...cluster.reach]);
  assert.match(out, /2 jobs run: one, two/);
  assert.match(out, /^one +worker-0 /m);
  assert.match(out, /^two +worker-0 /m);
  assert.match(
    out,
    /^- +worker-\d .*idle: job large waits for its turn: one, two run, and --jobs/m,
  );
  const idle = /idle: job large waits for its turn/;
  await until("an idle member says why", () => cluster.members.some(({ err }) => idle.test(err)));
  const cancelled = await place.call(["jobs", "cancel", "one", ...cluster.reach]);
  assert.match(cancelled.out, /job one is cancelled: its run writes a checkpoint and ends/);
  const one = await cluster.state("one", "cancelled");
  assert.match(one.reason, /^cancelled at step \d+$/);
  assert.equal((await place.checkpoints("one")).length, 1);
  await cluster.coordinator.waitFor(/job large waits for \d more workers?: \d of 4 are free/);
  cluster.add("worker");
  await cluster.coordinator.waitFor(/job large waits for 1 more worker: 3 of 4 are free/);
  assert.equal((await place.call(["jobs", "cancel", "two", ...cluster.reach])).exitCode, 0);
  await cluster.state("two", "cancelled");
  await cluster.state("large", "done");
  await cluster.end();
});

test("a run that has lost a worker is given an idle one, in its rank", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const cluster = await serve(place);
  cluster.add("server");
  cluster.add("worker", 3);
  await cluster.submit("first", "-w", "2", "-s", "1", "--epochs", "100000");
  await place.step("first", 20);
  const { pid } = await place.member("first", "worker", 1);
  process.kill(pid, "SIGKILL");
  const other = await place.member("first", "worker", 1, pid);
  assert.ok(cluster.members.some((member) => member.pid === other.pid));
  await until("it takes part", async () => {
    const { members } = await place.snapshotAt(cluster.reach[1]!);
    return members.some((member) => member.pid === other.pid && member.inView);
  });
  await place.call(["jobs", "cancel", "first", ...cluster.reach]);
  await cluster.state("first", "cancelled");
  await cluster.end();
});

test("jobs are listed, shown, cancelled in the queue, and their events told", async (context) => {
  const place = await makePlace(context);
  const cluster = await serve(place);
  const call = (...words: string[]) => place.call(["jobs", ...words, ...cluster.reach]);
  assert.match((await call("ls")).err, /no jobs at 127.0.0.1/);
  await cluster.submit("first", ...small, "--priority", "3");
  await cluster.submit("second", ...small);
  await cluster.coordinator.waitFor(/job first waits for 1 more server: 0 of 1 are free/);
  const listed = (await call("ls")).out;
  assert.match(listed, /^1 +first +queued +3 +2w 1s .* waits for 1 more server: 0 of 1 are free/m);
  assert.match((await call("cancel", "2")).out, /^job second is cancelled: it was queued\n$/);
  assert.match((await call("cancel", "second")).err, /job second has ended \(cancelled\)/);
  assert.match((await call("show", "nothing")).err, /there is no job nothing here/);
  cluster.add("server");
  cluster.add("worker", 2);
  await cluster.state("first", "done");
  const { out: shown } = await call("show", "first");
  assert.match(shown, /^state +done$/m);
  assert.match(shown, /^result +step \d+ in .*accuracy/m);
  assert.match(shown, /^by +process \d+ on /m);
  const { out: told } = await call("logs", "first", "--tail", "3");
  assert.equal(told.trimEnd().split("\n").length, 3);
  assert.match(told, /training is done/);
  const failing = await place.run([
    ...["submit", ...cluster.reach, ...work, ...small, "--lr", "1e5", "--follow", "--json"],
  ]);
  assert.equal(failing.exitCode, 5, failing.err);
  assert.equal(JSON.parse(failing.out).state, "failed");
  assert.match(failing.err, /diverged|not finite|exploded/);
  await cluster.end();
});

longTest("all killed at once: the job goes on from its checkpoint with others", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const cluster = await serve(place);
  const members = [...cluster.add("server"), ...cluster.add("worker", 2)];
  await cluster.submit("first", ...long, "--checkpoint-every", "1e");
  await until("a checkpoint", async () => (await place.checkpoints("first")).length > 0);
  for (const one of [cluster.coordinator, ...members]) one.kill("SIGKILL");
  for (const one of [cluster.coordinator, ...members]) await one.end();
  await cluster.start().waitFor(/listens on/);
  cluster.add("server");
  cluster.add("worker", 2);
  await cluster.state("first", "done");
  const { paceline } = await place.result("first");
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [480, 0]);
  }
  await cluster.end();
});

test("a queue that is torn, or of another machine's process, is told and kept", async (context) => {
  const place = await makePlace(context);
  const cluster = await serve(place);
  await cluster.submit("first", ...small);
  cluster.coordinator.kill("SIGKILL");
  await cluster.coordinator.end();
  const [queue, lock] = [place.path("runs", ".queue.json"), place.path("runs", ".queue.lock")];
  const owner = JSON.parse(await readFile(lock, "utf8"));
  await writeFile(lock, JSON.stringify({ ...owner, host: "elsewhere" }));
  const words = ["coordinator", "--serve", "--port", "0"];
  const refused = await place.run(words);
  assert.equal(refused.exitCode, 2);
  assert.match(refused.err, /on elsewhere has been writing into runs since .*: if it is gone, add/);
  const text = await readFile(queue, "utf8");
  await writeFile(queue, text.slice(0, 50));
  const torn = await place.run([...words, "--take-over"]);
  assert.equal(torn.exitCode, 1);
  assert.match(torn.err, /runs\/.queue.json is not JSON: restore it, or move it away/);
  await writeFile(queue, text);
  await cluster.start().waitFor(/goes on with first[\s\S]*listens on/);
  await cluster.end();
});
