/**
 * What a person sees of a run: lines and a live region on standard error, results on standard
 * output. It is an observer of the run and decides nothing; what stays of a run in its folder is
 * not its business.
 */

import type { PacelineError } from "../errors.js";
import type { Cadence } from "../protocol/plan/cadence.js";
import { paceTaken } from "../protocol/plan/plan.js";
import type {
  CoordinatorSnapshot,
  EpochRecord,
  EvaluationRecord,
  RunEvent,
  RunResult,
} from "../protocol/run-events.js";
import type { Observer, RunBegin, RunEnd } from "../runtime/observer.js";
import {
  epochTableHeading,
  epochTableRow,
  serverStatistics,
  summaryTable,
} from "../store/runs/console-tables.js";
import { type ExperimentFile, metricsLine, modeWord } from "../store/runs/experiment-file.js";
import { resultLines } from "../store/runs/result-lines.js";
import { RunCounts, type StepRow, workersOn } from "../store/runs/run-counts.js";
import { enginesOf } from "../store/runs/run-result.js";
import {
  LiveRegion,
  printable,
  printsMetrics,
  progressLines,
  type TextSink,
  terminalSize,
} from "./progress.js";

/** How much is said and where. */
export interface RunReportSetup {
  readonly settings: {
    readonly json: boolean;
    readonly quiet: boolean;
    readonly verbose: boolean;
    readonly progress: boolean;
    /** Metrics go to standard output though it is a terminal. */
    readonly metricsJson: boolean;
    readonly logEvery: Cadence;
  };
  readonly io: {
    readonly stdout: TextSink;
    readonly stderr: TextSink;
    /** Colours are welcome on standard error. */
    readonly color: boolean;
    /** Standard error is a terminal that a progress line may redraw. */
    readonly isTerminal: boolean;
  };
  readonly clock: { nowMs(): number };
  /** Print the workers' metrics too: where their own output goes elsewhere, nobody else does. */
  readonly speaksForWorkers: boolean;
}

/** Reports on run after run. */
export class RunReport implements Observer {
  readonly #setup: RunReportSetup;
  #report: OneReport | null = null;

  constructor(setup: RunReportSetup) {
    this.#setup = setup;
  }

  onBegin(begin: RunBegin): void {
    this.#report = new OneReport(this.#setup, begin);
  }

  onEvent(event: RunEvent): void {
    this.#report?.onEvent(event);
  }

  onSnapshot(snapshot: CoordinatorSnapshot): void {
    this.#report?.onSnapshot(snapshot);
  }

  onRow(row: StepRow): void {
    this.#report?.onRow(row);
  }

  onNotBegun(name: string, { message }: PacelineError): void {
    this.#setup.io.stderr.write(`run ${name} could not start: ${message}\n`);
  }

  /** Prints the results. */
  onEnd(end: RunEnd): void {
    this.#report?.onEnd(end);
  }

  /** Takes the live region off the screen; lines may still be written. */
  close(): void {
    this.#report?.close();
  }
}

/** An epoch that is over and may yet be given its accuracy. */
interface PendingEpoch {
  readonly record: EpochRecord;
  readonly isLast: boolean;
}

/** The report of one run. */
class OneReport {
  readonly #setup: RunReportSetup;
  readonly #begin: RunBegin;
  readonly #region: LiveRegion;
  readonly #isLive: boolean;
  readonly #counts = new RunCounts();
  readonly #present = new Set<number>();
  #pending: PendingEpoch[] = [];
  #headed = false;
  #remarkedOnCores = false;
  /** What the workers have computed with. */
  readonly #engines = new Set<string>();
  #hasCheckpoint = false;
  /** As the coordinator told it; what came of the run may be worse. */
  #endedAs: RunResult["outcome"] | null = null;

  constructor(setup: RunReportSetup, begin: RunBegin) {
    const { io, settings, clock } = setup;
    this.#setup = setup;
    this.#begin = begin;
    this.#isLive = io.isTerminal && settings.progress && !settings.quiet;
    const nowMs = () => clock.nowMs();
    this.#region = new LiveRegion({ sink: io.stderr, live: this.#isLive, nowMs });
  }

  onEvent(event: RunEvent): void {
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
        if (this.#setup.settings.verbose) this.#log(event.text);
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
        this.#endedAs = event.outcome;
        this.#tellEnd(event.outcome, event.text);
        break;
      default:
        event satisfies never;
    }
  }

