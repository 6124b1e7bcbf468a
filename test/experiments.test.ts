import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { readStudyResults } from "../dist/study/read-results.js";
import { longTest, makePlace, type Place, until } from "./run-paceline.js";

const matrix = (epochs: number) => `
question: Does a small suite hold together?
base:
  {model: logistic, data: mnist-parity, epochs: 1, batch-size: 16, servers: 1, lease: 1s,
   server-grace: 0s}
include:
  - {workers: 1}
  - {workers: 2, inject: "kill:server=0,at=3", epochs: 400}
  - {workers: 3, mode: async, batch-size: 4, epochs: ${epochs}}
priority:
  - {match: {workers: 2}, priority: high}
  - {match: {workers: 3}, priority: optional}
`;

const plain = "sync_1workers_injectnone_epochs1_batch-size16";
const failing = "sync_2workers_injectkill-server-0-at-3_epochs400_batch-size16";
const long = (epochs: number) => `async_3workers_injectnone_epochs${epochs}_batch-size4`;

async function stateOf(place: Place, cell: string) {
  const text = await readFile(place.path("experiment_results", "suite.json"), "utf8");
  return JSON.parse(text).cells[cell];
}

test("a suite is interrupted and goes on; a failing cell stops no other", async (context) => {
  const place = await makePlace(context);
  const epochs = 16;
  const slow = long(epochs);
  await writeFile(place.path("matrix.yaml"), matrix(epochs));
  const words = ["experiments", "run", "matrix.yaml"];

  const dry = await place.call([...words, "--dry-run", "--json"]);
  assert.equal(dry.exitCode, 0, dry.err);
  const names = JSON.parse(dry.out).cells.map(({ name }: { name: string }) => name);
  assert.deepEqual(names, [failing, plain, slow]);

  const first = place.start(words);
  const log = place.path("experiment_results", "cells", `${slow}.log`);
  await until("two epochs of the long cell", async () => {
    const text = await readFile(log, "utf8").catch(() => "");
    return /Epoch 2\//.test(text) || first.isOver;
  });
  first.kill("SIGINT");
  const interrupted = await first.end();
  assert.equal(interrupted.exitCode, 130, first.told());
  assert.match(interrupted.err, new RegExp(`\\[1/3\\] ${failing}: failed: exit code 1: .*server`));
  assert.match(interrupted.err, new RegExp(`\\[2/3\\] ${plain}: done in .* of the test set`));
  assert.match(interrupted.err, new RegExp(`\\[3/3\\] ${slow}: interrupted`));
  assert.deepEqual(await place.leftovers(), []);
  const { state, lastLines } = await stateOf(place, failing);
  assert.equal(state, "failed");
  assert.ok(lastLines.length > 0);

  const status = await place.call(["experiments", "status", "matrix.yaml", "--json"]);
  const told = JSON.parse(status.out).cells.map((cell: { state: string }) => cell.state);
  assert.deepEqual(told, ["failed", "done", "interrupted"], status.out);

  const second = await place.run(words);
  assert.equal(second.exitCode, 1, second.err);
  assert.match(second.err, new RegExp(`${failing}: failed: .*; --retry-failed runs it again`));
  assert.match(second.err, new RegExp(`${plain}: finished; skipped`));
  assert.match(second.err, new RegExp(`${slow}: half-finished: continues from step \\d+`));
  assert.equal((await stateOf(place, slow)).resumed, true);

  const { results, problems } = await readStudyResults(place.path("experiment_results"));
  assert.deepEqual(problems, []);
  assert.deepEqual(
    results.map(({ name, workers, outcome, epochs }) => [name, workers, outcome, epochs.length]),
    [
      [slow, 3, "done", epochs],
      [plain, 1, "done", 1],
    ],
  );

  const report = await place.call(["experiments", "report", "matrix.yaml"]);
  assert.equal(report.exitCode, 0, report.err);
  assert.match(report.out, /^Experiment +Mode +Workers +Time\(s\) +Epoch\(s\) +Accuracy\(%\)$/m);
  const page = await readFile(place.path("experiment_results", "report.md"), "utf8");
  assert.match(page, /\*\*Question\.\*\* Does a small suite hold together\?/);
  assert.match(page, new RegExp(`${failing} failed: exit code 1`));
  assert.match(page, new RegExp(`${slow} was resumed from a checkpoint`));
});

