/**
 * Runs with copies of chunks whose servers are killed, paused and cut off at steps that a seed
 * draws, beside the same run undisturbed. What is measured is the time without progress at each
 * fault; what has to hold is that a BSP run ends in the bits of the other, and that every push of
 * any run is counted.
 */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PacelineError } from "../../errors.js";
import { type Compression, compressionTitle } from "../../protocol/compression.js";
import { faultText, type InjectedFault } from "../../protocol/injected-fault.js";
import { describeMachine } from "../../runtime/process/machine.js";
import { readTrace } from "../../runtime/trace/trace-file.js";
import type { BenchResult, BenchTask } from "../harness/bench-option.js";
import { type BenchmarkRow, median } from "../harness/benchmark.js";
import { writePictures } from "../train/measured-run.js";
import { RunProcess } from "../train/run-process.js";
import { gapAt, histogramOf, type StepBegins, windowStarts } from "./progress-gaps.js";
import { drawStrikes, type StrikePlan } from "./strikes.js";

/** What to measure. */
export interface FailoverMeasures extends StrikePlan {
  readonly model: string;
  readonly modes: readonly string[];
  readonly pushes: readonly Compression[];
  readonly workers: number;
}

/** A fault that came, and how long its run made no progress. */
interface Suffered {
  readonly fault: InjectedFault;
  readonly gapMs: number;
}

interface Judged {
  readonly rows: readonly BenchmarkRow[];
  readonly verdicts: readonly string[];
  readonly holds: boolean;
}

const batch = 128;
/** The program tells of a fault within so long, on a machine that is loaded. */
const hearingMs = 2000;
/** A killed server may cost a run so much at most. */
const killLimitMs = 2000;
const suffersPattern = /^server-\d+ \(pid \d+\) suffers (\S+) at step \d+$/gm;

