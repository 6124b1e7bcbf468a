/** A suite on a cluster that serves, as real processes. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { freePort, longTest, makePlace, type Place } from "./run-paceline.js";
import { type Cluster, serve } from "./serving-cluster.js";

const matrix = (more = "") => `
question: Does a cluster come to what one machine comes to?
base: {model: logistic, data: mnist-parity, epochs: 2, batch-size: 16, servers: 1${more}}
axes: {workers: [1, 2], lr: [0.1, 0.3]}
`;
const cells = ["1workers_lr0.1", "1workers_lr0.3", "2workers_lr0.1", "2workers_lr0.3"].map(
  (cell) => `sync_${cell}`,
);
const run = ["experiments", "run", "matrix.yaml"];

/** What a result says of the model, apart from times. */
async function outcomeOf(place: Place, folder: string, cell: string) {
  const path = place.path(folder, `${cell}.json`);
  const { experiment_name, paceline } = JSON.parse(await readFile(path, "utf8"));
  const { outcome, globalSteps, evaluations, fingerprint, epochs } = paceline;
  const measured = evaluations.map((one: { accuracy: number; loss: number; step: number }) => {
    return [one.step, one.accuracy, one.loss];
  });
  const losses = epochs.map((one: { trainLoss: number }) => one.trainLoss);
  return { experiment_name, outcome, globalSteps, measured, losses, fingerprint };
}

/** SHA-256 of the weights in the last checkpoint of a run's folder. */
async function weightsOf(folder: string): Promise<string> {
  const names = await readdir(`${folder}/checkpoints`);
  const last = names.toSorted((a, b) => Number(a.slice(5)) - Number(b.slice(5))).at(-1);
  const bytes = await readFile(`${folder}/checkpoints/${last}/model.safetensors`);
  return createHash("sha256").update(bytes).digest("hex");
}

/** Each cell's job, as suite.json says. */
async function jobsOf(place: Place, folder: string): Promise<Map<string, string>> {
  const state = JSON.parse(await readFile(place.path(folder, "suite.json"), "utf8"));
  const entries = Object.entries(state.cells as Record<string, { job: string }>);
  return new Map(entries.map(([cell, { job }]) => [cell, job]));
}

async function assertAlike(place: Place, cluster: Cluster): Promise<void> {
  const jobs = await jobsOf(place, "there");
  assert.deepEqual([...jobs.keys()].sort(), cells);
  for (const cell of cells) {
    assert.deepEqual(await outcomeOf(place, "there", cell), await outcomeOf(place, "here", cell));
    const there = await weightsOf(place.path("runs", jobs.get(cell)!));
    assert.equal(there, await weightsOf(place.path("here", "runs", cell)), cell);
  }
  const submitted = (await cluster.jobs()).map(({ name }) => name);
  assert.deepEqual(submitted.sort(), [...jobs.values()].sort(), "nothing was submitted twice");
}

longTest(
  "a suite that is killed goes on with its jobs, to a local suite's bits",
  async (context) => {
    const place = await makePlace(context);
    await writeFile(place.path("matrix.yaml"), matrix());
    const local = await place.run([...run, "--results-dir", "here"]);
    assert.equal(local.exitCode, 0, local.err);
    const cluster = await serve(place);
    const there = [...run, "--results-dir", "there", ...cluster.reach];
    const first = place.start(there);
    await first.waitFor(/sync_1workers_lr0.1: is job \S+ of 127.0.0.1/);
    await first.waitFor(/\[3\/4\] \S+: needs 2 workers and 1 servers, .* has 0 and 0: waits until/);
    await first.waitFor(/job \S+ waits for 1 more server: 0 of 1 are free/);
    const status = await place.call([
      "experiments",
      "status",
      "matrix.yaml",
      "--results-dir",
      "there",
    ]);
    assert.match(status.out, /^sync_1workers_lr0.1 +running .* job sync_1workers_lr0.1-\w+-1$/m);
    const second = await place.call(there);
    assert.equal(second.exitCode, 2, second.err);
    assert.match(second.err, /process \d+ on \S+ has been writing into there since/);
    cluster.add("server");
    cluster.add("worker", 2);
    await first.waitFor(/\[1\/4\] sync_1workers_lr0.1: done in /);
    first.kill("SIGKILL");
    await first.end();
    const again = await place.run(there);
    assert.equal(again.exitCode, 0, again.err);
    assert.match(again.err, /\[1\/4\] sync_1workers_lr0.1: finished; skipped/);
    assert.match(again.err, /\[4\/4\] sync_2workers_lr0.3: done in .* of the test set$/m);
    await assertAlike(place, cluster);
    const report = await place.call([
      "experiments",
      "report",
      "matrix.yaml",
      "--results-dir",
      "there",
    ]);
    assert.equal(report.exitCode, 0, report.err);
    assert.equal(report.out.match(/^sync_\dworkers_lr\S+ +sync /gm)?.length, 4, report.out);
    const kept = await readdir(place.path("there", "runs", cells[0]!));
    assert.deepEqual(kept.sort(), ["config.yaml", "events.jsonl", "metrics.jsonl", "result.json"]);
    await cluster.end();
  },
);

