/**
 * `paceline baseline`: the model, data and update rule of `paceline train` in one process without
 * servers. With `--as-workers N` it ends in the weights of a run with N workers in step, bit for
 * bit: of `--mode bsp` or `local`.
 */

import { hostname } from "node:os";
import { defaultMode, paceOf, protocolOf } from "../../core/sync/modes.js";
import { loadDataset } from "../../data/dataset.js";
import type { Dataset } from "../../data/split.js";
import { toPacelineError } from "../../errors.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { localValues } from "../../protocol/local/local-state.js";
import type { CoordinatorSnapshot, RunResult } from "../../protocol/run-events.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { RunReport } from "../../report/run-report.js";
import {
  assertBaselineStart,
  type BaselineCheckpoint,
} from "../../runtime/baseline/baseline-start.js";
import {
  type BaselineProgress,
  type BaselineResult,
  runBaseline,
} from "../../runtime/baseline/baseline-training.js";
import { engineOf } from "../../runtime/compute/run-engine.js";
import { savePatiently } from "../../runtime/patient-save.js";
import { describeMachine, packageVersion } from "../../runtime/process/machine.js";
import { processClock } from "../../runtime/process/process-clock.js";
import { keepCheckpoint } from "../../runtime/run-checkpoints.js";
import { type PreparedRun, prepareRun } from "../../runtime/run-preparation.js";
import { RunRecord } from "../../runtime/run-record.js";
import { checkpointsFolder } from "../../store/checkpoint/checkpoint-folder.js";
import { onSignals, signalExitCode } from "../signals.js";
import { dryRun } from "./dry-run.js";

/** How often the report is fed and signals are heard. */
const breathIntervalMs = 100;

/** Runs the command; resolves to the exit code. */
export async function baseline(options: ResolvedOptions, io: CommandIo): Promise<number> {
  if (options.dryRun) return dryRun(asInStep(options), io, "baseline");
  const log = (line: string) => void (options.quiet || io.stderr.write(`${line}\n`));
  const inStep = asInStep(options);
  const { mode } = inStep;
  if (mode !== options.mode) log(`--mode ${options.mode} is computed as ${mode}: ranks keep step`);
  // Before the run's folder is made: broken data leaves no trace.
  const { data, dataDir, cacheDir, trainLimit, testLimit } = options;
  const place = { dataDir, cacheDir, trainLimit, testLimit, log };
  const dataset = await loadDataset(data ?? "", place);
  const prepared = await prepareRun(inStep, io.configText, "baseline", (start) =>
    assertBaselineStart(start, options.asWorkers),
  );
  try {
    return await train(prepared, dataset, options, io, log);
  } finally {
    await prepared.directory.close();
  }
}

/** The options of the run that this is the like of: that of its mode, or else of BSP. */
function asInStep(options: ResolvedOptions): ResolvedOptions {
  const workers = { min: options.asWorkers, max: options.asWorkers };
  const pace = paceOf(protocolOf(options.mode, options));
  const mode = pace.globalStep === "step" ? options.mode : defaultMode;
  return { ...options, mode, workers, servers: { min: 1, max: 1 }, inject: [] };
}

