/**
 * All that the world sees of one run: lines and a live region on standard error, results on
 * standard output, and in the run's folder cluster.json, events.jsonl, metrics.jsonl and
 * result.json. It is fed by the process that coordinates and decides nothing.
 */

import { type ErrorCode, errorCodes, toPacelineError } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "../options/resolved-options.js";
import type {
  CoordinatorSnapshot,
  EpochRecord,
  EvaluationRecord,
  RunEvent,
  RunResult,
} from "../protocol/run-events.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { type Machine, sourceCommit } from "../runtime/process/machine.js";
import {
  epochTableHeading,
  epochTableRow,
  serverStatistics,
  summaryTable,
} from "../store/runs/console-tables.js";
import { type ExperimentFile, metricsLine, modeWord } from "../store/runs/experiment-file.js";
import { RunCounts, type StepRow } from "../store/runs/run-counts.js";
import type { ClusterMember, RunDirectory } from "../store/runs/run-directory.js";
import { enginesOf, runExperiment } from "../store/runs/run-result.js";
import { LiveRegion, printable, progressLines, terminalSize } from "./progress.js";

/** What a report is about and where it goes. */
export interface RunReportSetup {
  readonly spec: RunSpec;
  readonly options: Pick<ResolvedOptions, "json" | "quiet" | "verbose" | "progress" | "logEvery">;
  readonly io: Pick<CommandIo, "stdout" | "stderr" | "color" | "isTerminal" | "version">;
  readonly directory: Pick<
    RunDirectory,
    "path" | "name" | "event" | "metric" | "writeCluster" | "writeResult"
  >;
  readonly clock: { nowMs(): number };
  /** The time of day in ISO 8601. */
  readonly isoTime: () => string;
  /** The machine of this process; more local workers than its cores are remarked upon. */
  readonly machine: Machine;
  readonly coordinator: Pick<ClusterMember, "pid" | "host" | "address">;
  /** Print the workers' metrics too: where their own output goes elsewhere, nobody else does. */
  readonly speaksForWorkers: boolean;
  /** This process computes for every worker. */
  readonly inOneProcess: boolean;
}

/** An epoch that is over and may yet be given its accuracy. */
interface PendingEpoch {
  readonly record: EpochRecord;
  readonly isLast: boolean;
}

const signalExitCodes = { SIGINT: 130, SIGTERM: 143 };

/** The report of one run. */
export class RunReport {
  readonly #setup: RunReportSetup;
  readonly #region: LiveRegion;
  readonly #isLive: boolean;
  readonly #counts = new RunCounts();
  readonly #startedAt: string;
  readonly #present = new Set<number>();
  #cluster = "";
  #pending: PendingEpoch[] = [];
  #headed = false;
  #rowDue = false;
  #lastTraining: CoordinatorSnapshot | null = null;
  #remarkedOnCores = false;
  /** What the workers have computed with. */
  readonly #engines = new Set<string>();
  readonly #algorithms = new Set<string>();
  /** Workers on this machine when the run began. */
  #workersHere = 0;
  #hasCheckpoint = false;
  #hasEnded = false;

  constructor(setup: RunReportSetup) {
    const { io, options, clock } = setup;
    this.#setup = setup;
    this.#startedAt = setup.isoTime();
    this.#isLive = io.isTerminal && options.progress && !options.quiet;
    const nowMs = () => clock.nowMs();
    this.#region = new LiveRegion({ sink: io.stderr, live: this.#isLive, nowMs });
  }

  /** Takes what happened: a line of events.jsonl, and what a person is to read of it. */
  onEvent(event: RunEvent): void {
    const { directory, isoTime } = this.#setup;
    const inFiles = "epoch" in event ? { ...event, epoch: event.epoch + 1 } : event;
    directory.event({ time: isoTime(), ...inFiles });
    if (event.kind === "epoch" || event.kind === "evaluation") {
      const { text, kind, ...numbers } = inFiles;
      directory.metric({ kind, time: isoTime(), ...numbers });
    }
    this.#tell(event);
  }