  onSnapshot(snapshot: CoordinatorSnapshot): void {
    const { clock, io } = this.#setup;
    this.#counts.observe(snapshot, clock.nowMs());
    this.#remarkOnCores(snapshot);
    this.#takeEngines(snapshot);
    if (snapshot.phase === "training") {
      for (const { role, rank } of snapshot.members) if (role === "worker") this.#present.add(rank);
    }
    if (!this.#isLive) return;
    const { examples, examplesPerSecond, recentLoss: loss } = this.#counts;
    const { totalExamples } = this.#begin.spec.schedule;
    const figures = { examples, totalExamples, examplesPerSecond, loss };
    this.#region.show(progressLines(snapshot, figures, terminalSize(io.stderr)));
  }

  onRow(row: StepRow): void {
    if (this.#setup.settings.logEvery.unit === "step") this.#log(stepSentence(row));
  }

  onEnd({ result, experiment, problem, losses }: RunEnd): void {
    const { settings, io } = this.#setup;
    const { folder } = this.#begin;
    while (this.#pending.length > 0) this.#tellEpoch(this.#pending.shift()!.record, null);
    this.close();
    if (this.#endedAs !== result.outcome) this.#tellEnd(result.outcome, result.reason);
    if (result.outcome === "done") this.#tellCompletions(experiment);
    this.#printResults(result, experiment);
    if (problem === null) this.#log(`result in ${folder.path}/result.json`);
    else this.#alarm(problem.message);
    for (const loss of losses) this.#alarm(loss);
    if (result.outcome !== "done" && this.#hasCheckpoint) {
      this.#log(`resume with: paceline resume ${shellWord(folder.path)}`);
    }
    if (settings.json) io.stdout.write(`${JSON.stringify(experiment)}\n`);
  }

  /** Takes the live region off the screen; lines may still be written. */
  close(): void {
    this.#region.close();
  }

  /** An epoch's line waits for the accuracy that belongs to it, where one is to come. */
  #onEpoch(event: EpochRecord): void {
    const { spec } = this.#begin;
    const { evaluateEvery: every } = spec;
    const number = event.epoch + 1;
    const isLast = number === spec.epochs;
    const evaluated = isLast || (every?.unit === "epoch" && number % every.count === 0);
    if (evaluated || this.#pending.length > 0) this.#pending.push({ record: event, isLast });
    else this.#tellEpoch(event, null);
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
    if (!told || this.#setup.settings.verbose) this.#log(event.text);
  }

  #tellEpoch(record: EpochRecord, accuracyPercent: number | null): void {
    const { spec } = this.#begin;
    if (this.#setup.settings.quiet) return;
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
    else if (outcome === "interrupted" || this.#setup.settings.verbose) this.#log(text);
  }

  #tellCompletions({ raw_worker_metrics: workers }: ExperimentFile): void {
    for (const { worker_id: rank } of workers) {
      if (this.#present.has(rank)) this.#log(`Worker ${rank} completed training!`);
    }
  }

  /** Results go to standard output; with --json nothing but its object does. */
  #printResults(result: RunResult, experiment: ExperimentFile): void {
    const { io, settings } = this.#setup;
    const { spec } = this.#begin;
    const print = (line: string) => (settings.json ? io.stderr : io.stdout).write(`${line}\n`);
    const { server_metrics: server, worker_metrics_aggregated: together } = experiment;
    if (server === null) return;
    const final = result.evaluations.findLast((evaluation) => evaluation.final);
    if (final !== undefined) print(`Final test accuracy: ${final.accuracyPercent.toFixed(2)}%`);
    for (const line of serverStatistics(server)) print(line);
    if (printsMetrics(settings, io.stdout)) {
      const workers = this.#setup.speaksForWorkers ? experiment.raw_worker_metrics : [];
      for (const metrics of [server, ...workers]) print(metricsLine(metrics, spec.run));
      for (const line of resultLines(experiment)) print(line);
    }
    const row = {
      experiment: spec.name,
      mode: modeWord(paceTaken(spec, result.phases ?? [])),
      workers: spec.workersMax,
      seconds: result.trainingSeconds,
      epochSeconds: together.average_epoch_time_seconds,
      accuracyPercent: together.final_test_accuracy_percent,
    };
    for (const line of summaryTable([row])) print(line);
  }

  #remarkOnCores({ phase, members }: CoordinatorSnapshot): void {
    if (this.#remarkedOnCores || (phase !== "preparing" && phase !== "training")) return;
    this.#remarkedOnCores = true;
    const { coordinator, machine } = this.#begin;
    const here = workersOn(coordinator.host, members);
    const { cores } = machine;
    if (here <= cores) return;
    const shared = `${here} workers share ${cores} core${cores === 1 ? "" : "s"} here`;
    this.#log(`${shared}: expect no speed-up over ${cores} worker${cores === 1 ? "" : "s"}`);
  }

  /** Bits depend on what computes: workers that compute unlike each other are told of once. */
  #takeEngines(snapshot: CoordinatorSnapshot): void {
    if (snapshot.phase !== "training") return;
    const before = this.#engines.size;
    for (const engine of enginesOf(snapshot)) this.#engines.add(engine);
    if (before === 0) this.#tellEngine();
    if (before > 1 || this.#engines.size < 2) return;
    const told = [...this.#engines].join(" and ");
    this.#alarm(`workers compute with ${told}: another run may end with different bits`);
  }

  /** What computes; less than was asked for is said even when told to be quiet. */
  #tellEngine(): void {
    const [engine] = this.#engines;
    const { inOneProcess, spec } = this.#begin;
    if (engine === undefined || inOneProcess) return;
    const told = `workers compute with ${engine}`;
    if (spec.dtype !== "f32" && engine.endsWith("in f32")) this.#alarm(`not in bf16: ${told}`);
    else this.#log(told);
  }

  #log(text: string): void {
    if (!this.#setup.settings.quiet) this.#region.line(printable(text));
  }

  /** Something went wrong: said even when told to be quiet. */
  #alarm(text: string): void {
    const plain = printable(text);
    this.#region.line(this.#setup.io.color ? `\u001b[33m${plain}\u001b[39m` : plain);
  }
}

/** A word as a shell takes it for one. */
function shellWord(text: string): string {
  return /^[A-Za-z0-9_./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
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
