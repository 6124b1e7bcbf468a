import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import {
  done,
  epoch,
  evaluation,
  lost,
  recordReport,
} from "../../report/testing/recorded-report.js";
import { runProgram } from "../program.js";

const root = mkdtempSync(join(tmpdir(), "paceline-command-runs-"));
after(() => rmSync(root, { recursive: true }));

let rootCount = 0;

function write(path: string, content: string): void {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
}

interface Trial {
  readonly spec?: NonNullable<Parameters<typeof recordReport>[0]>["spec"];
  readonly config?: string;
}

/** A folder of runs, each with what the report on trial writes. */
async function runDir(runs: Readonly<Record<string, Trial>>): Promise<string> {
  rootCount += 1;
  const path = join(root, `runs-${rootCount}`);
  mkdirSync(path);
  for (const [name, { spec = {}, config = "" }] of Object.entries(runs)) {
    const trial = recordReport({ spec: { run: name, name, ...spec } });
    trial.report.onEvent(lost);
    trial.report.onEvent(epoch(0));
    trial.report.onEvent(evaluation(0));
    await trial.report.finish(done);
    const lines = (rows: readonly object[]) =>
      rows.map((row) => `${JSON.stringify(row)}\n`).join("");
    write(join(path, name, "config.yaml"), config);
    write(join(path, name, "events.jsonl"), lines(trial.events));
    write(join(path, name, "metrics.jsonl"), lines(trial.metrics));
    write(join(path, name, "result.json"), JSON.stringify(trial.results[0]));
  }
  return path;
}

async function call(...words: readonly string[]) {
  const texts = { out: "", err: "" };
  const exitCode = await runProgram(["runs", ...words], {
    stdout: { write: (text) => (texts.out += text) },
    stderr: { write: (text) => (texts.err += text) },
    environment: {},
    isTerminal: false,
  });
  return { exitCode, ...texts };
}

describe("runs ls", () => {
  test("has a line for each run, and names what it can't read", async () => {
    const path = await runDir({
      one: {},
      two: { spec: { protocol: { mode: "ssp", staleness: 3 } } },
    });
    writeFileSync(join(path, "one", "result.json"), "{");
    const { exitCode, out, err } = await call("ls", "--run-dir", path);
    assert.equal(exitCode, 0);
    const rows = out.split("\n").map((line) => line.split(/ {2,}/));
    assert.deepEqual(rows[0]!.slice(0, 3), ["Name", "Model", "Data"]);
    const two = rows.find(([name]) => name === "two")!;
    assert.deepEqual(two, [
      "two",
      "mlp",
      "mnist",
      "ssp",
      "2",
      "1",
      "done",
      "2/2",
      "96.00",
      "4.0",
      "2026-01-01 00:00",
    ]);
    assert.equal(rows.find(([name]) => name === "one")!.at(-1), "2026-01-01 00:00");
    assert.match(err, /one\/result\.json is not JSON/);
  });
  test("is a list for programs too", async () => {
    const path = await runDir({ one: {} });
    const [row, ...others] = JSON.parse((await call("ls", "--json", "--run-dir", path)).out);
    assert.equal(others.length, 0);
    const { name, state, epochsDone, accuracyPercent, mode } = row;
    assert.deepEqual(
      [name, state, epochsDone, accuracyPercent, mode],
      ["one", "done", 2, 96, "sync"],
    );
  });
  test("of no runs says where there are none", async () => {
    const path = await runDir({});
    assert.deepEqual(await call("ls", "--run-dir", path), {
      exitCode: 0,
      out: "",
      err: `no runs in ${path}; paceline train makes one\n`,
    });
  });
});