  /** Takes the coordinator's present picture, some times a second. */
  onSnapshot(snapshot: CoordinatorSnapshot): void {
    const { clock, io, spec } = this.#setup;
    this.#keepCluster(snapshot);
    this.#counts.observe(snapshot, clock.nowMs());
    this.#remarkOnCores(snapshot);
    this.#takeEngines(snapshot);
    if (snapshot.phase === "training") {
      this.#lastTraining = snapshot;
      for (const { role, rank } of snapshot.members) if (role === "worker") this.#present.add(rank);
      this.#writeRowIfDue(snapshot);
    }
    if (!this.#isLive) return;
    const { examples, examplesPerSecond } = this.#counts;
    const { totalExamples } = spec.schedule;
    const figures = { examples, totalExamples, examplesPerSecond };
    this.#region.show(progressLines(snapshot, figures, terminalSize(io.stderr)));
  }

  /**
   * Takes the end: prints the results, writes result.json, resolves to the exit code. A result that
   * can't be written is said and makes the exit code 1; it never throws.
   */
  async finish(result: RunResult, signal: NodeJS.Signals | null = null): Promise<number> {
    const { spec, options, io, directory, machine } = this.#setup;
    while (this.#pending.length > 0) this.#tellEpoch(this.#pending.shift()!.record, null);
    this.close();
    this.#counts.end(result);
    const last = this.#lastTraining;
    if (last !== null) this.#writeRowIfDue({ ...last, globalSteps: result.globalSteps });
    const exitCode = exitCodeOf(result, signal);
    const experiment = runExperiment({
      spec,
      result,
      exitCode,
      workerCounts: this.#counts.totals(),
      version: io.version,
      commit: sourceCommit(),
      inOneProcess: this.#setup.inOneProcess,
      crowded: this.#workersHere > machine.cores,
      engines: [...this.#engines],
      algorithms: [...this.#algorithms].sort(),
      machine,
      nodeVersion: machine.node,
      startedAt: this.#startedAt,
      endedAt: this.#setup.isoTime(),
    });
    if (!this.#hasEnded) this.#tellEnd(result.outcome, result.reason);
    if (result.outcome === "done") this.#tellCompletions(experiment);
    const problem = await directory.writeResult(experiment).then(() => null, toPacelineError);
    this.#printResults(result, experiment);
    if (problem === null) this.#log(`result in ${directory.path}/result.json`);
    else this.#alarm(problem.message);
    if (result.outcome === "interrupted" && this.#hasCheckpoint) {
      this.#log(`go on with --resume ${directory.name}`);
    }
    if (options.json) io.stdout.write(`${JSON.stringify(experiment)}\n`);
    return problem === null || exitCode !== 0 ? exitCode : problem.exitCode;
  }

  /** Takes the live region off the screen; lines may still be written. */
  close(): void {
    this.#region.close();
  }

  #tell(event: RunEvent): void {
    switch (event.kind) {
      case "registered":
        if (event.role === "worker") this.#present.add(event.rank);
        this.#log(event.text);
        break;
      case "lost":
      case "left":
        if (event.role === "worker") this.#present.delete(event.rank);
        this.#alarm(event.text);
        break;
      case "warning":
        this.#alarm(`warning: ${event.text}`);
        break;
      case "view":
        if (this.#setup.options.verbose) this.#log(event.text);
        break;
      case "started":
      case "info":
        this.#log(event.text);
        break;
      case "checkpoint":
        this.#hasCheckpoint = true;
        this.#log(event.text);
        break;
      case "epoch":
        this.#onEpoch(event);
        break;
      case "evaluation":
        this.#onEvaluation(event);
        break;
      case "ended":
        this.#hasEnded = true;
        this.#tellEnd(event.outcome, event.text);
        break;
      default:
        event satisfies never;
    }
  }

  /** An epoch's line waits for the accuracy that belongs to it, where one is to come. */
  #onEpoch(event: EpochRecord): void {
    const { spec, options } = this.#setup;
    const { evaluateEvery: every } = spec;
    const number = event.epoch + 1;
    const isLast = number === spec.epochs;
    const evaluated = isLast || (every?.unit === "epoch" && number % every.count === 0);
    if (evaluated || this.#pending.length > 0) this.#pending.push({ record: event, isLast });
    else this.#tellEpoch(event, null);
    const { unit, count } = options.logEvery;
    if (unit === "epoch" && number % count === 0) this.#rowDue = true;
  }

  #onEvaluation(event: EvaluationRecord & { readonly text: string }): void {
    let told = false;
    while (this.#pending.length > 0 && !told) {
      const { record, isLast } = this.#pending[0]!;
      if (record.epoch > event.epoch) break;
      if (record.epoch === event.epoch && isLast && !event.final) break;
      this.#pending.shift();
      told = record.epoch === event.epoch;
      this.#tellEpoch(record, told ? event.accuracyPercent : null);
    }
    if (!told || this.#setup.options.verbose) this.#log(event.text);
  }

  #tellEpoch(record: EpochRecord, accuracyPercent: number | null): void {
    const { spec, options } = this.#setup;
    if (options.quiet) return;
    const { seconds, examples, skipped, trainLoss, trainAccuracyPercent } = record;
    const row = {
      epoch: record.epoch + 1,
      epochs: spec.epochs,
      seconds,
      loss: examples === 0 ? null : trainLoss,
      trainAccuracyPercent: examples === 0 ? null : trainAccuracyPercent,
      accuracyPercent,
      examplesPerSecond: seconds > 0 ? examples / seconds : null,
      workers: Object.keys(record.workerSeconds).length,
    };
    if (!this.#isLive) {
      this.#region.line(epochSentence(row, skipped));
      return;
    }
    if (!this.#headed) for (const line of epochTableHeading()) this.#region.line(line);
    this.#headed = true;
    this.#region.line(epochTableRow(row));
    if (skipped > 0) this.#region.line(`epoch ${row.epoch}: ${skipped} examples skipped`);
  }

  #tellEnd(outcome: RunResult["outcome"], text: string): void {
    if (outcome === "failed") this.#alarm(text);
    else if (outcome === "interrupted" || this.#setup.options.verbose) this.#log(text);
  }

  #tellCompletions({ raw_worker_metrics: workers }: ExperimentFile): void {
    for (const { worker_id: rank } of workers) {
      if (this.#present.has(rank)) this.#log(`Worker ${rank} completed training!`);
    }
  }

  /** Results go to standard output; with --json only those for programs do. */
  #printResults(result: RunResult, experiment: ExperimentFile): void {
    const { io, options, spec } = this.#setup;
    const print = (line: string) => (options.json ? io.stderr : io.stdout).write(`${line}\n`);
    const { server_metrics: server, worker_metrics_aggregated: together } = experiment;
    if (server === null) return;
    const final = result.evaluations.findLast((evaluation) => evaluation.final);
    if (final !== undefined) print(`Final test accuracy: ${final.accuracyPercent.toFixed(2)}%`);
    for (const line of serverStatistics(server)) print(line);
    io.stdout.write(`${metricsLine(server)}\n`);
    for (const worker of this.#setup.speaksForWorkers ? experiment.raw_worker_metrics : []) {
      io.stdout.write(`${metricsLine(worker)}\n`);
    }
    const row = {
      experiment: spec.name,
      mode: modeWord(spec.protocol.mode),
      workers: spec.workersMax,
      seconds: result.trainingSeconds,
      epochSeconds: together.average_epoch_time_seconds,
      accuracyPercent: together.final_test_accuracy_percent,
    };
    for (const line of summaryTable([row])) print(line);
  }

  /** Rewrites cluster.json when somebody has come or gone. */
  #keepCluster({ members }: CoordinatorSnapshot): void {
    const { coordinator, directory } = this.#setup;
    const all: ClusterMember[] = [
      { role: "coordinator", id: 0, ...coordinator },
      ...members.map(({ role, rank, pid, host, address, frames }) => {
        const member = { role, id: rank, pid, host, address };
        if (frames === null) return member;
        const { tcp, unix } = frames;
        return { ...member, frames: { tcp, unix } };
      }),
    ];
    const text = JSON.stringify(all);
    if (text === this.#cluster) return;
    this.#cluster = text;
    // A failure is kept by the folder and told when it is closed.
    void directory.writeCluster(all).catch(() => undefined);
  }

  #remarkOnCores({ phase, members }: CoordinatorSnapshot): void {
    if (this.#remarkedOnCores || (phase !== "preparing" && phase !== "training")) return;
    this.#remarkedOnCores = true;
    const { coordinator, machine } = this.#setup;
    const here = members.filter(
      ({ role, host }) => role === "worker" && host === coordinator.host,
    ).length;
    this.#workersHere = here;
    const { cores } = machine;
    if (here <= cores) return;
    const shared = `${here} workers share ${cores} core${cores === 1 ? "" : "s"} here`;
    this.#log(`${shared}: expect no speed-up over ${cores} worker${cores === 1 ? "" : "s"}`);
  }

  /** Bits depend on what computes: workers that compute unlike each other are told of once. */
  #takeEngines(snapshot: CoordinatorSnapshot): void {
    if (snapshot.phase !== "training") return;
    for (const line of snapshot.algorithms) this.#algorithms.add(line);
    const before = this.#engines.size;
    for (const engine of enginesOf(snapshot)) this.#engines.add(engine);
    if (before === 0) this.#tellEngine();
    if (before > 1 || this.#engines.size < 2) return;
    const told = [...this.#engines].join(" and ");
    this.#alarm(`workers compute with ${told}: another run may end in other bits`);
  }

  /** What computes; less than was asked for is said even when told to be quiet. */
  #tellEngine(): void {
    const [engine] = this.#engines;
    const { inOneProcess, spec } = this.#setup;
    if (engine === undefined || inOneProcess) return;
    const told = `workers compute with ${engine}`;
    if (spec.dtype !== "f32" && engine.endsWith("in f32")) this.#alarm(`not in bf16: ${told}`);
    else this.#log(told);
  }

  #writeRowIfDue(snapshot: CoordinatorSnapshot): void {
    const { clock, directory, isoTime, options } = this.#setup;
    const { unit, count } = options.logEvery;
    const passed = unit === "step" && this.#counts.passed(count, snapshot.globalSteps);
    if (!this.#rowDue && !passed) return;
    const row = this.#counts.row(snapshot, isoTime(), clock.nowMs());
    this.#rowDue = false;
    if (row === null) return;
    directory.metric(row);
    if (unit === "step") this.#log(stepSentence(row));
  }

  #log(text: string): void {
    if (!this.#setup.options.quiet) this.#region.line(printable(text));
  }

  /** Something went wrong: said even when told to be quiet. */
  #alarm(text: string): void {
    const plain = printable(text);
    this.#region.line(this.#setup.io.color ? `\u001b[33m${plain}\u001b[39m` : plain);
  }
}

/** The exit code of a run; an interrupted one has its signal's. */
function exitCodeOf({ outcome, code }: RunResult, signal: NodeJS.Signals | null): number {
  if (outcome === "done") return 0;
  if (outcome === "interrupted") {
    return signal === "SIGTERM" ? signalExitCodes.SIGTERM : signalExitCodes.SIGINT;
  }
  return errorCodes[code as ErrorCode]?.exitCode ?? errorCodes.internal.exitCode;
}

function epochSentence(row: Parameters<typeof epochTableRow>[0], skipped: number): string {
  const parts = [`${row.seconds.toFixed(2)} s`];
  if (row.loss !== null) parts.push(`loss ${row.loss.toFixed(4)}`);
  const { trainAccuracyPercent: trained } = row;
  if (trained !== null) parts.push(`train accuracy ${trained.toFixed(2)}%`);
  if (row.accuracyPercent !== null) parts.push(`accuracy ${row.accuracyPercent.toFixed(2)}%`);
  if (row.examplesPerSecond !== null) parts.push(`${row.examplesPerSecond.toFixed(0)} examples/s`);
  parts.push(`${row.workers} worker${row.workers === 1 ? "" : "s"}`);
  if (skipped > 0) parts.push(`${skipped} examples skipped`);
  return `Epoch ${row.epoch}/${row.epochs} completed: ${parts.join(", ")}`;
}

function stepSentence({ step, loss, examplesPerSecond }: StepRow): string {
  const told = loss === null ? "no examples" : `loss ${loss.toFixed(4)}`;
  const rate = examplesPerSecond === null ? "" : `, ${examplesPerSecond.toFixed(0)} examples/s`;
  return `step ${step}: ${told}${rate}`;
}
