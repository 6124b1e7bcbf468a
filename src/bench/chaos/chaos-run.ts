/**
 * Runs in which everything is struck, one fault at a time: servers, workers, the coordinator that
 * leads, the one that stands by, etcd, and the links between them. A fault waits until the cluster
 * is whole again after the one before. What is measured is the time without progress of the
 * workers that a fault did not befall.
 *
 * What must hold: with workers that stay, BSP ends in the bits of `baseline --as-workers`; with
 * workers that come and go every example of an epoch is used once; without steps, every push that a
 * worker had an answer to is one of its chunk's versions.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { toPacelineError } from "../../errors.js";
import { describeMachine } from "../../runtime/process/machine.js";
import { gapAt, histogramOf } from "../failover/progress-gaps.js";
import type { BenchResult, BenchTask } from "../harness/bench-option.js";
import { type BenchmarkRow, median } from "../harness/benchmark.js";
import { writePictures } from "../train/measured-run.js";
import { RunProcess } from "../train/run-process.js";
import { ChaosCluster } from "./chaos-cluster.js";
import {
  type ChaosFault,
  drawFaults,
  elasticWorkers,
  faultSentence,
  type Scenario,
  scenarios,
} from "./fault-plan.js";
import { judgeAccounts, type RunEnd } from "./judge-accounts.js";
import { readCheckpoint, readWorkers, type ServerEvidence } from "./run-evidence.js";

/** What to measure. */
export interface ChaosMeasures {
  readonly model: string;
  /** Names of scenarios. */
  readonly modes: readonly string[];
  readonly servers: number;
  readonly workers: number;
  readonly faults: number;
  readonly durationMs: number;
  readonly seed: number;
}

/** A fault that came, and how long the run made no progress. */
interface Suffered {
  readonly fault: ChaosFault;
  readonly atMs: number;
  /** Workers that it befell. */
  readonly pids: readonly number[];
  gapMs: number;
}

const batch = 32;
/** Steps of an epoch, where there are as many workers as at the start. */
const stepsOfEpoch = 400;
/** What is allowed without progress. */
const [medianLimitMs, longestLimitMs] = [1000, 5000];
/** The step before a fault began up to so long before it. */
const leadMs = 300;
/** Ends by themselves that are told first. */
const mostTold = 20;

/** Measures each mode. */
export async function runChaosBench(
  measures: ChaosMeasures,
  task: BenchTask,
): Promise<BenchResult> {
  const rows: BenchmarkRow[] = [];
  const appendix: string[] = [];
  let holds = true;
  for (const scenario of scenarios) {
    if (!measures.modes.includes(scenario.name)) continue;
    const folder = await mkdtemp(join(tmpdir(), "paceline-chaos-"));
    const run = new ChaosRun(folder, scenario, measures, task);
    const { suffered, problems } = await run.carryOut();
    const gaps = suffered.map(({ gapMs }) => gapMs);
    if (gaps.length > 0) rows.push(...rowsOf(run.title, suffered));
    const all = [...problems, ...limitProblems(gaps)];
    const count = `${suffered.length} faults`;
    const verdict = all.length === 0 ? "nothing lost" : all.slice(0, mostTold).join("; ");
    appendix.push(`${run.title}, seed ${measures.seed}: ${count}: ${verdict}`);
    if (gaps.length > 0) appendix.push("time without progress:", ...histogramOf(gaps));
    if (all.length === 0) await rm(folder, { recursive: true, force: true });
    else appendix.push(`what the run has left is in ${folder}`);
    holds &&= all.length === 0;
  }
  return { report: { bench: "chaos", machine: describeMachine(), rows }, appendix, holds };
}

/** One run and what is found of it. */
class ChaosRun {
  readonly title: string;
  readonly #folder: string;
  readonly #scenario: Scenario;
  readonly #measures: ChaosMeasures;
  readonly #task: BenchTask;
  readonly #suffered: Suffered[] = [];

  constructor(folder: string, scenario: Scenario, measures: ChaosMeasures, task: BenchTask) {
    const { model, servers, workers } = measures;
    this.title = `${model}/${scenario.name}/s${servers}/w${workers}`;
    this.#folder = folder;
    this.#scenario = scenario;
    this.#measures = measures;
    this.#task = task;
  }