describe("runs show", () => {
  test("tells options, epochs, evaluations, checkpoints and losses", async () => {
    const config = "training:\n  model: mlp\n  epochs: 2\n  lr: 0.1\n  batch-size: 10\n";
    const path = await runDir({ one: { config } });
    write(join(path, "one", "checkpoints", "step-20", "model.safetensors"), "x".repeat(1500));
    const { exitCode, out } = await call("show", "one", "--run-dir", path);
    assert.equal(exitCode, 0);
    const plain = out.replaceAll(/ +/g, " ");
    for (const line of [
      "state done: training is done",
      "accuracy 96.00 %",
      " Option Value Default",
      " epochs 2 3",
      " batch-size 10 64",
      " 20 20-9f3c21aa 4.00 400 96.00 0.2500",
      " 20 1.5 kB ",
      "lost worker-1 silent for 3.0 s: lost at step 12",
    ])
      assert.ok(plain.includes(line), `${line} in\n${plain}`);
    assert.ok(!/^ lr /m.test(plain), "lr is at its default");
  });
  test("takes a file of the original form", async () => {
    const path = join(root, "async_2workers.json");
    const metrics = { worker_id: 0, total_training_time_seconds: 60, batch_size: 128 };
    write(
      path,
      JSON.stringify({ experiment_name: "async_2workers", raw_worker_metrics: [metrics] }),
    );
    const { out } = await call("show", path);
    assert.match(out, /^mode +async$/m);
    assert.match(out, /^ +batchSize +128$/m);
    assert.match(out, /^state +unknown: the file does not state how the run ended$/m);
  });
  test("leaves nothing in a name that a terminal would obey", async () => {
    const path = join(root, "evil.json");
    const name = "sync_1workers\u001b[2J";
    write(path, JSON.stringify({ experiment_name: name, raw_worker_metrics: [{}] }));
    assert.ok(!(await call("show", path)).out.includes("\u001b"));
    assert.ok(!(await call("compare", path, path)).out.includes("\u001b"));
  });
});

test("runs compare tells the table, the differences and who was faster", async () => {
  const schedule = { ...sampleSpec.schedule, lr: 0.5 };
  const path = await runDir({
    one: {},
    two: { spec: { seed: 2, schedule: { ...schedule, totalExamples: 400 } } },
  });
  const { exitCode, out } = await call("compare", "one", "two", "--run-dir", path);
  assert.equal(exitCode, 0);
  const plain = out.replaceAll(/ +/g, " ");
  for (const line of [
    "Experiment Mode Workers Time(s) Epoch(s) Accuracy(%)",
    " Option one two\n seed 1 2\n schedule.lr 0.1 0.5\n",
    "Against one\n",
    " two 1.00x 1.00x +0.00\n",
    "Time to 96.00 %, ",
  ])
    assert.ok(plain.includes(line), `${line} in\n${plain}`);
  for (const part of ["compare", "rm", "export"]) {
    const twice = await call(part, "one", "one", "--run-dir", path);
    assert.equal(twice.exitCode, 2);
    assert.equal(twice.err, "paceline: one is named twice; name each run once\n");
  }
  const json = JSON.parse((await call("compare", "one", "two", "--json", "--run-dir", path)).out);
  assert.deepEqual(json.common, { accuracyPercent: 96, seconds: [4, 4] });
});

describe("runs rm", () => {
  test("removes by name; --dry-run only says so", async () => {
    const path = await runDir({ one: {}, two: {} });
    const trial = await call("rm", "one", "--dry-run", "--run-dir", path);
    assert.match(trial.out, /^would remove one \(\d+\.\d kB\)\n$/);
    assert.deepEqual(readdirSync(path), ["one", "two"]);
    const removed = await call("rm", "one", "--run-dir", path);
    assert.match(removed.out, /^removed one \(\d+\.\d kB\)\n$/);
    assert.deepEqual(readdirSync(path), ["two"]);
  });
  test("refuses a run that goes on", async () => {
    const path = await runDir({ one: {} });
    rmSync(join(path, "one", "result.json"));
    const self = { role: "coordinator", id: 0, pid: process.pid, host: hostname(), address: "" };
    write(join(path, "one", "cluster.json"), JSON.stringify({ members: [self] }));
    const { exitCode, err } = await call("rm", "one", "--run-dir", path);
    assert.equal(exitCode, 2);
    assert.match(
      err,
      /^paceline: one is running \(its coordinator-0 lives .*\) and stays; stop it first\n$/,
    );
  });
  test("refuses paths and links", async () => {
    const path = await runDir({ one: {} });
    symlinkSync(join(path, "one"), join(path, "link"));
    for (const name of [join(path, "one"), "./one", "link"]) {
      assert.equal((await call("rm", name, "--run-dir", path)).exitCode, 2, name);
    }
    assert.deepEqual(readdirSync(path), ["link", "one"]);
  });
});

