import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import {
  at,
  done,
  epoch,
  evaluation,
  lost,
  recordReport,
} from "../report/testing/recorded-report.js";
import { listRuns, readRun, remarksOf, sizedCheckpoints } from "./run-records.js";

const root = mkdtempSync(join(tmpdir(), "paceline-records-"));
after(() => rmSync(root, { recursive: true }));

let rootCount = 0;

/** A folder of runs. Objects are written as JSON, lists as lines of it. */
function runDir(runs: Readonly<Record<string, Readonly<Record<string, unknown>>>>): string {
  rootCount += 1;
  const path = join(root, `runs-${rootCount}`);
  for (const [run, files] of Object.entries(runs)) {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(join(path, run, name, ".."), { recursive: true });
      writeFileSync(join(path, run, name), textOf(content));
    }
  }
  return path;
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return JSON.stringify(content);
  return content.map((line) => `${JSON.stringify(line)}\n`).join("");
}

const config = [
  "cluster:",
  "  servers: 2",
  "  workers: 1:3",
  "pace:",
  "  mode: asp",
  "training:",
  "  model: mlp",
  "  data: mnist",
  "  epochs: 5",
  "  seed: 7",
  "",
].join("\n");

/** The files of a run as a recorded report writes them. */
async function recordedFiles(endMs: number, ends = true) {
  const recorded = recordReport();
  recorded.clock.ms = endMs;
  recorded.report.onEvent(lost);
  recorded.report.onEvent({ kind: "warning", text: "the disk is nearly full" });
  recorded.report.onEvent(epoch(0));
  recorded.report.onEvent(evaluation(0));
  if (ends) await recorded.report.finish(done);
  const [result] = recorded.results;
  const files = {
    "config.yaml": config,
    "events.jsonl": recorded.events,
    "metrics.jsonl": recorded.metrics,
  };
  return ends ? { ...files, "result.json": result } : files;
}

describe("a run that has ended", () => {
  test("is what its result tells", async () => {
    const path = runDir({ one: await recordedFiles(1000) });
    const record = await readRun(join(path, "one"));
    const { name, state, reason, mode, workers, seconds, accuracyPercent } = record;
    assert.deepEqual(
      { name, state, reason, mode, workers, seconds, accuracyPercent },
      {
        name: "one",
        state: "done",
        reason: "training is done",
        mode: "sync",
        workers: 2,
        seconds: 4,
        accuracyPercent: 96,
      },
    );
    assert.equal(record.startedAt, at(0));
    assert.equal(record.endedAt, at(1000));
    assert.equal(record.epochsPlanned, 2);
    assert.deepEqual(record.problems, []);
  });
  test("may be a file by itself", async () => {
    const path = join(runDir({ one: await recordedFiles(0) }), "one", "result.json");
    const record = await readRun(path);
    assert.deepEqual([record.name, record.path, record.state], ["trial", path, "done"]);
  });
});

describe("a run without a result", () => {
  test("is what its configuration and its metrics tell", async () => {
    const path = runDir({ one: await recordedFiles(2000, false) });
    const { result, form, problems, ...record } = await readRun(join(path, "one"));
    assert.deepEqual([result, form, problems], [null, null, []]);
    assert.deepEqual(record, {
      name: "one",
      path: join(path, "one"),
      state: "unknown",
      reason: "it has no result.json and no coordinator is known",
      model: "mlp",
      data: "mnist",
      mode: "async",
      workers: 3,
      servers: 2,
      seed: 7,
      epochsPlanned: 5,
      epochs: [
        {
          epoch: 1,
          longestSeconds: 2,
          meanSeconds: 1.75,
          testAccuracyPercent: 95,
          trainAccuracyPercent: record.epochs[0]!.trainAccuracyPercent,
          trainLoss: 0.3123,
          testLoss: 0.25,
        },
      ],
      evaluations: [
        {
          seconds: 2,
          step: 10,
          examples: record.evaluations[0]!.examples,
          accuracyPercent: 95,
          loss: 0.25,
          version: "10-9f3c21aa",
        },
      ],
      accuracyPercent: 95,
      seconds: 2,
      startedAt: at(2000),
      endedAt: null,
    });
  });
  test("that was resumed from a checkpoint has each epoch once, as it was last", async () => {
    const files = await recordedFiles(0, false);
    const [first, tested] = files["metrics.jsonl"] as [object, object];
    const again = [first, tested, { ...first, trainLoss: 0.5 }, { ...tested, loss: 0.75 }];
    const path = runDir({ one: { ...files, "metrics.jsonl": again } });
    const { epochs, evaluations } = await readRun(join(path, "one"));
    assert.deepEqual(
      epochs.map(({ trainLoss, testLoss }) => [trainLoss, testLoss]),
      [[0.5, 0.75]],
    );
    assert.deepEqual(
      evaluations.map(({ loss }) => loss),
      [0.75],
    );
  });
  test("takes a line that a crash has torn for none", async () => {
    const files = await recordedFiles(0, false);
    const torn = `${textOf(files["metrics.jsonl"])}{"kind":"epoch","epo`;
    const { epochs, problems } = await readRun(
      join(runDir({ one: { ...files, "metrics.jsonl": torn } }), "one"),
    );
    assert.deepEqual([epochs.length, problems], [1, []]);
  });
});

