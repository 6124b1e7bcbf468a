/**
 * The record of one run: keeps cluster.json, events.jsonl, metrics.jsonl and result.json in the
 * run's folder, and passes everything on to observers. It is fed by whatever trains, and decides
 * nothing but whether what came of it is a model.
 */
import { type ErrorCode, errorCodes, toPacelineError } from "../errors.js";
import type { Clock } from "../host/clock.js";
import { divergence, explodedLoss } from "../protocol/divergence.js";
import type { NormReport } from "../protocol/norms.js";
import type { Cadence } from "../protocol/plan/cadence.js";
import type { CoordinatorSnapshot, RunEvent, RunResult } from "../protocol/run-events.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { type ExperimentFile, metricsLine } from "../store/runs/experiment-file.js";
import { NormRows } from "../store/runs/norm-rows.js";
import { resultLines } from "../store/runs/result-lines.js";
import { resumedRow, type WorkBefore } from "../store/runs/resumed-row.js";
import { RunCounts, type StepRow, workersOn } from "../store/runs/run-counts.js";
import type { ClusterMember, RunDirectory } from "../store/runs/run-directory.js";
import { enginesOf, runExperiment } from "../store/runs/run-result.js";
import type { Observer, RunBegin, RunEnd } from "./observer.js";
import { type Machine, sourceCommit } from "./process/machine.js";
import { interruptedExitCode } from "./process/signal-exit.js";

/** What a record is of and where it goes. */
export interface RunRecordSetup {
  readonly spec: RunSpec;
  /** Chunks that have norms; none are told of if left out. */
  readonly normChunks?: number;
  readonly directory: Pick<
    RunDirectory,
    | "path"
    | "name"
    | "event"
    | "metric"
    | "log"
    | "writeCluster"
    | "writeResult"
    | "flush"
    | "tellTrouble"
  >;
  readonly clock: Pick<Clock, "nowMs">;
  /** The time of day in ISO 8601. */
  readonly isoTime: () => string;
  readonly machine: Machine;
  readonly coordinator: RunBegin["coordinator"];
  readonly inOneProcess: boolean;
  /** Paceline's. */
  readonly version: string;
  /** True where another process has kept it up to here, and the same lives go on. */
  readonly goesOn?: boolean;
  /** Trained up to here; nothing if left out. */
  readonly secondsBefore?: number;
  /** How often metrics.jsonl has a row. */
  readonly logEvery: Cadence;
  readonly observers: readonly Observer[];
}

/** The record of one run in one process. */
export class RunRecord {
  readonly #setup: RunRecordSetup;
  readonly #counts: RunCounts;
  readonly #norms: NormRows;
  readonly #startedAt: string;
  /** What the workers have computed with. */
  readonly #engines = new Set<string>();
  readonly #algorithms = new Set<string>();
  #cluster = "";
  #rowDue = false;
  #lastTraining: CoordinatorSnapshot | null = null;
  /** Workers on this machine when the run began; null before. */
  #workersHere: number | null = null;

