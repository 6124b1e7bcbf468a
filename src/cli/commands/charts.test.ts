import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { runProgram } from "../program.js";

const root = mkdtempSync(join(tmpdir(), "paceline-command-charts-"));
after(() => rmSync(root, { recursive: true }));

let folderCount = 0;
function newFolder(): string {
  const path = join(root, `folder-${++folderCount}`);
  mkdirSync(path);
  return path;
}

async function call(...words: readonly string[]) {
  const texts = { out: "", err: "" };
  const exitCode = await runProgram(["charts", ...words], {
    stdout: { write: (text) => (texts.out += text) },
    stderr: { write: (text) => (texts.err += text) },
    environment: {},
    isTerminal: false,
  });
  return { exitCode, ...texts };
}

/** A file of the published form, as its own tools write it: without server metrics. */
function publishedFile(mode: string, workers: number, seconds: number): string {
  const raw = Array.from({ length: workers }, (_, worker) => ({
    worker_id: worker,
    total_workers: workers,
    total_training_time_seconds: seconds - worker,
    average_epoch_time_seconds: seconds / 3,
    epoch_times_seconds: [seconds / 3 + 1, seconds / 3, seconds / 3 - 1],
    final_test_accuracy_percent: 4.5,
    all_accuracies_percent: [3, 4, 4.5],
    local_steps_completed: 100,
    batch_size: 128,
    learning_rate: 0.1,
    num_epochs: 3,
  }));
  return JSON.stringify({
    experiment_name: `${mode}_${workers}workers`,
    timestamp: "2025-11-30T12:00:00",
    server_metrics: null,
    worker_metrics_aggregated: { num_workers: workers, per_worker_metrics: raw },
    raw_worker_metrics: raw,
  });
}

/** A folder of published results: both modes at two worker counts. */
function resultsFolder(): string {
  const folder = newFolder();
  for (const [mode, workers, seconds] of [
    ["sync", 4, 1320],
    ["async", 4, 1200],
    ["sync", 8, 960],
    ["async", 8, 720],
  ] as const)
    writeFileSync(
      join(folder, `${mode}_${workers}workers.json`),
      publishedFile(mode, workers, seconds),
    );
  return folder;
}

const quick = ["--theme", "light", "--format", "svg"];

describe("paceline charts", () => {
  test("draws a folder of published files into charts/ beside them", async () => {
    const folder = resultsFolder();
    const { exitCode, out, err } = await call("--results-dir", folder, ...quick);
    assert.equal(exitCode, 0, err);
    const names = [
      "accuracy_vs_time.svg",
      "accuracy_vs_work.svg",
      "scaling_analysis.svg",
      "sync_vs_async_4workers.svg",
      "sync_vs_async_8workers.svg",
    ];
    assert.deepEqual(readdirSync(join(folder, "charts")).sort(), names);
    const paths = names.map((name) => join(folder, "charts", name));
    assert.deepEqual(out.trimEnd().split("\n").sort(), paths);
    assert.match(err, /staleness_histogram is not drawn: no file counts its pushes by staleness/);
  });
  test("compares at the worker counts asked for, with a missing mode said", async () => {
    const folder = resultsFolder();
    const flags = ["--compare-workers", "8,16", "--experiments", "sync_8workers,async_8workers"];
    const { out, err } = await call("--results-dir", folder, ...flags, ...quick);
    assert.match(out, /sync_vs_async_8workers\.svg/);
    assert.doesNotMatch(out, /sync_vs_async_4workers|scaling_analysis/);
    assert.match(err, /sync_vs_async_16workers is not drawn: .*no sync and no async run with 16/);
  });
  test("draws single files where it is told, as an object for programs", async () => {
    const folder = resultsFolder();
    const output = join(root, "elsewhere");
    const path = join(folder, "sync_4workers.json");
    const flags = ["-o", output, "--json", "--quiet", "--format", "png", "--theme", "dark"];
    const { exitCode, out, err } = await call(path, ...flags);
    assert.deepEqual([exitCode, err], [0, ""]);
    const { files, notes, problems } = JSON.parse(out);
    assert.deepEqual(problems, []);
    assert.ok(notes.length > 0);
    assert.deepEqual(
      files,
      ["distributed_run", "accuracy_vs_time", "accuracy_vs_work"].map((name) =>
        join(output, `${name}-dark.png`),
      ),
    );
  });
  test("finds a run by its name in the folder of runs", async () => {
    const runs = newFolder();
    mkdirSync(join(runs, "sync_4workers"));
    writeFileSync(join(runs, "sync_4workers", "result.json"), publishedFile("sync", 4, 100));
    const { exitCode, err } = await call("sync_4workers", "--run-dir", runs, ...quick);
    assert.equal(exitCode, 0, err);
    assert.ok(existsSync(join(runs, "sync_4workers", "charts", "distributed_run.svg")));
  });
  test("draws the ring without any result", async () => {
    const output = join(root, "ring");
    const { exitCode, out } = await call("--ring", "2,3", "-o", output, ...quick);
    assert.deepEqual([exitCode, out], [0, `${join(output, "ring_load_balance.svg")}\n`]);
  });
  test("a broken file is named, and hides nothing else", async () => {
    const folder = resultsFolder();
    writeFileSync(join(folder, "sync_16workers.json"), "{");
    const { exitCode, out, err } = await call("--results-dir", folder, ...quick);
    assert.equal(exitCode, 0);
    assert.match(err, /sync_16workers\.json is not JSON/);
    assert.match(out, /sync_vs_async_8workers/);
  });
});

