import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as later } from "node:timers/promises";
import { TableOfRuns } from "../cli/commands/experiments-suite.js";
import { expandMatrix } from "./cells.js";
import { readMatrixText } from "./matrix.js";
import { readStudyResult } from "./read-results.js";
import { planSuite } from "./suite-book.js";
import { SuiteRun, type SuiteSetup } from "./suite-run.js";
import { SuiteFolder } from "./suite-state.js";
import { statusLines, statusOf } from "./suite-status.js";

/**
 * Stands in for `paceline train`: what a run does is told by its learning rate. 1: done; 2: fails;
 * 3: waits for a signal, saves, and when it goes on is done; 4: as 3, but what it saved is of no
 * use; 5: waits and saves nothing.
 */
const standIn = `
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
const [, config, , runs, flag, name] = process.argv.slice(2);
const text = readFileSync(config, "utf8");
const value = (option) => new RegExp("^" + option + ": (.*)$", "m").exec(text)?.[1] ?? "";
const kind = Number(value("lr"));
const folder = runs + "/" + name;
console.log("kind", kind, flag, process.env.PACELINE_LR ?? "-");
if (flag === "--name" && existsSync(folder)) process.exit(2);
mkdirSync(folder, { recursive: true });
const workers = Number(value("workers"));
const finish = (outcome, code) => {
  const worker = { type: "WORKER_FINAL_METRICS", worker_id: 0, total_workers: workers,
    total_training_time_seconds: 8 / workers, average_epoch_time_seconds: 2,
    epoch_times_seconds: [2], final_test_accuracy_percent: 90, all_accuracies_percent: [90],
    local_steps_completed: 5, batch_size: 64, learning_rate: kind, num_epochs: 1 };
  const paceline = { outcome, reason: "gradients of " + kind, workers, protocol: "bsp",
    machine: { cpu: "abacus", cores: 2 }, spec: { trainExamples: 100 } };
  writeFileSync(folder + "/result.json", JSON.stringify({ experiment_name: name,
    timestamp: "2026-01-01T00:00:00Z", server_metrics: null, raw_worker_metrics: [worker],
    paceline }));
  process.exit(code);
};
if (flag === "--resume" && kind === 4) process.exit(6);
if (kind === 1 || flag === "--resume" || existsSync(runs + "/../again")) finish("done", 0);
if (kind === 2) { console.error("the log's last line"); finish("failed", 5); }
process.on("SIGINT", () => {
  if (kind !== 5) mkdirSync(folder + "/checkpoints/step-12", { recursive: true });
  finish("interrupted", 130);
});
console.log("ready");
setInterval(() => {}, 1000);
`;

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "paceline-suite-"));
  writeFileSync(join(place, "train.mjs"), standIn);
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

interface StartedSuite {
  readonly suite: SuiteRun;
  readonly setup: SuiteSetup;
  readonly lines: string[];
}

/** A suite of one worker count after the other, each with the learning rate of its kind. */
function begin(kinds: readonly number[], changes: Partial<SuiteSetup> = {}): StartedSuite {
  const options = new TableOfRuns({});
  const cells = kinds.map((lr, index) => `  - {workers: ${index + 1}, lr: ${lr}, servers: 1}`);
  const text = `base: {model: mlp, data: mnist}\ninclude:\n${cells.join("\n")}\n`;
  const sameNames = expandMatrix(readMatrixText(text, "m.yaml", options), options).cells.map(
    (cell) => ({ ...cell, name: cell.group.replace(/_lr.*/, "") }),
  );
  const lines: string[] = [];
  let nowMs = 0;
  const tick = () => {
    nowMs += 2000;
    return nowMs;
  };
  const setup: SuiteSetup = {
    matrixPath: "m.yaml",
    cells: sameNames,
    folder: new SuiteFolder(join(place, "results")),
    entry: join(place, "train.mjs"),
    environment: { PATH: process.env.PATH },
    cores: 1,
    least: null,
    retryFailed: false,
    log: (line) => lines.push(line),
    clock: { nowMs: tick, isoTime: () => "2026-01-01T00:00:00Z" },
    ...changes,
  };
  return { suite: new SuiteRun(setup), setup, lines };
}

const path = (...parts: string[]) => join(place, "results", ...parts);
const stateOf = (name: string) => JSON.parse(readFileSync(path("suite.json"), "utf8")).cells[name];

/** Runs a suite and interrupts it as soon as a cell waits. */
async function interruptAt(name: string, kinds: readonly number[]) {
  const started = begin(kinds);
  const running = started.suite.run();
  const log = path("cells", `${name}.log`);
  const deadline = performance.now() + 20_000;
  while (!existsSync(log) || !readFileSync(log, "utf8").includes("ready")) {
    assert.ok(performance.now() < deadline, `${name} waits`);
    await later(5);
  }
  started.suite.interrupt("SIGINT");
  return { ...started, outcome: await running };
}