  constructor(setup: RunRecordSetup) {
    this.#setup = setup;
    this.#counts = new RunCounts(setup.goesOn, setup.secondsBefore);
    this.#startedAt = setup.isoTime();
    const { spec, directory, machine, coordinator, inOneProcess, normChunks = 0 } = setup;
    this.#norms = new NormRows(normChunks);
    const folder = { path: directory.path, name: directory.name };
    directory.tellTrouble((text) => this.onEvent({ kind: "warning", text }));
    this.#tell((observer) =>
      observer.onBegin?.({ spec, folder, machine, coordinator, inOneProcess }),
    );
  }

  /** Takes what happened. */
  onEvent(event: RunEvent): void {
    const { directory, isoTime, logEvery } = this.#setup;
    const inFiles = "epoch" in event ? { ...event, epoch: event.epoch + 1 } : event;
    directory.event({ time: isoTime(), ...inFiles });
    if (event.kind === "epoch" || event.kind === "evaluation") {
      const { text, kind, ...numbers } = inFiles;
      directory.metric({ kind, time: isoTime(), ...numbers });
    }
    if (event.kind === "epoch" && logEvery.unit === "epoch") {
      if ((event.epoch + 1) % logEvery.count === 0) this.#rowDue = true;
    }
    this.#tell((observer) => observer.onEvent?.(event));
    if (event.kind === "epoch" || event.kind === "evaluation") this.#warnOfLoss(event);
  }

  /** A loss that explodes is told of once for each epoch and each evaluation. */
  #warnOfLoss(event: RunEvent & { readonly kind: "epoch" | "evaluation" }): void {
    const { classes } = this.#setup.spec.input;
    // Before the first step a loss is the initial weights'.
    if (event.kind === "evaluation" && event.step === 0) return;
    const loss = event.kind === "epoch" ? event.trainLoss : event.loss;
    const exploded = explodedLoss({ loss }, classes);
    if (exploded === null) return;
    const where =
      event.kind === "epoch"
        ? `training in epoch ${event.epoch + 1}`
        : `test at step ${event.step}`;
    this.onEvent({ kind: "warning", text: `${where}: ${exploded}; lower --lr if this persists` });
  }

  /** The run goes on from a checkpoint, or anew: what was told of later steps is given up. */
  wentBack(step: number, before: WorkBefore | null): void {
    const row = resumedRow(this.#setup.isoTime(), step, before);
    this.#setup.directory.metric(row);
    this.#counts.wentBack(step, row.seconds);
  }

  /** Takes what a server has measured of norms: a row in metrics.jsonl for each step. */
  onNorms(report: NormReport): void {
    const { directory, isoTime } = this.#setup;
    for (const row of this.#norms.take(report, isoTime())) directory.metric(row);
  }

  /** Takes the coordinator's present picture, some times a second. */
  onSnapshot(snapshot: CoordinatorSnapshot): void {
    const { coordinator, clock } = this.#setup;
    this.#keepCluster(snapshot);
    this.#counts.observe(snapshot, clock.nowMs());
    if (snapshot.phase === "preparing" || snapshot.phase === "training") {
      this.#workersHere ??= workersOn(coordinator.host, snapshot.members);
    }
    this.#tell((observer) => observer.onSnapshot?.(snapshot));
    if (snapshot.phase !== "training") return;
    for (const engine of enginesOf(snapshot)) this.#engines.add(engine);
    for (const line of snapshot.algorithms) this.#algorithms.add(line);
    this.#lastTraining = snapshot;
    this.#tellRows(snapshot);
  }

  /**
   * Takes the end and writes result.json. A result that can't be written makes the exit code
   * another; it never throws. A run whose final model is ruined ends as failed.
   * @param interruption why the run was interrupted, the name of a signal where it was one; null
   *   where it was not.
   */
  async finish(told: RunResult, interruption: string | null = null): Promise<RunEnd> {
    const { directory } = this.#setup;
    const result = this.#judged(told);
    this.#counts.end(result);
    const last = this.#lastTraining;
    if (last !== null) this.#tellRows({ ...last, globalSteps: result.globalSteps });
    const runExitCode = exitCodeOf(result, interruption);
    const experiment = this.#experiment(result, runExitCode);
    await directory.log("coordinator", 0, this.#metricsLines(experiment)).catch(() => undefined);
    const problem = await directory.writeResult(experiment).then(() => null, toPacelineError);
    const exitCode = problem === null || runExitCode !== 0 ? runExitCode : problem.exitCode;
    const losses = await directory.flush();
    const end = { result, experiment, problem, losses, exitCode };
    this.#tell((observer) => observer.onEnd?.(end));
    return end;
  }

  /** A run that came to its end with a ruined model has failed, whatever was done to make it. */
  #judged(result: RunResult): RunResult {
    const final = result.evaluations.findLast((evaluation) => evaluation.final);
    if (result.outcome !== "done" || final === undefined) return result;
    const reason = divergence(final, this.#setup.spec.input.classes);
    if (reason === null) return result;
    return { ...result, outcome: "failed", code: "diverged", reason: `at the end ${reason}` };
  }

  #experiment(result: RunResult, exitCode: number): RunEnd["experiment"] {
    const { spec, version, machine, inOneProcess, isoTime } = this.#setup;
    return runExperiment({
      spec,
      result,
      exitCode,
      workerCounts: new Map(
        Object.entries(result.workers).map(([rank, counts]) => [Number(rank), counts]),
      ),
      version,
      commit: sourceCommit(),
      inOneProcess,
      crowded: (this.#workersHere ?? 0) > machine.cores,
      engines: [...this.#engines],
      algorithms: [...this.#algorithms].sort(),
      machine,
      nodeVersion: machine.node,
      startedAt: this.#startedAt,
      endedAt: isoTime(),
    });
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

  /** The rows that are due, into metrics.jsonl and to the observers. */
  #tellRows(snapshot: CoordinatorSnapshot): void {
    const { clock, directory, isoTime, logEvery } = this.#setup;
    for (const row of this.#rowsDue(snapshot, isoTime(), logEvery, clock.nowMs())) {
      directory.metric(row);
      this.#tell((observer) => observer.onRow?.(row));
    }
  }

  #rowsDue(
    snapshot: CoordinatorSnapshot,
    time: string,
    { unit, count }: Cadence,
    nowMs: number,
  ): StepRow[] {
    if (unit === "step") return this.#counts.rowsAt(count, snapshot, time, nowMs);
    const row = this.#rowDue ? this.#counts.row(snapshot, time, nowMs) : null;
    this.#rowDue = false;
    return row === null ? [] : [row];
  }

  /** For the log of this process; workers with processes of their own have theirs in their logs. */
  #metricsLines(experiment: ExperimentFile): string[] {
    const { server_metrics: server, raw_worker_metrics: workers } = experiment;
    if (server === null) return [];
    const { inOneProcess, spec } = this.#setup;
    const metrics = [server, ...(inOneProcess ? workers : [])];
    return [...metrics.map((one) => metricsLine(one, spec.run)), ...resultLines(experiment)];
  }

  #tell(say: (observer: Observer) => void): void {
    for (const observer of this.#setup.observers) say(observer);
  }
}

/** The exit code of a run; an interrupted one has its signal's. */
function exitCodeOf({ outcome, code }: RunResult, interruption: string | null): number {
  if (outcome === "done") return 0;
  if (outcome === "interrupted") return interruptedExitCode(interruption ?? "");
  return errorCodes[code as ErrorCode]?.exitCode ?? errorCodes.internal.exitCode;
}
