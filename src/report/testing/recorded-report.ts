/**
 * A run report that is fed by hand, with a clock walked by hand, and all that it says recorded. For
 * the tests of run-report.ts and of what reads its files.
 */

import type { ServerStatistics, WorkerStatistics } from "../../protocol/messages.js";
import type {
  CoordinatorSnapshot,
  EpochRecord,
  EvaluationRecord,
  MemberSnapshot,
  RunEvent,
  RunResult,
} from "../../protocol/run-events.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { idleServer, idleWorker } from "../../protocol/statistics.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import type { RunEnd } from "../../runtime/observer.js";
import { RunRecord } from "../../runtime/run-record.js";
import type { ClusterMember } from "../../store/runs/run-directory.js";
import { RunReport, type RunReportSetup } from "../run-report.js";

const spec: RunSpec = {
  ...sampleSpec,
  run: "trial-1",
  name: "trial",
  seed: 1,
  testExamples: 100,
  workersMax: 2,
  schedule: { ...sampleSpec.schedule, totalExamples: 400 },
  epochs: 2,
  batchSize: 10,
  chunkValues: 262144,
  evaluateEvery: { unit: "epoch", count: 1 },
};

const quietly = {
  json: false,
  quiet: false,
  verbose: false,
  metricsJson: false,
  progress: true,
  logEvery: { unit: "epoch", count: 1 },
} as const;

const startMs = Date.UTC(2026, 0, 1);

/** A report and what came of it. */
export interface RecordedReport {
  /** Keeps the record and the report of it. */
  readonly report: Pick<RunRecord, "onEvent" | "onSnapshot"> &
    Pick<RunReport, "close"> & {
      /** Resolves to the exit code. */
      finish(result: RunResult, interruption?: string | null): Promise<RunEnd["exitCode"]>;
    };
  readonly clock: { ms: number };
  /** Lines. */
  readonly out: () => string[];
  readonly err: () => string[];
  readonly errText: () => string;
  readonly events: object[];
  readonly metrics: object[];
  readonly clusters: (readonly ClusterMember[])[];
  readonly results: unknown[];
  /** Lines that went to a process's log, after the process's name. */
  readonly logged: string[][];
}

/** What differs from a plain report. */
export interface Changes {
  readonly spec?: Partial<RunSpec>;
  readonly options?: Partial<RunReportSetup["settings"]>;
  readonly io?: Partial<RunReportSetup["io"]>;
  /** True where standard output is a terminal. */
  readonly screen?: boolean;
  readonly cores?: number;
  readonly writeResult?: () => Promise<void>;
  /** What files of the folder lack in the end. */
  readonly losses?: string[];
}

/** Begins a report. */
export function recordReport(changes: Changes = {}): RecordedReport {
  const texts = { out: "", err: "" };
  const clock = { ms: 0 };
  const kept = {
    events: [] as object[],
    metrics: [] as object[],
    clusters: [] as (readonly ClusterMember[])[],
    results: [] as unknown[],
    logged: [] as string[][],
  };
  const settings = { ...quietly, ...changes.options };
  const shown = new RunReport({
    settings,
    io: {
      stdout: { write: (text) => (texts.out += text), isTTY: changes.screen ?? false },
      stderr: { write: (text) => (texts.err += text), columns: 80, rows: 24 },
      color: false,
      isTerminal: false,
      ...changes.io,
    },
    clock: { nowMs: () => clock.ms },
    speaksForWorkers: true,
  });
  const record = new RunRecord({
    spec: { ...spec, ...changes.spec },
    directory: {
      path: "runs/trial",
      name: "trial",
      event: (line) => kept.events.push(line),
      metric: (line) => kept.metrics.push(line),
      flush: async () => changes.losses ?? [],
      tellTrouble: () => {},
      log: async (role, id, lines) => void kept.logged.push([`${role}-${id}`, ...lines]),
      writeCluster: async (members) => void kept.clusters.push(members),
      writeResult: changes.writeResult ?? (async (result) => void kept.results.push(result)),
    },
    clock: { nowMs: () => clock.ms },
    isoTime: () => new Date(startMs + clock.ms).toISOString(),
    machine: {
      cpu: "fast",
      cores: changes.cores ?? 2,
      memoryBytes: 1,
      node: "v20.0.0",
      platform: "linux x64",
    },
    coordinator: { pid: 1, host: "box", address: "127.0.0.1:8000" },
    version: "1.2.3",
    inOneProcess: false,
    logEvery: settings.logEvery,
    observers: [shown],
  });
  const report: RecordedReport["report"] = {
    onEvent: (event) => record.onEvent(event),
    onSnapshot: (snapshot) => record.onSnapshot(snapshot),
    finish: async (result, interruption) => (await record.finish(result, interruption)).exitCode,
    close: () => shown.close(),
  };
  const lines = (text: string) => text.split("\n").slice(0, -1);
  const out = () => lines(texts.out);
  return { report, clock, out, err: () => lines(texts.err), errText: () => texts.err, ...kept };
}