describe("a suite", () => {
  test("runs every cell, names its results and marks crowded ones", async () => {
    const { suite, lines } = begin([1, 1]);
    assert.deepEqual(await suite.run(), { failed: [], signal: null });
    const result = JSON.parse(readFileSync(path("sync_2workers.json"), "utf8"));
    assert.deepEqual(Object.keys(result), [
      "experiment_name",
      "timestamp",
      "server_metrics",
      "worker_metrics_aggregated",
      "raw_worker_metrics",
      "paceline",
    ]);
    assert.equal(result.experiment_name, "sync_2workers");
    const { crowded, run, attempts, resumed, fingerprint } = result.paceline;
    assert.deepEqual([crowded, run, attempts, resumed], [true, 1, 1, false]);
    assert.equal(fingerprint, stateOf("sync_2workers").fingerprint);
    const study = await readStudyResult(path("sync_1workers.json"));
    assert.deepEqual([study.crowded, study.accuracyPercent, study.seconds], [false, 90, 8]);
    assert.deepEqual(lines, [
      "[1/2] sync_1workers: started",
      "[1/2] sync_1workers: done in 2.0 s, 90.00 % of the test set; 1 cell left, about 2.0 s",
      "[2/2] sync_2workers: started, takes about 2.0 s, more workers than cores",
      "[2/2] sync_2workers: done in 2.0 s, 90.00 % of the test set",
    ]);
  });

  test("skips what is finished, and runs what has other options", async () => {
    await begin([1, 1]).suite.run();
    const { suite, lines } = begin([1, 1.5, 1]);
    writeFileSync(path("again"), "");
    assert.deepEqual(await suite.run(), { failed: [], signal: null });
    assert.equal(lines[0], "[1/3] sync_1workers: finished; skipped");
    assert.match(lines[1]!, /^\[2\/3\] sync_2workers: finished with other options: runs again/);
    assert.match(lines[3]!, /^\[3\/3\] sync_3workers: started/);
  });

  test("goes on after a cell that fails, and leaves that alone until told otherwise", async () => {
    const first = begin([2, 1]);
    assert.deepEqual(await first.suite.run(), { failed: ["sync_1workers"], signal: null });
    assert.equal(existsSync(path("sync_1workers.json")), false);
    const { state, error, lastLines } = stateOf("sync_1workers");
    assert.equal(state, "failed");
    assert.equal(error, "exit code 5: gradients of 2");
    assert.equal(lastLines.at(-1), "the log's last line");
    assert.equal(first.lines[1], "[1/2] sync_1workers: failed: exit code 5: gradients of 2");
    assert.ok(first.lines.includes("    the log's last line"), first.lines.join("\n"));

    const second = begin([2, 1]);
    assert.deepEqual((await second.suite.run()).failed, ["sync_1workers"]);
    assert.match(second.lines[0]!, /gradients of 2; --retry-failed runs it again$/);
    writeFileSync(path("again"), "");
    const third = begin([2, 1], { retryFailed: true });
    assert.deepEqual((await third.suite.run()).failed, []);
    assert.equal(stateOf("sync_1workers").attempts, 2);
  });

  test("hands a signal on, stops, and later goes on from the checkpoint", async () => {
    const { outcome, lines } = await interruptAt("sync_2workers", [1, 3, 1]);
    assert.deepEqual(outcome, { failed: ["sync_2workers"], signal: "SIGINT" });
    assert.equal(lines.at(-1), "stopped by SIGINT; run it again to continue");
    assert.equal(stateOf("sync_2workers").state, "interrupted");
    assert.equal(existsSync(path("sync_3workers.json")), false);

    const again = begin([1, 3, 1]);
    assert.deepEqual(await again.suite.run(), { failed: [], signal: null });
    assert.match(again.lines[1]!, /sync_2workers: half-finished: continues from step 12/);
    assert.match(readFileSync(path("cells", "sync_2workers.log"), "utf8"), /--name[\s\S]*--resume/);
    const { resumed, attempts, seconds } = stateOf("sync_2workers");
    assert.deepEqual([resumed, attempts, seconds], [true, 2, 4]);
  });

  for (const [kind, what, reason] of [
    [4, "a checkpoint that is of no use is given up", "continues from step 12"],
    [5, "a cell without a checkpoint begins again", "without a checkpoint: starts over"],
  ] as const) {
    test(what, async () => {
      await interruptAt("sync_1workers", [kind]);
      writeFileSync(path("again"), "");
      const { suite, lines } = begin([kind]);
      assert.deepEqual((await suite.run()).failed, []);
      assert.ok(lines[0]!.includes(reason), lines[0]);
      assert.equal(stateOf("sync_1workers").resumed, false);
    });
  }

  test("takes over what a run has left that outlived it", async () => {
    await begin([1]).suite.run();
    rmSync(path("sync_1workers.json"));
    const { suite, lines } = begin([1]);
    assert.deepEqual((await suite.run()).failed, []);
    assert.match(lines[0]!, /trained, its file is missing/);
    assert.equal(stateOf("sync_1workers").attempts, 1);
  });

  test("refuses to write over a file that is not its own, before anything runs", async () => {
    mkdirSync(path(), { recursive: true });
    const foreign = {
      experiment_name: "sync_2workers",
      timestamp: "2025-01-01",
      server_metrics: null,
      raw_worker_metrics: [],
    };
    writeFileSync(path("sync_2workers.json"), JSON.stringify(foreign));
    await assert.rejects(begin([1, 1]).suite.run(), {
      code: "usage",
      message: /^sync_2workers can't be run: its file was not written by a suite: move it/,
    });
    assert.equal(existsSync(path("sync_1workers.json")), false);
  });

  test("refuses to write over the results of another matrix", async () => {
    await begin([1]).suite.run();
    // The same name elsewhere is another matrix too.
    for (const matrixPath of ["other.yaml", "sub/m.yaml"]) {
      await assert.rejects(begin([1.5], { matrixPath }).suite.run(), {
        code: "usage",
        message: /sync_1workers\.json is a result of \/.*\/m\.yaml; choose another --results-dir/,
      });
      assert.deepEqual((await begin([1], { matrixPath }).suite.run()).failed, []);
      // A run that changed nothing of theirs doesn't make the results its own.
      await assert.rejects(begin([1.5], { matrixPath }).suite.run(), /is a result of/);
    }
    const link = join(place, "link.yaml");
    writeFileSync(join(place, "m.yaml"), "");
    symlinkSync(join(place, "m.yaml"), link);
    const elsewhere = { folder: new SuiteFolder(join(place, "linked")), matrixPath: link };
    await begin([1], elsewhere).suite.run();
    const same = begin([1.5], { ...elsewhere, matrixPath: join(place, "m.yaml") });
    writeFileSync(join(place, "linked", "again"), "");
    assert.deepEqual((await same.suite.run()).failed, []);
  });

  test("tells matrices apart in a folder of an earlier version", async () => {
    await begin([1]).suite.run();
    const state = JSON.parse(readFileSync(path("suite.json"), "utf8"));
    delete state.cells.sync_1workers.matrix;
    writeFileSync(path("suite.json"), JSON.stringify({ ...state, matrix: "m.yaml" }));
    await assert.rejects(begin([1.5], { matrixPath: "sub/m.yaml" }).suite.run(), {
      message: /sync_1workers\.json is a result of m\.yaml/,
    });
    writeFileSync(path("again"), "");
    assert.deepEqual((await begin([1.5]).suite.run()).failed, []);
  });

  test("refuses to clear away a half-finished run of another matrix", async () => {
    await interruptAt("sync_1workers", [3]);
    await assert.rejects(begin([1], { matrixPath: "sub/m.yaml" }).suite.run(), {
      code: "usage",
      message: /runs\/sync_1workers is a half-finished run of .*\/m\.yaml; choose another/,
    });
    assert.ok(existsSync(path("runs", "sync_1workers", "checkpoints", "step-12")));
  });

  test("refuses a damaged suite.json with the remedy", async () => {
    mkdirSync(path(), { recursive: true });
    writeFileSync(path("suite.json"), '{"matrix":"m.yaml","pid":null,"cells":{"a":{}}}');
    await assert.rejects(begin([1]).suite.run(), {
      code: "usage",
      message: /suite\.json is damaged \(cells\.a\.state\); remove it: finished cells stay/,
    });
  });

  test("says why a cell could not be started", async () => {
    const { suite } = begin([1], { entry: join(place, "nowhere.mjs") });
    assert.deepEqual((await suite.run()).failed, ["sync_1workers"]);
    assert.match(stateOf("sync_1workers").lastLines.join("\n"), /nowhere\.mjs|Node\.js/);
  });
});