longTest("a cell that outlives its suite is seen, and continued later", async (context) => {
  const place = await makePlace(context);
  const cell = "async_2workers";
  const options = "model: logistic, data: mnist-parity, epochs: 60, batch-size: 4";
  const text = `base: {${options}}\naxes: {workers: [2], mode: [async]}\n`;
  await writeFile(place.path("matrix.yaml"), text);
  const words = ["experiments", "run", "matrix.yaml"];
  const suite = place.start(words);
  const log = place.path("experiment_results", "cells", `${cell}.log`);
  const told = () => readFile(log, "utf8").catch(() => "");
  await until("an epoch", async () => /Epoch 1\//.test(await told()) || suite.isOver);
  const second = await place.call(words);
  assert.equal(second.exitCode, 2, second.err);
  assert.match(
    second.err,
    /process \d+ on \S+ has been writing into experiment_results since .*: wait until it ends/,
  );

  suite.kill("SIGKILL");
  await suite.end();
  const status = await place.call(["experiments", "status", "matrix.yaml"]);
  assert.match(status.out, new RegExp(`^${cell} .*running .*process \\d+$`, "m"));
  const third = await place.call(words);
  assert.equal(third.exitCode, 2, third.err);
  assert.match(third.err, new RegExp(`${cell} can't be run: process \\d+ still trains it`));

  process.kill((await stateOf(place, cell)).pid, "SIGINT");
  await until("the end of everything", async () => (await place.leftovers()).length === 0);
  const last = await place.run(words);
  assert.equal(last.exitCode, 0, last.err);
  assert.match(last.err, new RegExp(`${cell}: half-finished: continues from step \\d+`));
});

test("a matrix that is wrong is refused before anything runs", async (context) => {
  const place = await makePlace(context);
  const text = "base: {model: logistic, data: mnist-parity}\naxes:\n  wrokers: [1]\n";
  await writeFile(place.path("matrix.yaml"), text);
  const { exitCode, err } = await place.call(["experiments", "run", "matrix.yaml"]);
  assert.equal(exitCode, 2);
  assert.match(err, /^paceline: "wrokers" in matrix\.yaml line 3, .* \(did you mean workers\?\)/);
});

test("a dry run refuses what train --dry-run refuses of a cell", async (context) => {
  const place = await makePlace(context);
  const text =
    "base: {model: logistic, data: mnist-parity, epochs: 1, workers: 2}\n" +
    "axes:\n  chunk-values: [64, 4096]\n  token-file: [none, no-such-token]\n" +
    "include:\n  - {data: no-such-set, chunk-values: 64}\n";
  await writeFile(place.path("matrix.yaml"), text);
  const words = ["experiments", "run", "matrix.yaml", "--dry-run"];
  const { exitCode, out, err } = await place.call([...words, "--json"]);
  const { cells } = JSON.parse(out) as { cells: { name: string; problem: string | null }[] };
  const wrong = cells.filter(({ problem }) => problem !== null);
  assert.deepEqual([cells.length, wrong.length, exitCode], [5, 3, 2], out);
  for (const { name, problem } of wrong) {
    assert.match(problem ?? "", /no-such-token|no-such-set/);
    assert.ok(err.includes(`${name}: ${problem}\n`), err);
  }
  assert.equal((await place.call(words)).exitCode, 2);
  assert.deepEqual((await readdir(place.folder)).sort(), ["data", "matrix.yaml"]);
});

longTest("a search for a switch runs what it needs, and nothing again", async (context) => {
  const place = await makePlace(context, { train: 120 });
  const file = "model: logistic\ndata: mnist-parity\nworkers: 2\nepochs: 2\nbatch-size: 10\n";
  await writeFile(place.path("digits.yaml"), file);
  // With a margin of all accuracy each share is enough.
  const words = ["tune", "switch", "digits.yaml", "--trials", "1", "--margin", "1"];
  const first = await place.run(words);
  assert.equal(first.exitCode, 0, first.err);
  assert.equal(first.out, "switch at 50% of the work\n");
  assert.match(first.err, /^\[1\/1\] bsp-asp_2workers_planbsp-50-asp: done in .* test set$/m);
  const table = place.path("tune_results", "switch.csv");
  const rows = (await readFile(table, "utf8")).trimEnd().split("\n");
  assert.match(rows.join(), /^share,accuracy,1,0\.\d+,0\.5,0\.\d+$/);
  const chart = await readFile(
    place.path("tune_results", "charts", "accuracy_vs_share.svg"),
    "utf8",
  );
  assert.match(chart, /50% of the work in step keeps the accuracy/);
  const second = await place.run(words);
  assert.equal([...second.err.matchAll(/; skipped$/gm)].length, 2, second.err);
  const again = await place.call(["tune", "switch", "--replay", table, "--trials", "1"]);
  assert.equal(again.exitCode, 0, again.err);

  await writeFile(place.path("planned.yaml"), `${file}plan: bsp:50%,asp\n`);
  for (const [words, problem] of [
    [["planned.yaml"], /plan in planned.yaml is what paceline tune switch tries; leave it out/],
    [["nowhere.yaml"], /nowhere.yaml can't be read .*give a file of options, or --replay/],
    [["digits.yaml", "--replay", table], /takes a run's file or --replay, and got both/],
    [[], /takes a run's file or --replay, and got neither/],
    [["digits.yaml", "--runs", "0"], /--runs 0 is not a whole number from 1 to 100/],
  ] as const) {
    const refused = await place.call(["tune", "switch", ...words]);
    assert.equal(refused.exitCode, 2, refused.err);
    assert.match(refused.err, problem);
  }
});
