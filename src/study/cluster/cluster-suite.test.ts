/** A suite on a cluster that a test makes up: what is submitted, told and brought here. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { TableOfRuns } from "../../cli/commands/experiments-suite.js";
import { PacelineError } from "../../errors.js";
import type { JobRecord, JobState, JobSummary } from "../../protocol/run-events.js";
import { expandMatrix } from "../cells.js";
import { readMatrixText } from "../matrix.js";
import { jobName } from "../suite-book.js";
import { SuiteFolder } from "../suite-state.js";
import { ClusterSuite, type ClusterSuiteSetup } from "./cluster-suite.js";
import type { JobCluster } from "./job-cluster.js";

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "paceline-cluster-suite-"));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

const path = (...parts: string[]) => join(place, ...parts);
const kept = () => JSON.parse(readFileSync(path("suite.json"), "utf8"));

interface MadeJob {
  readonly config: string;
  state: JobState;
  reason: string;
  waitsFor: string;
}

/** A cluster whose jobs end as `endings` say by their learning rates; others go on for ever. */
class MadeCluster implements JobCluster {
  readonly where = "here:1";
  readonly made = new Map<string, MadeJob>();
  readonly cancelled: string[] = [];
  submissions = 0;
  /** Called at each look. */
  onLook: () => void = () => {};
  /** Thrown by the next submission: before the job is taken, or behind that. */
  failure: { readonly error: PacelineError; readonly isTaken: boolean } | null = null;
  endings: Readonly<Record<string, JobState>> = {};

  async size() {
    return { workers: 2, servers: 1 };
  }

  async jobs() {
    this.onLook();
    const summaries = [...this.made].map(([name, job]) => [name, summary(name, job)] as const);
    for (const job of this.made.values()) {
      const [, lr = ""] = /^lr: (.*)$/m.exec(job.config) ?? [];
      job.state = job.state === "queued" ? "running" : (this.endings[lr] ?? job.state);
    }
    return new Map(summaries);
  }

  async submit(name: string, config: string) {
    this.submissions++;
    const { failure } = this;
    this.failure = null;
    if (failure?.isTaken === false) throw failure.error;
    assert.ok(!this.made.has(name), `${name} is submitted twice`);
    this.made.set(name, { config, state: "queued", reason: "", waitsFor: "waits for its turn" });
    if (failure !== null) throw failure.error;
  }

  async cancel(name: string) {
    this.cancelled.push(name);
  }

  async read(name: string, record: JobRecord) {
    const { state } = this.made.get(name)!;
    if (record === "events") return '{"time":"12:00","kind":"epoch","text":"it went on"}\n';
    if (record !== "result") return `${record} of ${name}\n`;
    const outcome = state === "done" ? "done" : "failed";
    const worker = {
      ...{ type: "WORKER_FINAL_METRICS", worker_id: 0, total_workers: 1, num_epochs: 1 },
      ...{ total_training_time_seconds: 8, average_epoch_time_seconds: 8, batch_size: 64 },
      ...{ epoch_times_seconds: [8], local_steps_completed: 5, learning_rate: 0.1 },
      ...{ final_test_accuracy_percent: 90, all_accuracies_percent: [90] },
    };
    return JSON.stringify({
      experiment_name: name,
      timestamp: "2026-01-01T00:00:00Z",
      ...{ server_metrics: null, raw_worker_metrics: [worker] },
      paceline: { outcome, reason: "", workers: 1, protocol: "bsp" },
    });
  }
}

function summary(name: string, { state, reason, waitsFor }: MadeJob): JobSummary {
  const times = { submittedAt: "2026-01-01T00:00:00Z", startedAt: "2026-01-01T00:00:10Z" };
  const endedAt = "2026-01-01T00:01:30Z";
  return {
    ...{ id: 1, name, state, priority: 0, workers: 1, servers: 1, ...times, endedAt },
    ...{ submitter: null, reason, waitsFor: state === "queued" ? waitsFor : "" },
    result: state === "failed" ? resultOf(5) : null,
  };
}

function resultOf(exitCode: number) {
  return { exitCode, code: null, globalSteps: 1, accuracyPercent: null, loss: null, seconds: 1 };
}

