/**
 * Whole runs in step that write checkpoints while they train. Steps with and without a checkpoint
 * beside are of the same run and stand side by side in it, so a machine that slows down slows both.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PacelineError } from "../../errors.js";
import type { BenchResult, BenchTask } from "../harness/bench-option.js";
import { type BenchmarkCase, median, runBenchmark } from "../harness/benchmark.js";
import { RunPlace } from "../train/measured-run.js";
import { caseOfSame } from "../train/run-cases.js";
import { plainWire } from "../train/wire-setups.js";
import type { CheckpointMeasures } from "./checkpoint-bench.js";
import { type OverlappedSteps, overlappedSteps } from "./overlapped-steps.js";

interface Span {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur: number;
  readonly args?: { readonly name: string };
}

interface RunTraceFile {
  readonly otherData: { readonly begunAt: string };
  readonly traceEvents: readonly Span[];
}

/** Measures runs, one a round. */
export async function runCheckpointBench(
  measures: CheckpointMeasures,
  { log }: BenchTask,
): Promise<BenchResult> {
  const appendix: string[] = [];
  const settings = { peers: true, turns: measures.rounds, warmUpTurns: 0, log };
  const report = await runBenchmark("checkpoint", casesOf(measures, appendix), settings);
  return { report, appendix };
}

function casesOf(measures: CheckpointMeasures, appendix: string[]): BenchmarkCase[] {
  const { model, dtype, batch, workers, servers, replicas, steps, every } = measures;
  const options = [...["--dtype", dtype, "--checkpoint-every", `${every}it`, "--trace"]];
  const exchange = {
    model,
    workers,
    servers,
    replicas,
    batch,
    steps,
    transport: "auto",
    wire: plainWire,
  };
  const place = new RunPlace({ ...exchange, options });
  const name = `${model}/${dtype}/b${batch}/w${workers}/s${servers}/r${replicas}`;
  const plain: number[] = [];
  const writing: number[] = [];
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const ms = { unit: "ms", better: "lower" } as const;
  return [
    {
      ...{ name: `${name}/step-beside`, ...ms },
      setUp: () => place.setUp(),
      tearDown: () => place.tearDown(),
      async run() {
        const found = await place.read((folder) => stepsOf(folder, steps));
        const beside = found.beside.flat();
        if (beside.length === 0 || found.plain.length === 0) {
          throw new PacelineError("internal", "a measured run had no step beside a checkpoint");
        }
        const undisturbed = mean(found.plain);
        plain.push(undisturbed);
        writing.push(median(found.writing));
        const share = (100 * (mean(beside) / undisturbed - 1)).toFixed(1);
        const overlapped = beside.length / found.beside.length;
        appendix.push(
          `${name}: ${found.beside.length} checkpoints overlap ${overlapped.toFixed(1)} steps ` +
            `each, which take ${share} % longer than the ${found.plain.length} others`,
        );
        return mean(beside);
      },
      // Measured in the same run.
      peers: [{ name: "other steps", run: () => plain.at(-1)! }],
    },
    caseOfSame(`${name}/written-in`, ms, writing),
  ];
}

async function stepsOf(folder: string, epochSteps: number): Promise<OverlappedSteps> {
  const trace = JSON.parse(await readFile(join(folder, "trace.json"), "utf8")) as RunTraceFile;
  const events = (await readFile(join(folder, "events.jsonl"), "utf8")).trim().split("\n");
  const checkpoints = events
    .map((line) => JSON.parse(line) as { time: string; kind: string; step: number })
    .filter(({ kind }) => kind === "checkpoint")
    .map(({ time, step }) => ({ step, writtenMs: Date.parse(time) }));
  return overlappedSteps(appliedMs(trace), checkpoints, epochSteps);
}

/** When the first chunk was applied at each step; where it has copies, by the first to do so. */
function appliedMs({ otherData, traceEvents }: RunTraceFile): number[] {
  const begunMs = Date.parse(otherData.begunAt);
  const tracks = new Set(
    traceEvents
      .filter(({ ph, args }) => ph === "M" && args?.name === "apply")
      .map(({ pid, tid }) => `${pid}/${tid}`),
  );
  const byProcess = new Map<number, number[]>();
  for (const { name, ph, pid, tid, ts, dur } of traceEvents) {
    if (ph !== "X" || name !== "chunk 0" || !tracks.has(`${pid}/${tid}`)) continue;
    const times = byProcess.get(pid) ?? [];
    byProcess.set(pid, times);
    times.push(begunMs + (ts + dur) / 1000);
  }
  const [first = []] = byProcess.values();
  return [...first].sort((left, right) => left - right);
}