  async carryOut(): Promise<{ suffered: readonly Suffered[]; problems: readonly string[] }> {
    const { model, servers, workers } = this.#measures;
    const folder = this.#folder;
    await writePictures(join(folder, "pictures"), model, workers * batch * stepsOfEpoch);
    const cluster = await ChaosCluster.start({
      ...{ folder, servers, workers, words: this.#words() },
      workersMax: this.#scenario.isElastic ? elasticWorkers.max : workers,
      ofWorkers: ["--data-dir", folder],
    });
    const { problems } = cluster;
    try {
      await this.#strikeAll(cluster);
      await cluster.stop();
      problems.push(...(await this.#judge()));
    } catch (thrown) {
      problems.push(toPacelineError(thrown).message);
    } finally {
      await cluster.destroy();
    }
    return { suffered: this.#suffered, problems };
  }

  async #strikeAll(cluster: ChaosCluster): Promise<void> {
    await cluster.untilWhole();
    const { servers, workers, faults, durationMs, seed } = this.#measures;
    const plan = { scenario: this.#scenario, servers, workers, faults, durationMs, seed };
    const beganMs = performance.now();
    const untilDue = (dueMs: number) => delay(Math.max(0, beganMs + dueMs - performance.now()));
    for (const [index, fault] of drawFaults(plan).entries()) {
      await untilDue(fault.dueMs);
      this.#task.log(`${this.title} ${index + 1}/${faults}: ${faultSentence(fault)}`);
      const suffered = { fault, atMs: Date.now(), pids: [] as readonly number[], gapMs: 0 };
      this.#suffered.push(suffered);
      const struckMs = performance.now();
      const { pids } = await cluster.strike(fault);
      suffered.pids = pids;
      await cluster.untilWhole();
      const seconds = ((performance.now() - struckMs) / 1000).toFixed(1);
      this.#task.log(`${this.title} ${index + 1}/${faults}: whole after ${seconds} s`);
    }
    await untilDue(durationMs);
  }

  async #judge(): Promise<string[]> {
    const folder = join(this.#folder, "runs", "run");
    const workers = await readWorkers(join(this.#folder, "traces"));
    this.#suffered.forEach((one, index) => {
      const begins = new Map(
        [...workers.begins].flatMap(([pid, moments]) =>
          one.pids.includes(pid) ? [] : [[`${pid}`, moments] as const],
        ),
      );
      const next = this.#suffered[index + 1]?.atMs ?? Number.POSITIVE_INFINITY;
      one.gapMs = gapAt(begins, { atMs: one.atMs - leadMs, untilMs: next - leadMs });
    });
    const checkpoint = await readCheckpoint(folder);
    const end: RunEnd = {
      scenario: this.#scenario,
      events: await readFile(join(folder, "events.jsonl"), "utf8"),
      result: JSON.parse(await readFile(join(folder, "result.json"), "utf8")),
      examplesOfEpoch: this.#measures.workers * batch * stepsOfEpoch,
      examplesOfStep: batch,
      ...{ checkpoint, workers },
    };
    const problems = judgeAccounts(end);
    if (this.#scenario.hasOracle) problems.push(...(await this.#compare(checkpoint)));
    return problems;
  }

  /** The same steps in one process. */
  async #compare({ step, weights }: ServerEvidence): Promise<string[]> {
    this.#task.log(`${this.title}: the same ${step} steps in one process`);
    const as = ["--as-workers", `${this.#measures.workers}`, "--max-steps", `${step}`];
    const words = ["baseline", ...this.#work(), ...as, "--threads", "1", "--no-progress"];
    await new RunProcess([
      ...words,
      "--run-dir",
      join(this.#folder, "runs"),
      "--name",
      "one",
    ]).end();
    const one = await readCheckpoint(join(this.#folder, "runs", "one"));
    return one.weights === weights ? [] : [`other weights than the baseline's after ${step} steps`];
  }

  #work(): string[] {
    return [
      ...["--model", this.#measures.model, "--data", "pictures", "--data-dir", this.#folder],
      ...["-b", `${batch}`, "-e", "1000000", "--optimizer", "momentum", "--lr", "0.01"],
      ...["--eval-every", "none", "--chunk-values", "20000"],
    ];
  }

  #words(): string[] {
    const { servers, workers } = this.#measures;
    const { isElastic, pace } = this.#scenario;
    return [
      ...this.#work(),
      ...[
        "--transport",
        "tcp",
        "--mode",
        pace,
        "-w",
        isElastic ? `1:${elasticWorkers.max}` : `${workers}`,
      ],
      ...["-s", `${servers}`, "--replicas", "2", "--checkpoint-every", "20s"],
      ...["--run-dir", join(this.#folder, "runs"), "--name", "run"],
    ];
  }
}

function limitProblems(gaps: readonly number[]): string[] {
  if (gaps.length === 0) return [];
  const [middle, longest] = [median(gaps), Math.max(...gaps)];
  const over = (what: string, ms: number, limitMs: number) =>
    ms > limitMs ? [`${what} is ${ms.toFixed(0)} ms, ${limitMs} are allowed`] : [];
  return [
    ...over("the median", middle, medianLimitMs),
    ...over("the longest", longest, longestLimitMs),
  ];
}

/** A row for each role and kind, with the longest. */
function rowsOf(title: string, suffered: readonly Suffered[]): BenchmarkRow[] {
  const unit = "ms without progress";
  const groups = new Map<string, number[]>();
  for (const { fault, gapMs } of suffered) {
    const { kind, target, forMs, link } = fault;
    const where = link === null ? "" : ` ${link}`;
    const isLasting = kind === "freeze" || link !== null;
    const length = !isLasting ? "" : forMs < 1000 ? " below 1 s" : ` ${forMs / 1000} s`;
    const name = `${target.role}/${kind}${where}${length}`;
    groups.set(name, [...(groups.get(name) ?? []), gapMs]);
  }
  const all = suffered.map(({ gapMs }) => gapMs);
  return [
    ...[...groups]
      .sort()
      .flatMap(([name, gaps]) => [
        { name: `${title}/${name} (${gaps.length})`, value: median(gaps), unit },
        ...(gaps.length < 2
          ? []
          : [{ name: `${title}/${name}, longest`, value: Math.max(...gaps), unit }]),
      ]),
    { name: `${title}/all (${all.length})`, value: median(all), unit },
    { name: `${title}/all, longest`, value: Math.max(...all), unit },
  ];
}