test("a run that went on after a result shows its progress, not the old result", async () => {
  const files = await recordedFiles(0);
  const self = { role: "coordinator", id: 0, pid: process.pid, host: hostname(), address: "" };
  const path = join(runDir({ one: { ...files, "cluster.json": { members: [self] } } }), "one");
  const past = new Date(Date.now() - 3_600_000);
  utimesSync(join(path, "result.json"), past, past);
  const { state, epochs, epochsPlanned, endedAt, result, form } = await readRun(path);
  assert.deepEqual([state, epochs.length, epochsPlanned, endedAt], ["running", 1, 5, null]);
  assert.deepEqual([result, form], [null, null]);
});

test("what a run gave up when it was resumed is no progress of it", async () => {
  const evaluation = (epoch: number, step: number, accuracyPercent: number) => {
    return { kind: "evaluation", epoch, step, accuracyPercent, loss: 1, atSeconds: step };
  };
  const metrics = [
    { kind: "step", step: 20, seconds: 20 },
    { kind: "epoch", epoch: 1, trainLoss: 2 },
    evaluation(1, 20, 60),
    { kind: "step", step: 40, seconds: 40 },
    { kind: "epoch", epoch: 2, trainLoss: 1 },
    evaluation(2, 40, 90),
    { kind: "resumed", time: at(0), step: 20, epochs: 1, seconds: 19 },
    { kind: "step", step: 30, seconds: 29 },
  ];
  const files = { "events.jsonl": [], "config.yaml": config, "metrics.jsonl": metrics };
  const record = await readRun(join(runDir({ one: files }), "one"));
  const { accuracyPercent, seconds, epochs, evaluations } = record;
  assert.deepEqual([accuracyPercent, seconds, evaluations.length], [60, 29, 1]);
  assert.deepEqual(
    epochs.map(({ epoch, testAccuracyPercent }) => [epoch, testAccuracyPercent]),
    [[1, 60]],
  );
});

describe("a list", () => {
  test("has the newest first, and broken runs with what is wrong with them", async () => {
    const later = await recordedFiles(5000, false);
    const path = runDir({
      old: { ...(await recordedFiles(1000)) },
      later,
      broken: { ...later, "result.json": "{", "cluster.json": "[]" },
      "not-a-run": { "thesis.txt": "" },
    });
    const runs = await listRuns(path);
    assert.deepEqual(
      runs.map(({ name, state }) => [name, state]),
      [
        ["broken", "unknown"],
        ["later", "unknown"],
        ["old", "done"],
      ],
    );
    const [broken] = runs;
    assert.equal(broken!.problems.length, 2);
    assert.match(broken!.problems[0]!, /result\.json is not JSON/);
    assert.match(broken!.problems[1]!, /cluster\.json lists no members/);
    assert.equal(broken!.model, "mlp");
  });
  test("is told of endless nesting, and of ranges as what they allow", async () => {
    const deep = `a: ${"[".repeat(9000)}${"]".repeat(9000)}`;
    const wide = "cluster:\n  servers: 2:4\n  workers: 1:3\n";
    const [first, second] = await listRuns(
      runDir({
        a: { "events.jsonl": "", "config.yaml": deep },
        b: { "events.jsonl": "", "config.yaml": wide },
      }),
    );
    assert.match(first!.problems[0]!, /config\.yaml line 1 is nested deeper than 100 levels/);
    assert.deepEqual([second!.servers, second!.workers, second!.problems], [4, 3, []]);
  });
  test("of a folder that is not there is empty", async () => {
    assert.deepEqual(await listRuns(join(root, "nowhere")), []);
  });
});

test("warnings and losses are told in order, and nothing else", async () => {
  const path = join(runDir({ one: await recordedFiles(1500) }), "one");
  assert.deepEqual(await remarksOf(path), [
    { time: at(1500), kind: "lost", text: lost.text },
    { time: at(1500), kind: "warning", text: "the disk is nearly full" },
  ]);
  assert.deepEqual(await remarksOf(join(root, "nowhere")), []);
});

test("checkpoints are told with their sizes, unfinished ones are not", async () => {
  const path = runDir({
    one: {
      "events.jsonl": "",
      "checkpoints/step-20/model.safetensors": "12345678",
      "checkpoints/step-20/manifest.json": "{}",
      "checkpoints/step-3/model.safetensors": "1234",
      "checkpoints/.tmp-step-30/model.safetensors": "1",
    },
  });
  const sizes = (await sizedCheckpoints(join(path, "one"))).map(({ step, bytes }) => [step, bytes]);
  assert.deepEqual(sizes, [
    [3, 4],
    [20, 10],
  ]);
  assert.deepEqual(await sizedCheckpoints(root), []);
});

test("a folder that is no run's is an error that says so", async () => {
  const path = runDir({ one: { "thesis.txt": "" } });
  await assert.rejects(readRun(join(path, "one")), /is not a run folder: it holds no result\.json/);
});