test("the status tells states, times and what is left", async () => {
  await interruptAt("sync_3workers", [1, 2, 3, 1]);
  const { setup } = begin([1, 2, 3, 1]);
  const planned = await planSuite(setup);
  const status = statusOf(planned, { cores: 1, nowMs: Date.parse("2026-01-01T00:00:09Z") });
  assert.deepEqual(
    status.cells.map(({ state, seconds, remainingSeconds }) => [state, seconds, remainingSeconds]),
    [
      ["done", 2, null],
      ["failed", 2, null],
      ["interrupted", 2, 0],
      ["waiting", null, 2],
    ],
  );
  assert.equal(status.remainingSeconds, 2);
  assert.deepEqual(statusLines(status), [
    "Cell             State        Priority  Time(s)  Accuracy(%)   Left  Note",
    "---------------  -----------  --------  -------  -----------  -----  " +
      "-------------------------------------",
    "sync_1workers    done         medium        2.0        90.00      -",
    "sync_2workers *  failed       medium        2.0            -      -  " +
      "failed: exit code 5: gradients of 2",
    "sync_3workers *  interrupted  medium        2.0            -  0.0 s  " +
      "half-finished: continues from step 12",
    "sync_4workers *  waiting      medium          -            -  2.0 s",
    "",
    "1 done, 1 waiting, 1 interrupted, 1 failed; about 2.0 s left",
    "* more workers than cores: its times say little",
  ]);
});