describe("paceline charts refuses", () => {
  const folder = resultsFolder();
  const empty = newFolder();
  const broken = newFolder();
  writeFileSync(join(broken, "sync_4workers.json"), "{");
  const taken = join(root, "taken");
  writeFileSync(taken, "");
  const mixed = newFolder();
  for (const data of ["mnist", "cifar10"]) {
    const file = { ...JSON.parse(publishedFile("sync", 4, 10)), paceline: { data, model: "mlp" } };
    writeFileSync(join(mixed, `${data}.json`), JSON.stringify(file));
  }
  const refused: readonly (readonly [string, readonly string[], RegExp])[] = [
    [
      "an unknown experiment",
      ["--results-dir", folder, "--experiments", "sync_4worker"],
      /no experiment sync_4worker \(did you mean sync_4workers\?\); there are async_4workers, /,
    ],
    ["an empty folder", ["--results-dir", empty], /no results in .*; give a run, or run/],
    ["a folder of broken files", ["--results-dir", broken], /no results in .*: .* is not JSON/],
    ["a folder that is not there", ["--results-dir", join(root, "no")], /there is no folder .*no;/],
    ["a run that is not there", ["nowhere", "--run-dir", empty], /no run or file nowhere; give/],
    [
      "a misspelt flag of its own",
      ["--result-dir", folder],
      /no option --result-dir \(did you mean --results-dir\?\)/,
    ],
    ["a misspelt theme", ["--theme", "drak"], /--theme drak is unknown \(did you mean dark\?\)/],
    ["a format that there is not", ["--format", "png,pdf"], /--format pdf is unknown/],
    ["no format", ["--format", ","], /--format names nothing/],
    ["half a worker", ["--compare-workers", "4,0.5"], /--compare-workers 0\.5 is not one; write/],
    ["a ring of one", ["--ring", "1"], /--ring 1 is not one; write whole numbers from 2 to 256/],
    ["results of two data sets", ["--results-dir", mixed], /different data sets can't be compared/],
  ];
  for (const [name, words, message] of refused) {
    test(name, async () => {
      const { exitCode, out, err } = await call(...words);
      assert.deepEqual([exitCode, out], [2, ""]);
      assert.match(err, message);
    });
  }
  test("an output folder that is a file", async () => {
    const { exitCode, err } = await call("--results-dir", folder, "-o", taken, ...quick);
    assert.equal(exitCode, 1);
    assert.match(err, /taken is a file: charts go to a folder; choose another --output-dir/);
  });
});