/** The time of day that the clock stands for. */
export const at = (ms: number) => new Date(startMs + ms).toISOString();

const noServerCounts: ServerStatistics = {
  ...idleServer,
  chunks: 1,
  pushes: 40,
  updates: 20,
  updateSeconds: 0.04,
  lr: 0.1,
};

/** Counts of a worker that took steps of 10 examples, each with a loss of 2. */
export function steps(count: number): WorkerStatistics {
  const examples = 10 * count;
  const losses = { lossSum: 2 * examples, lossCount: examples };
  const times = { inputSeconds: count / 4, computeSeconds: count, waitSeconds: count / 2 };
  return { ...idleWorker, clock: count, steps: count, examples, ...losses, ...times };
}

/** A member that is well. */
export function member(
  role: "server" | "worker",
  rank: number,
  changes: Partial<MemberSnapshot> = {},
): MemberSnapshot {
  return {
    role,
    rank,
    incarnation: 1,
    pid: 10 + rank,
    host: "box",
    address: role === "server" ? "127.0.0.1:9000" : "",
    frames: null,
    state: "alive",
    reason: "last heard 0.1 s ago, lease 3.0 s",
    activity: "computing",
    engine: "",
    inView: true,
    server: role === "server" ? noServerCounts : null,
    worker: role === "worker" ? steps(0) : null,
    ...changes,
  };
}

/** A picture of a run in training. */
export function picture(
  members: readonly MemberSnapshot[],
  changes: Partial<CoordinatorSnapshot> = {},
): CoordinatorSnapshot {
  return {
    run: "trial-1",
    name: "trial",
    phase: "training",
    activity: "epoch 1 of 2",
    epoch: 0,
    epochs: 2,
    globalSteps: 0,
    examples: 0,
    totalExamples: 400,
    members,
    moves: { left: 0, total: 0 },
    algorithms: [],
    evaluations: [],
    ...changes,
  };
}

/** An epoch that is over, counted from 0. */
export function epoch(number: number, changes: Partial<EpochRecord> = {}) {
  const record: EpochRecord = {
    epoch: number,
    seconds: 2,
    examples: 200,
    skipped: 0,
    trainLoss: 0.3123,
    trainAccuracyPercent: 88,
    workerSeconds: { 0: 2, 1: 1.5 },
    ...changes,
  };
  return { kind: "epoch", text: `Epoch ${number + 1}/2 completed`, ...record } as const;
}

/** The evaluation at the end of an epoch. */
export function evaluation(number: number, changes: Partial<EvaluationRecord> = {}) {
  const record: EvaluationRecord = {
    epoch: number,
    step: 10 * (number + 1),
    final: number === 1,
    accuracyPercent: 95 + number,
    loss: 0.25,
    examples: 100,
    atSeconds: 2 * (number + 1),
    trainedExamples: 200 * (number + 1),
    version: `${10 * (number + 1)}-9f3c21aa`,
    ...changes,
  };
  const { accuracyPercent, step } = record;
  const text = `test accuracy ${accuracyPercent.toFixed(2)}% and loss 0.2500 at step ${step}`;
  return { kind: "evaluation", text, ...record } as const;
}

/** A worker has come. */
export const registered = (rank: number): RunEvent => {
  const text = `Worker ${rank} registered with ID ${rank} (pid ${10 + rank} on box)`;
  return { kind: "registered", role: "worker", rank, incarnation: 1, text };
};

/** Worker 1 has gone. */
export const lost: RunEvent = {
  kind: "lost",
  role: "worker",
  rank: 1,
  incarnation: 1,
  text: "worker-1 silent for 3.0 s: lost at step 12, going on with 1 worker",
};

/** A run of two epochs that went well. */
export const done: RunResult = {
  outcome: "done",
  code: null,
  reason: "training is done",
  trainingSeconds: 4,
  globalSteps: 20,
  tornSteps: 0,
  skippedExamples: 0,
  epochs: [epoch(0), epoch(1)],
  evaluations: [evaluation(0), evaluation(1)],
  servers: { 0: noServerCounts },
  workers: { 0: steps(20), 1: steps(20) },
};