longTest(
  "a coordinator that is away for a while ends nothing; Ctrl-C leaves jobs",
  async (context) => {
    const place = await makePlace(context);
    await writeFile(place.path("matrix.yaml"), matrix(", eval-every: none"));
    const cluster = await serve(place);
    const there = [...run, "--results-dir", "there", ...cluster.reach];
    const first = place.start(there);
    await first.waitFor(/sync_2workers_lr0.3: is job /);
    cluster.coordinator.kill("SIGKILL");
    await cluster.coordinator.end();
    await first.waitFor(/; asking again/);
    const back = cluster.start();
    await back.waitFor(/^coordinator listens on/m);
    await first.waitFor(/the coordinator answers again/);
    first.kill("SIGINT");
    const { exitCode, err } = await first.end();
    assert.equal(exitCode, 130, err);
    assert.match(
      err,
      /stopped by SIGINT; run it again to continue\n.* goes on with sync_\S+-1, sync/,
    );
    const jobs = await jobsOf(place, "there");
    await place.call(["jobs", "cancel", jobs.get(cells[0]!)!, ...cluster.reach]);
    cluster.add("server");
    cluster.add("worker", 2);
    const again = await place.run(there);
    assert.equal(again.exitCode, 1, again.err);
    assert.match(again.err, /\[1\/4\] \S+: interrupted: its job was cancelled while it was queued/);
    const last = await place.run(there);
    assert.equal(last.exitCode, 0, last.err);
    assert.match(last.err, /starts over: is job sync_1workers_lr0.1-\w+-5 of/);
    assert.equal((await cluster.jobs()).length, 5);
    await cluster.end();
  },
);

test("what a cluster can't do is said before anything is submitted", async (context) => {
  const place = await makePlace(context);
  await writeFile(place.path("matrix.yaml"), matrix());
  const cluster = await serve(place);
  const injected = matrix(', inject: "kill:server=0,at=3"');
  await writeFile(place.path("injected.yaml"), injected);
  const port = await freePort();
  const alone = place.start([
    ...["coordinator", "--port", `${port}`, "--model", "mlp", "--data", "mnist", "-w", "1"],
  ]);
  await alone.waitFor(/^coordinator listens on/m);
  await writeFile(place.path("token"), "not-the-token-of-this-cluster-at-all\n", { mode: 0o600 });
  const guarded = await freePort();
  await writeFile(place.path("right"), "the-token-of-this-cluster-and-its-members\n", {
    mode: 0o600,
  });
  const secret = place.start([
    ...["coordinator", "--serve", "--port", `${guarded}`, "--run-dir", "guarded"],
    ...["--token-file", "right"],
  ]);
  await secret.waitFor(/^coordinator listens on/m);
  const nobody = ["--coordinator", `127.0.0.1:${await freePort()}`];
  const cases = [
    [
      ["experiments", "run", "injected.yaml", ...cluster.reach],
      2,
      /"inject" of sync_\S+ is no opt/,
    ],
    [[...run, "--coordinator", `127.0.0.1:${port}`], 2, /takes no jobs/],
    [[...run, ...nobody], 1, /127.0.0.1:\d+/],
    [[...run, "--coordinator", `127.0.0.1:${guarded}`, "--token-file", "token"], 1, /token/],
    [["experiments", "report", "matrix.yaml", ...cluster.reach], 2, /--coordinator does not apply/],
  ] as const;
  for (const [words, exitCode, complaint] of cases) {
    const ended = await place.call(words);
    assert.equal(ended.exitCode, exitCode, ended.err);
    assert.match(ended.err, complaint);
  }
  const threads = await place.call([...run, ...cluster.reach], { PACELINE_TRANSPORT: "tcp" });
  assert.match(threads.err, /"transport" of the environment \(PACELINE_TRANSPORT\) is no option/);
  assert.deepEqual(await cluster.jobs(), []);
  for (const one of [alone, secret]) {
    one.kill("SIGTERM");
    await one.end();
  }
  assert.ok(!(await readdir(place.folder)).includes("experiment_results"));
  await cluster.end();
});
