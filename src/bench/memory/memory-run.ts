/**
 * Runs the watched runs, and holds what their processes took against the limits. A row says what
 * was seen and, where a peer stands in other benchmarks, the limit; a ratio of 1 or more holds.
 */

import { PacelineError } from "../../errors.js";
import { valuesIn } from "../../nn/layer-kind.js";
import type { ModelGraph } from "../../nn/model.js";
import { buildModel } from "../../nn/models.js";
import { type Compression, compressionTitle, feedbackCodecs } from "../../protocol/compression.js";
import { describeMachine } from "../../runtime/process/machine.js";
import type { BenchResult, BenchTask } from "../harness/bench-option.js";
import type { BenchmarkRow } from "../harness/benchmark.js";
import { judgeFlatness, roomToGrow, tellsMemory } from "../harness/process-memory.js";
import { type MemoryLimits, mebibyte, memoryLimits } from "./memory-limits.js";
import { tenths, type WatchedMember, watchRun } from "./watched-run.js";

/** What to measure. */
export interface MemoryMeasures {
  readonly model: string;
  readonly transports: readonly string[];
  readonly pushes: readonly Compression[];
  readonly pull: Compression;
  readonly workers: number;
  readonly servers: number;
  readonly steps: number;
  readonly checkpoint: boolean;
}

/** Gives the peak of a process that does nothing but steps of the engine, with a batch of one. */
export type MeasureEngine = (model: string) => Promise<number>;

interface Judged {
  readonly row: BenchmarkRow;
  readonly verdict: string;
  readonly holds: boolean;
}

/** Measures each transport with each compression. */
export async function runMemoryBench(
  measures: MemoryMeasures,
  task: BenchTask,
  measureEngine: MeasureEngine,
): Promise<BenchResult> {
  if (!tellsMemory) {
    const where = "reads memory from /proc, which this system lacks";
    throw new PacelineError("usage", `paceline bench memory ${where}; run it on Linux`);
  }
  const { model, transports, pushes, steps } = measures;
  if (steps % tenths !== 0) {
    const remedy = "readings are of tenths of the steps; write a multiple of 10";
    throw new PacelineError("usage", `--steps ${steps} can't be cut into ${tenths}: ${remedy}`);
  }
  const engineBytes = await measureEngine(model);
  task.log(`${model}: the engine alone takes ${inMebibytes(engineBytes)}`);
  const judged: Judged[] = [];
  for (const transport of transports) {
    for (const push of pushes) {
      judged.push(...(await judgeRun(measures, { transport, push, engineBytes }, task)));
    }
  }
  return {
    report: { bench: "memory", machine: describeMachine(), rows: judged.map(({ row }) => row) },
    appendix: judged.map(({ verdict }) => verdict),
    holds: judged.every(({ holds }) => holds),
  };
}

interface RunSetup {
  readonly transport: string;
  readonly push: Compression;
  readonly engineBytes: number;
}

async function judgeRun(
  { model, workers, servers, steps, checkpoint, pull }: MemoryMeasures,
  { transport, push, engineBytes }: RunSetup,
  { log }: BenchTask,
): Promise<Judged[]> {
  const isFlat = model === "logistic" || model === "mlp";
  const classes = model === "logistic" ? 2 : isFlat ? 10 : 100;
  const inputShape = isFlat ? ([1, 28, 28] as const) : ([3, 32, 32] as const);
  const setupTitle = [transport, ...[push, pull].map(wordOf)].join("");
  const name = `${model}/${setupTitle}/s${servers}/w${workers}`;
  const codecs = ["--compress", compressionTitle(push), "--compress-pull", compressionTitle(pull)];
  const members = await watchRun(
    {
      ...{ model, classes, inputShape, workers, servers, steps, checkpoint },
      options: ["--transport", transport, ...codecs],
    },
    (line) => log(`${name}: ${line}`),
  );
  const limits = memoryLimits({
    parameterBytes: 4 * allValues(buildModel(model, { classes, inputShape })),
    ...{ workers, servers, engineBytes },
    keepsResiduals: dropsValues(push),
    overGrpc: transport === "grpc",
    keepsSent: dropsValues(pull),
  });
  return judgeMembers(name, members, limits);
}