async function train(
  { setup: begun, state, residuals, directory, notices }: PreparedRun,
  dataset: Dataset,
  options: ResolvedOptions,
  io: CommandIo,
  log: (line: string) => void,
): Promise<number> {
  const { spec, layout, resume } = begun;
  const { engine, reason } = engineOf(spec, options);
  log(reason);
  if (residuals.size > 0 && localValues(spec, layout) === 0) {
    log(`residuals of ${residuals.size} workers in the checkpoint are dropped: nothing is pushed`);
  }
  const setup = { settings: options, io, clock: processClock, speaksForWorkers: true };
  const report = new RunReport(setup);
  const record = recordOf(begun, directory, options, report);
  for (const notice of notices) record.onEvent(notice);
  let signal: NodeJS.Signals | null = null;
  const release = onSignals((given) => {
    if (signal !== null) process.exit(signalExitCode(given));
    signal = given;
    log(`${given}: a checkpoint is written after this step; again to stop at once`);
  });
  let algorithms: readonly string[] = [];
  let lastBreathMs = Number.NEGATIVE_INFINITY;
  const breathe = async (progress: BaselineProgress) => {
    const nowMs = processClock.nowMs();
    if (nowMs - lastBreathMs < breathIntervalMs) return false;
    lastBreathMs = nowMs;
    record.onSnapshot(snapshotOf(spec, { engine: reason, algorithms }, progress));
    await new Promise((resolve) => setImmediate(resolve));
    return signal !== null;
  };
  try {
    const { nowMs } = processClock;
    const place = { path: directory.path, keep: options.keep, version: io.version, spec, layout };
    const write = async (checkpoint: BaselineCheckpoint, isLast = false) => {
      const step = checkpoint.globalSteps;
      const content = { ...checkpoint, globalStep: step, engines: [reason], algorithms };
      const save = () => keepCheckpoint(place, content);
      const tell = (text: string) => record.onEvent({ kind: "warning", text });
      const folder = checkpointsFolder(directory.path);
      const patience = { clock: processClock, patienceMs: options.savePatienceMs, folder, tell };
      try {
        const path = await (isLast ? savePatiently(save, patience) : save());
        record.onEvent({ kind: "checkpoint", step, text: `checkpoint of step ${step} in ${path}` });
        return null;
      } catch (thrown) {
        const { message } = toPacelineError(thrown);
        tell(`checkpoint failed: ${message}`);
        return message;
      }
    };
    const onEvent = record.onEvent.bind(record);
    const onPrepared = (chosen: readonly string[]) => {
      algorithms = chosen;
    };
    const onCheckpoint = async (checkpoint: BaselineCheckpoint) => void (await write(checkpoint));
    const hooks = { onEvent, onPrepared, afterStep: breathe, onCheckpoint };
    const start = { state, resume, residuals };
    const { kernels } = options;
    const result = await runBaseline(spec, { dataset, engine, start, kernels, nowMs }, hooks);
    record.onSnapshot(snapshotOf(spec, { engine: reason, algorithms }, result));
    const unsaved = result.failure === null ? await write(result, true) : null;
    return (await record.finish(resultOf(result, unsaved), signal)).exitCode;
  } finally {
    release();
    report.close();
  }
}

function recordOf(
  { spec, resume, resumedStep = 0 }: PreparedRun["setup"],
  directory: PreparedRun["directory"],
  { logEvery }: ResolvedOptions,
  report: RunReport,
): RunRecord {
  const record = new RunRecord({
    spec,
    directory,
    clock: processClock,
    isoTime: () => new Date().toISOString(),
    machine: describeMachine(),
    coordinator: { pid: process.pid, host: hostname(), address: "" },
    inOneProcess: true,
    version: packageVersion(),
    logEvery,
    observers: [report],
  });
  if (resume !== null) record.wentBack(resumedStep, resume);
  return record;
}

/** The picture that a coordinator would give, with this process as every worker. */
function snapshotOf(
  spec: RunSpec,
  { engine, algorithms }: { readonly engine: string; readonly algorithms: readonly string[] },
  progress: BaselineProgress,
): CoordinatorSnapshot {
  const { epoch, globalSteps, examples, evaluations, workers } = progress;
  return {
    run: spec.run,
    name: spec.name,
    phase: "training",
    activity: `training in one process: step ${globalSteps}`,
    epoch,
    epochs: spec.epochs,
    globalSteps,
    examples,
    totalExamples: spec.schedule.totalExamples,
    members: workers.map((worker, rank) => ({
      role: "worker",
      rank,
      incarnation: 1,
      pid: process.pid,
      // Without a host, as ranks that take turns in one process share no cores.
      host: "",
      address: "",
      frames: null,
      state: "alive",
      reason: "a part of this process",
      activity: "",
      engine,
      inView: true,
      server: null,
      worker,
    })),
    moves: { left: 0, total: 0 },
    algorithms,
    evaluations,
  };
}

function resultOf(result: BaselineResult, unsaved: string | null): RunResult {
  const { failure, globalSteps, epochs, evaluations, trainingSeconds } = result;
  const whole = `${globalSteps} steps in one process`;
  const how = result.outcome === "done" ? whole : `interrupted after ${whole}`;
  return {
    outcome: unsaved === null ? result.outcome : "failed",
    code: unsaved === null ? (failure?.code ?? null) : "unsaved",
    reason: failure?.message ?? (unsaved === null ? how : `${how}, not saved: ${unsaved}`),
    trainingSeconds,
    globalSteps,
    tornSteps: 0,
    skippedExamples: 0,
    epochs,
    evaluations,
    servers: { 0: result.server },
    workers: { ...result.workers },
    earlierWorkers: result.earlierWorkers,
  };
}