/** Measures each mode with each compression. */
export async function runFailoverBench(
  measures: FailoverMeasures,
  task: BenchTask,
): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "paceline-failover-"));
  try {
    const { model, workers, every } = measures;
    await writePictures(join(folder, "pictures"), model, workers * batch * every);
    const judged: Judged[] = [];
    for (const mode of measures.modes) {
      for (const push of measures.pushes) {
        judged.push(await new StruckRun(folder, measures, { mode, push }, task).judge());
      }
    }
    const rows = judged.flatMap((one) => one.rows);
    return {
      report: { bench: "failover", machine: describeMachine(), rows },
      appendix: judged.flatMap(({ verdicts }) => verdicts),
      holds: judged.every(({ holds }) => holds),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A run that suffers, and its undisturbed twin. */
class StruckRun {
  readonly #folder: string;
  readonly #measures: FailoverMeasures;
  readonly #way: { readonly mode: string; readonly push: Compression };
  readonly #task: BenchTask;
  readonly #name: string;

  constructor(
    folder: string,
    measures: FailoverMeasures,
    way: { readonly mode: string; readonly push: Compression },
    task: BenchTask,
  ) {
    this.#folder = folder;
    this.#measures = measures;
    this.#way = way;
    this.#task = task;
    const { model, servers, workers } = measures;
    const codec = way.push.codec === "none" ? "" : `/${compressionTitle(way.push)}`;
    this.#name = `${model}/${way.mode}${codec}/s${servers}/w${workers}`;
  }

  async judge(): Promise<Judged> {
    const strikes = drawStrikes(this.#measures);
    const whole = await this.#carryOut("whole", []);
    const struck = await this.#carryOut("struck", strikes);
    const suffered = await this.#gapsOf(struck.folder, struck.moments, strikes);
    const rows = (["kill", "pause", "cut"] as const).flatMap((kind) => {
      const gaps = suffered.filter(({ fault }) => fault.kind === kind).map(({ gapMs }) => gapMs);
      if (gaps.length === 0) return [];
      const name = `${this.#name}/${kind}`;
      return [
        { name, value: median(gaps), unit: "ms without progress" },
        { name: `${name}/longest of ${gaps.length}`, value: Math.max(...gaps), unit: "ms" },
      ];
    });
    const problems = [
      ...(suffered.length < strikes.length ? [`${suffered.length} of ${strikes.length} came`] : []),
      ...suffered.flatMap(({ fault, gapMs }) =>
        fault.kind === "kill" && gapMs > killLimitMs
          ? [`${faultText(fault)} cost ${gapMs.toFixed(0)} ms, ${killLimitMs} are allowed`]
          : [],
      ),
      ...(await countProblems(struck.folder)),
      ...(whole.isTimed || whole.weights === struck.weights ? [] : ["other weights"]),
    ];
    await rm(join(this.#folder, "runs"), { recursive: true, force: true });
    const verdict = problems.length === 0 ? "nothing lost" : problems.join("; ");
    const counts = `${suffered.length} faults of servers`;
    return {
      rows,
      verdicts: [`${this.#name}: ${counts}: ${verdict}`, ...histograms(suffered)],
      holds: problems.length === 0,
    };
  }

  async #carryOut(name: string, strikes: readonly InjectedFault[]) {
    const { model, workers, servers, every, strikes: turns } = this.#measures;
    const { mode, push } = this.#way;
    const runDir = join(this.#folder, "runs");
    const run = new RunProcess([
      ...["train", "--model", model, "--data", "pictures", "--data-dir", this.#folder],
      ...["-w", `${workers}`, "-s", `${servers}`, "-b", `${batch}`, "--mode", mode],
      ...["-e", `${turns + 1}`, "--optimizer", "momentum", "--lr", "0.01", "--eval-every", "none"],
      ...["--compress", compressionTitle(push), "--replicas", "2", "--max-restarts", "1000"],
      ...["--run-dir", runDir, "--name", name, "--no-progress"],
      ...(strikes.length === 0 ? [] : ["--trace"]),
      ...strikes.flatMap((strike) => ["--inject", faultText(strike)]),
      ...["--max-steps", `${(turns + 1) * every}`],
    ]);
    const moments = new Map<string, number>();
    const listening = setInterval(() => {
      for (const [, text] of run.said.matchAll(suffersPattern)) {
        if (moments.has(text!)) continue;
        moments.set(text!, Date.now());
        this.#task.log(`${this.#name}: ${text}`);
      }
    }, 20);
    try {
      await run.end();
    } finally {
      clearInterval(listening);
    }
    const folder = join(runDir, name);
    const { paceline } = await resultOf(folder);
    // Where a gradient is older than what it moves, the weights depend on who was first.
    const isTimed = paceline.staleness.max > 0;
    return { folder, moments, isTimed, weights: await weightsOf(folder) };
  }

  async #gapsOf(
    folder: string,
    moments: ReadonlyMap<string, number>,
    strikes: readonly InjectedFault[],
  ): Promise<Suffered[]> {
    const begins = await stepBegins(join(folder, "trace.json"));
    const came = strikes
      .flatMap((fault) => {
        const atMs = moments.get(faultText(fault));
        return atMs === undefined ? [] : [{ fault, atMs }];
      })
      .sort((first, second) => first.atMs - second.atMs);
    const starts = windowStarts(
      came.map(({ atMs }) => atMs),
      hearingMs,
    );
    return came.map(({ fault }, index) => {
      const [atMs, untilMs = Number.POSITIVE_INFINITY] = starts.slice(index);
      return { fault, gapMs: gapAt(begins, { atMs: atMs!, untilMs }) };
    });
  }
}

function histograms(suffered: readonly Suffered[]): string[] {
  return (["kill", "pause", "cut"] as const).flatMap((kind) => {
    const gaps = suffered.filter(({ fault }) => fault.kind === kind).map(({ gapMs }) => gapMs);
    if (gaps.length === 0) return [];
    return [`time without progress after a ${kind}:`, ...histogramOf(gaps)];
  });
}

async function weightsOf(folder: string): Promise<string> {
  const checkpoints = join(folder, "checkpoints");
  const steps = (await readdir(checkpoints)).filter((name) => name.startsWith("step-"));
  const last = steps.sort((left, right) => stepIn(left) - stepIn(right)).at(-1) ?? "";
  const bytes = await readFile(join(checkpoints, last, "model.safetensors"));
  return createHash("sha256").update(bytes).digest("hex");
}

const stepIn = (name: string) => Number(name.slice("step-".length));

async function resultOf(folder: string) {
  return JSON.parse(await readFile(join(folder, "result.json"), "utf8"));
}

/** Every step of every worker is a push of it to all chunks, which the servers have counted. */
async function countProblems(folder: string): Promise<string[]> {
  const result = await resultOf(folder);
  const pushes = result.server_metrics.gradients_processed as number;
  const steps = result.worker_metrics_aggregated.total_local_steps as number;
  const { tornSteps, skippedExamples, outcome } = result.paceline;
  return [
    ...(outcome === "done" ? [] : [`ended as ${outcome}`]),
    ...(pushes === steps ? [] : [`workers took ${steps} steps and servers counted ${pushes}`]),
    ...(tornSteps === 0 ? [] : [`${tornSteps} torn steps`]),
    ...(skippedExamples === 0 ? [] : [`${skippedExamples} skipped examples`]),
  ];
}

async function stepBegins(path: string): Promise<StepBegins> {
  const head = (await readFile(path, "utf8")).slice(0, 200);
  const begunAt = /"begunAt":"([^"]*)"/.exec(head)?.[1];
  if (begunAt === undefined) throw new PacelineError("internal", `${path} names no begin`);
  const begunMs = Date.parse(begunAt);
  const names = new Map<number, string>();
  const begins = new Map<string, number[]>();
  for await (const { name, ph, pid, ts, args } of readTrace(path)) {
    if (name === "process_name" && args !== undefined) names.set(pid, args.name);
    if (ph !== "X" || ts === undefined || !/^step \d+$/.test(name)) continue;
    const worker = names.get(pid) ?? `${pid}`;
    const moments = begins.get(worker) ?? [];
    if (moments.length === 0) begins.set(worker, moments);
    moments.push(begunMs + ts / 1000);
  }
  for (const moments of begins.values()) moments.sort((left, right) => left - right);
  return begins;
}