/** Of each role the process that took most. */
export function judgeMembers(
  name: string,
  members: readonly WatchedMember[],
  limits: MemoryLimits,
): Judged[] {
  const of = (role: WatchedMember["role"]) => members.filter((member) => member.role === role);
  const most = (role: WatchedMember["role"], bytes: (member: WatchedMember) => number) =>
    Math.max(0, ...of(role).map(bytes));
  const peak = (role: WatchedMember["role"]) => most(role, ({ peakBytes }) => peakBytes);
  const stepping = most("server", ({ steppingBytes }) => steppingBytes);
  return [
    judgePeak(`${name}/server`, stepping, limits.server),
    judgePeak(`${name}/server-checkpoint`, peak("server"), limits.serverCheckpoint),
    judgePeak(
      `${name}/server-values`,
      most("server", ({ valuesBytes }) => valuesBytes),
      limits.serverValues,
    ),
    judgePeak(`${name}/worker`, peak("worker"), limits.worker),
    judgePeak(`${name}/coordinator`, peak("coordinator"), limits.coordinator),
    judgeGrowth(
      `${name}/server`,
      of("server").map(({ otherTenths }) => otherTenths),
      limits.serverPassing,
    ),
    judgeGrowth(
      `${name}/worker`,
      of("worker").map((member) => member.tenths),
      limits.workerPassing,
    ),
  ];
}

function judgePeak(name: string, bytes: number, limit: number): Judged {
  const holds = bytes > 0 && bytes <= limit;
  const verdict = `${inMebibytes(bytes)} of at most ${inMebibytes(limit)}`;
  return {
    row: rowOf(name, bytes, limit),
    verdict: `${name}: ${holds ? "holds" : "DOES NOT HOLD"}: ${verdict}`,
    holds,
  };
}

/** The process that grew most after the second tenth, with what would still be flat. */
function judgeGrowth(
  name: string,
  members: readonly (readonly number[])[],
  passingBytes: number,
): Judged {
  const [worst] = members
    .map((readings) => ({ readings, highest: Math.max(...readings.slice(1)) }))
    .sort((a, b) => b.highest - b.readings[1]! - (a.highest - a.readings[1]!));
  // A tenth that nobody read is a hole, which a filter leaves out.
  if (worst === undefined || worst.readings.filter(Number.isFinite).length < tenths) {
    throw new PacelineError("internal", `${name} was not there in every tenth of the run`);
  }
  const { readings, highest } = worst;
  const settled = readings[1]!;
  const { isFlat, reason } = judgeFlatness(readings, passingBytes);
  return {
    row: rowOf(`${name}-later`, highest, settled + roomToGrow(settled, passingBytes)),
    verdict: `${name}: ${reason}`,
    holds: isFlat,
  };
}

function rowOf(name: string, bytes: number, limit: number): BenchmarkRow {
  const [value, peerValue] = [bytes / mebibyte, limit / mebibyte];
  return { name, value, unit: "MiB", peer: "limit", peerValue, ratio: peerValue / value };
}

function allValues({ tensors }: ModelGraph): number {
  return tensors.reduce((sum, { shape }) => sum + valuesIn(shape), 0);
}

function wordOf(compression: Compression, index: number): string {
  if (compression.codec === "none") return "";
  return `${index === 0 ? "+" : "-"}${compressionTitle(compression)}`;
}

function dropsValues({ codec }: Compression): boolean {
  return feedbackCodecs.includes(codec);
}

function inMebibytes(bytes: number): string {
  return `${(bytes / mebibyte).toFixed(1)} MiB`;
}