/** A suite of a cell for each learning rate. */
function suiteOf(
  cluster: MadeCluster,
  rates: readonly number[],
  changes: Partial<ClusterSuiteSetup> & { readonly base?: string } = {},
) {
  const { base = "", ...more } = changes;
  const options = new TableOfRuns({});
  const text = `base: {model: mlp, data: mnist, workers: 1${base}}\naxes: {lr: [${rates}]}\n`;
  const expanded = expandMatrix(readMatrixText(text, "m.yaml", options), options).cells;
  const cells = expanded.map((cell) => {
    return { ...cell, name: `sync_1workers_lr${cell.values.get("lr")}` };
  });
  const lines: string[] = [];
  const setup: ClusterSuiteSetup = {
    ...{ matrixPath: "m.yaml", cells, folder: new SuiteFolder(place), cluster },
    ...{ size: { workers: 2, servers: 1 }, least: null, retryFailed: false, lookMs: 0 },
    log: (line) => lines.push(line),
    isoTime: () => "2026-01-01T00:00:00Z",
    ...more,
  };
  return { suite: new ClusterSuite(setup), lines };
}

const away = new PacelineError("unavailable", "the coordinator has been away; run it again");
const all = { "0.1": "done", "0.2": "done", "0.3": "done" } as const;

test("cells become jobs, and their records lie as those of a local suite", async () => {
  const cluster = new MadeCluster();
  cluster.endings = all;
  const { suite, lines } = suiteOf(cluster, [0.1, 0.2]);
  assert.deepEqual(await suite.run(), { failed: [], signal: null });
  const id = kept().id;
  const [first, second] = [`sync_1workers_lr0.1-${id}-1`, `sync_1workers_lr0.2-${id}-2`];
  assert.deepEqual([...cluster.made.keys()], [first, second]);
  assert.match(cluster.made.get(second)!.config, /^model: mlp\ndata: mnist\nworkers: 1\nlr: 0.2$/m);
  assert.deepEqual(lines, [
    `[1/2] sync_1workers_lr0.1: is job ${first} of here:1`,
    `[2/2] sync_1workers_lr0.2: is job ${second} of here:1`,
    `[1/2] sync_1workers_lr0.1: job ${first} waits for its turn`,
    `[1/2] sync_1workers_lr0.1: job ${first} runs`,
    `[2/2] sync_1workers_lr0.2: job ${second} runs`,
    "[1/2] sync_1workers_lr0.1: done in 80 s, 90.00 % of the test set; 1 cell left, about 80 s",
    "[2/2] sync_1workers_lr0.2: done in 80 s, 90.00 % of the test set",
  ]);
  const result = JSON.parse(readFileSync(path("sync_1workers_lr0.2.json"), "utf8"));
  assert.equal(result.experiment_name, "sync_1workers_lr0.2");
  const { crowded, attempts, run } = result.paceline;
  assert.deepEqual({ crowded, attempts, run }, { crowded: false, attempts: 1, run: 1 });
  assert.deepEqual(readdirSync(path("runs", "sync_1workers_lr0.2")).sort(), [
    ...["config.yaml", "events.jsonl", "metrics.jsonl", "result.json"],
  ]);
  assert.equal(
    readFileSync(path("cells", "sync_1workers_lr0.2.log"), "utf8"),
    "12:00 it went on\n",
  );
  const again = suiteOf(cluster, [0.1, 0.2]);
  await again.suite.run();
  assert.match(again.lines.join("\n"), /lr0.1: finished; skipped\n.*lr0.2: finished; skipped$/);
  assert.equal(cluster.submissions, 2);
});

for (const isTaken of [false, true]) {
  const when = isTaken ? "behind" : "before";
  test(`a suite that ends ${when} a job is taken finds it, and submits none twice`, async () => {
    const cluster = new MadeCluster();
    cluster.endings = all;
    cluster.failure = { error: away, isTaken };
    await assert.rejects(suiteOf(cluster, [0.1, 0.2]).suite.run(), { code: "unavailable" });
    assert.equal(kept().pid, null);
    const { suite } = suiteOf(cluster, [0.1, 0.2]);
    assert.deepEqual((await suite.run()).failed, []);
    const { id } = kept();
    const names = [`sync_1workers_lr0.1-${id}-1`, `sync_1workers_lr0.2-${id}-2`];
    assert.deepEqual([...cluster.made.keys()], names);
  });
}

test("a failed cell, and one that is refused, stop no other", async () => {
  const cluster = new MadeCluster();
  cluster.endings = { ...all, "0.1": "failed" };
  cluster.onLook = () => {
    const job = [...cluster.made.values()][0];
    if (job !== undefined) job.reason = "the loss is not finite";
    const error = new PacelineError("data", "mnist is not there");
    if (cluster.submissions === 1) cluster.failure = { error, isTaken: false };
  };
  const { suite, lines } = suiteOf(cluster, [0.1]);
  assert.deepEqual((await suite.run()).failed, ["sync_1workers_lr0.1"]);
  assert.match(lines.join("\n"), /failed: exit code 5: the loss is not finite\n {4}12:00 it went/);
  const more = suiteOf(cluster, [0.1, 0.2, 0.3]);
  assert.deepEqual((await more.suite.run()).failed, ["sync_1workers_lr0.1", "sync_1workers_lr0.2"]);
  assert.match(more.lines.join("\n"), /lr0.1: failed: exit code 5.*; --retry-failed runs it again/);
  assert.match(more.lines.join("\n"), /lr0.2: failed: here:1 refuses it: mnist is not there/);
  cluster.endings = all;
  const last = suiteOf(cluster, [0.1, 0.2, 0.3], { retryFailed: true });
  assert.deepEqual((await last.suite.run()).failed, []);
  assert.match(last.lines.join("\n"), /lr0.1: failed: runs again: is job \S+-4 of here:1/);
});