describe("runs export", () => {
  test("has a row for each run, epoch or step", async () => {
    const path = await runDir({ one: {}, two: { spec: { data: 'a "b", c' } } });
    write(
      join(path, "two", "metrics.jsonl"),
      '{"kind":"step","step":5,"epoch":1,"seconds":1.5,"loss":2,"examples":50}\n' +
        '{"kind":"epoch","epoch":1}\n',
    );
    const runs = (await call("export", "--csv", "--run-dir", path)).out.split("\r\n");
    assert.equal(runs.length, 4);
    assert.match(
      runs[0]!,
      /^run,model,data,mode,workers,servers,seed,state,epochs,accuracy_percent,seconds,/,
    );
    assert.match(runs[2]!, /^two,mlp,"a ""b"", c",sync,2,1,1,done,2,96,4,/);
    assert.match(runs[1]!, /^one,mlp,mnist,sync,2,1,1,done,2,96,4,/);
    const epochs = (await call("export", "--per", "epoch", "one", "--run-dir", path)).out.split(
      "\r\n",
    );
    assert.match(epochs[1]!, /^one,mlp,mnist,sync,2,1,1,1,2,1\.75,0\.3123,/);
    assert.equal(epochs.length, 4);
    const steps = (await call("export", "--per", "step", "--run-dir", path)).out.split("\r\n");
    assert.deepEqual(steps.slice(1), ['two,mlp,"a ""b"", c",sync,2,1,1,5,1,1.5,50,2,,', ""]);
  });
});

test("runs export has each step once, whatever its run's folder is called", async () => {
  const path = await runDir({ "b.json": {} });
  const steps = (...numbers: readonly number[]) =>
    numbers.map((step) => `{"kind":"step","step":${step},"epoch":1,"seconds":1}\n`).join("");
  const resumed = '{"kind":"resumed","step":7,"epochs":0,"seconds":0.5}\n';
  write(join(path, "b.json", "metrics.jsonl"), steps(5, 10, 15) + resumed + steps(10));
  const { exitCode, out } = await call("export", "--per", "step", "--run-dir", path);
  assert.equal(exitCode, 0);
  const rows = out.trim().split("\r\n").slice(1);
  assert.deepEqual(
    rows.map((row) => row.split(",")[7]),
    ["5", "10"],
  );
  const alone = join(root, "alone");
  write(alone, readFileSync(join(path, "b.json", "result.json"), "utf8"));
  const none = await call("export", "--per", "step", alone, "--run-dir", path);
  assert.deepEqual([none.exitCode, none.err, none.out.trim().split("\n").length], [0, "", 1]);
});

describe("what is wrong is said, with exit code 2", () => {
  const wrong: readonly (readonly [words: string, message: RegExp])[] = [
    [
      "shw one",
      /^paceline runs has no subcommand shw \(did you mean show\?\); write ls, show, compare,/,
    ],
    ["show oen", /no run "oen" in .* \(did you mean one\?\); see paceline runs ls, or give a path/],
    ["show", /takes one name or path, not 0/],
    ["compare one", /takes two or more names, not 1/],
    ["ls one", /takes no names; write paceline runs show one/],
    ["rm", /needs the names of runs/],
    ["rm oen", /no run "oen" in .* \(did you mean one\?\); see paceline runs ls$/],
    [
      "export --per epoc",
      /--per epoc is not a row \(did you mean epoch\?\); write run, epoch or step/,
    ],
    ["ls --dry-run", /--dry-run does not apply to paceline runs ls; leave it out, or write rm/],
    [
      "show one --per step",
      /--per does not apply to paceline runs show; leave it out, or write export/,
    ],
    ["export --json", /writes CSV; for JSON write runs show --json/],
  ];
  for (const [words, message] of wrong) {
    test(`runs ${words}`, async () => {
      const path = await runDir({ one: {} });
      const { exitCode, err } = await call(...words.split(" "), "--run-dir", path);
      assert.equal(exitCode, 2);
      assert.match(err.trimEnd(), message);
    });
  }
});