test("a cancelled job starts over under another name, a changed cell ends its former", async () => {
  const cluster = new MadeCluster();
  cluster.endings = { "0.1": "cancelled" };
  const { suite, lines } = suiteOf(cluster, [0.1]);
  assert.deepEqual((await suite.run()).failed, ["sync_1workers_lr0.1"]);
  assert.match(lines.at(-1) ?? "", /interrupted: its job was /);
  cluster.endings = {};
  const going = suiteOf(cluster, [0.1]);
  cluster.onLook = () => {
    if (cluster.submissions === 2) going.suite.interrupt("SIGINT");
  };
  assert.deepEqual(await going.suite.run(), { failed: [], signal: "SIGINT" });
  const second = `sync_1workers_lr0.1-${kept().id}-2`;
  assert.match(going.lines.join("\n"), new RegExp(`^here:1 goes on with ${second};`, "m"));
  cluster.endings = all;
  const changed = suiteOf(cluster, [0.1], { base: ", epochs: 9" });
  assert.deepEqual((await changed.suite.run()).failed, []);
  assert.deepEqual(cluster.cancelled, [second]);
  assert.match(changed.lines[0] ?? "", /started with other options: runs again: is job \S+-3 of/);
});

test("two suites of one matrix at once have each their own jobs", async () => {
  const cluster = new MadeCluster();
  cluster.endings = all;
  const other = mkdtempSync(join(tmpdir(), "paceline-cluster-suite-"));
  const pair = [
    suiteOf(cluster, [0.1, 0.2]),
    suiteOf(cluster, [0.1, 0.2], { folder: new SuiteFolder(other) }),
  ];
  const outcomes = await Promise.all(pair.map(({ suite }) => suite.run()));
  rmSync(other, { recursive: true });
  assert.deepEqual(
    outcomes.map(({ failed }) => failed),
    [[], []],
  );
  assert.equal(cluster.made.size, 4);
});

test("a bounded number of jobs is submitted ahead", async () => {
  const cluster = new MadeCluster();
  const aheadMax = 3;
  const rates = Array.from({ length: aheadMax + 5 }, (_, index) => index + 1);
  const { suite } = suiteOf(cluster, rates, { aheadMax });
  let most = 0;
  cluster.onLook = () => {
    most = Math.max(
      most,
      [...cluster.made.values()].filter(({ state }) => state !== "done").length,
    );
    if (cluster.submissions === aheadMax) {
      const ended = Object.fromEntries(rates.map((rate) => [rate, "done"] as const));
      cluster.endings = ended;
    }
  };
  assert.deepEqual((await suite.run()).failed, []);
  assert.deepEqual([most, cluster.submissions], [aheadMax, aheadMax + 5]);
});

test("cells that need more members than there are are told before anything", async () => {
  const cluster = new MadeCluster();
  cluster.endings = all;
  const { suite, lines } = suiteOf(cluster, [0.1], { size: { workers: 0, servers: 1 } });
  await suite.run();
  const told = "needs 1 workers and 1 servers, here:1 has 0 and 1: waits until more come";
  assert.equal(lines[0], `[1/1] sync_1workers_lr0.1: ${told}`);
});

test("a half-fetched run is fetched again; a long name still ends in what is its own", async () => {
  const cluster = new MadeCluster();
  cluster.endings = all;
  const read = cluster.read.bind(cluster);
  cluster.read = async (name, record) => {
    if (record === "result") throw away;
    return read(name, record);
  };
  await assert.rejects(suiteOf(cluster, [0.1]).suite.run(), { code: "unavailable" });
  assert.ok(existsSync(path("runs", "sync_1workers_lr0.1", "metrics.jsonl")));
  cluster.read = read;
  assert.deepEqual((await suiteOf(cluster, [0.1]).suite.run()).failed, []);
  assert.equal(cluster.submissions, 1);
  const long = jobName("x".repeat(95), "0a1b2c3d-12");
  assert.equal(long, `${"x".repeat(88)}-0a1b2c3d-12`);
});
