/**
 * The process that coordinates: listens, takes a run (or, serving, one after the other), keeps its
 * checkpoints and reports. `paceline coordinator` is this alone; `paceline train` is this with the
 * members as its children.
 */
import { hostname } from "node:os";
import type { CoordinatorRecord } from "../core/coordinator/coordinator-events.js";
import { paceOf } from "../core/sync/modes.js";
import type { RunSetup, SaveRequest } from "../core/work/run-setup.js";
import { loadDataset } from "../data/dataset.js";
import type { Dataset } from "../data/split.js";
import { PacelineError, toPacelineError } from "../errors.js";
import { every } from "../host/clock.js";
import { type CheckpointState, CoordinatorHost } from "../host/coordinator-host.js";
import type { ModelState } from "../host/state-transfer.js";
import type { CommandIo, ResolvedOptions } from "../options/resolved-options.js";
import type { Examples, ExamplesRequest } from "../protocol/examples.js";
import type { RunResult } from "../protocol/run-events.js";
import { RunReport } from "../report/run-report.js";
import { writeCheckpoint } from "../store/checkpoint/checkpoint.js";
import { pruneCheckpoints } from "../store/checkpoint/checkpoint-folder.js";
import type { JsonValue } from "../store/checkpoint/manifest.js";
import { readCoordinatorState, writeCoordinatorState } from "../store/coordinator-state.js";
import { enginesOf } from "../store/runs/run-result.js";
import { createRouter } from "../transport/frames/routes.js";
import type { Listener, Transport } from "../transport/transport.js";
import { ExampleReader } from "./compute/example-reader.js";
import { describeMachine } from "./process/machine.js";
import { processClock } from "./process/process-clock.js";
import { type PreparedRun, prepareRun } from "./run-preparation.js";

/** What differs between `coordinator` and `train`. */
export interface CoordinatorProcessParts {
  readonly options: ResolvedOptions;
  readonly io: CommandIo;
  readonly transport: Transport;
  /** Stay when a run is over. */
  readonly serve: boolean;
  /** Print what workers print, as their output goes to log files. */
  readonly speaksForWorkers: boolean;
}

/** A run without the values that it starts from, which are forgotten once members have them. */
export type BegunRun = Omit<PreparedRun, "state" | "residuals">;

/** What members are to be given. */
interface Start {
  /** For servers; null once it has been taken. */
  state: ModelState | null;
  /** For workers, by rank; each is taken out once its worker has it. */
  readonly residuals: Map<number, Float32Array>;
}

interface CurrentRun extends BegunRun {
  readonly start: Start;
  /** What is sent to workers that have no files; null where they have. */
  readonly examples: ExampleReader | null;
  readonly report: RunReport;
  readonly ended: (exitCode: number) => void;
}

const snapshotIntervalMs = 250;
/** Of a coordinator that has no run yet. */
const firstTerm = 1;

/** The process's coordinator. */
export class CoordinatorProcess {
  readonly #parts: CoordinatorProcessParts;
  readonly #host: CoordinatorHost;
  #listener: Listener | null = null;
  #current: CurrentRun | null = null;
  #signal: NodeJS.Signals | null = null;
  readonly #queue: { options: ResolvedOptions; configText: string; name: string }[] = [];
  #wake: (() => void) | null = null;
  #submitted = 0;

  constructor(parts: CoordinatorProcessParts) {
    this.#parts = parts;
    const { options, transport, serve } = parts;
    const { leaseMs, ioTimeoutMs, startTimeoutMs, rankGraceMs } = options;
    this.#host = new CoordinatorHost({
      transport,
      route: createRouter(options.transport),
      clock: processClock,
      ioTimeoutMs,
      config: {
        term: firstTerm,
        // Members are told these in whole milliseconds.
        heartbeatIntervalMs: Math.floor(Math.min(250, leaseMs / 8)),
        leaseMs: Math.round(leaseMs),
        closedGraceMs: (leaseMs * 5) / 6,
        rankGraceMs,
        startTimeoutMs,
        stopTimeoutMs: Math.min(5000, ioTimeoutMs),
        serve,
      },
      initialState: async () => this.#takeState(),
      inheritance: () => this.#run().start.residuals,
      saveCheckpoint: (request, setup, state) => this.#saveCheckpoint(request, setup, state),
      persist: (record) => this.#keep(record),
      onEvent: (event) => this.#current?.report.onEvent(event),
      onEnded: (result) => void this.#onEnded(result),
      submit: (configText) => this.#submit(configText),
      readExamples: (request) => this.#readExamples(request),
    });
  }

  /** The coordinator, for whoever supervises members. */
  get host(): CoordinatorHost {
    return this.#host;
  }

  /** The run that is on. */
  get directory(): PreparedRun["directory"] {
    return this.#run().directory;
  }

  /** Begins to listen; resolves to host:port. */
  async listen(): Promise<string> {
    const { options, transport } = this.#parts;
    demandLoopback(options);
    this.#listener = await transport.serveCoordinator(
      `${options.host}:${options.port}`,
      this.#host,
    );
    return this.#listener.address;
  }

  /** Carries one run out; resolves to its exit code. `begun` is called when members may come. */
  async carryOut(
    options: ResolvedOptions,
    configText: string,
    begun: (run: BegunRun) => void = () => {},
  ): Promise<number> {
    // What is wrong with a file is told before there is a folder.
    const dataset = options.feed === "central" ? await this.#loadDataset(options) : null;
    const { run, start } = await prepare(options, configText);
    const { setup, directory } = run;
    const { spec } = setup;
    const term = await this.#takeTerm(run);
    const examples = dataset === null ? null : new ExampleReader(spec, dataset);
    const address = this.#listener?.address ?? "";
    const report = new RunReport({
      spec,
      options,
      io: this.#parts.io,
      directory,
      clock: processClock,
      isoTime: () => new Date().toISOString(),
      machine: describeMachine(),
      speaksForWorkers: this.#parts.speaksForWorkers,
      inOneProcess: false,
      coordinator: { pid: process.pid, host: hostname(), address },
    });
    const snapshots = every(processClock, snapshotIntervalMs, () =>
      report.onSnapshot(this.#host.snapshot()),
    );
    try {
      return await new Promise<number>((resolve) => {
        this.#current = { ...run, start, examples, report, ended: resolve };
        this.#host.tell({ type: "submit", setup, term });
        begun(run);
      });
    } finally {
      report.close();
      snapshots.cancel();
      this.#current = null;
      dataset?.close?.();
      await directory.close();
    }
  }

  /** Takes submitted runs one after the other until a signal comes. */
  async serve(): Promise<number> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) {
        try {
          await this.carryOut({ ...next.options, name: next.name }, next.configText);
        } catch (thrown) {
          const { message } = toPacelineError(thrown);
          this.#parts.io.stderr.write(`run ${next.name} could not begin: ${message}\n`);
        }
      }
      if (this.#signal !== null) return signalExitCode(this.#signal);
      if (next === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** A signal came: the run is saved and ended; true if it was the first. */
  interrupt(signal: NodeJS.Signals): boolean {
    const first = this.#signal === null;
    this.#signal = signal;
    this.#host.tell({ type: "interrupt", reason: signal });
    this.#wake?.();
    return first;
  }

  /** Stops listening and ends every session. */
  async close(): Promise<void> {
    this.#host.close();
    await this.#listener?.close();
    await this.#parts.transport.close();
  }

  #submit(configText: string): string {
    const options = this.#parts.io.readConfig(configText);
    if (!this.#parts.serve) {
      throw new PacelineError("usage", "this coordinator has its run: start one with --serve");
    }
    const number = ++this.#submitted;
    const name = options.name ?? `submitted-${process.pid}-${number}`;
    const own = this.#parts.options;
    const { runDir, dataDir, cacheDir, ioTimeoutMs, leaseMs, startTimeoutMs } = own;
    const merged = { ...options, runDir, dataDir, cacheDir, ioTimeoutMs, leaseMs, startTimeoutMs };
    this.#queue.push({ options: merged, configText, name });
    this.#wake?.();
    return name;
  }

  #loadDataset(options: ResolvedOptions): Promise<Dataset> {
    const { dataDir, cacheDir, trainLimit, testLimit } = options;
    const log = (line: string) => void (options.quiet || this.#parts.io.stderr.write(`${line}\n`));
    return loadDataset(options.data ?? "", { dataDir, cacheDir, trainLimit, testLimit, log });
  }

  #readExamples(request: ExamplesRequest): Examples {
    const { examples } = this.#run();
    if (examples === null) throw new PacelineError("refused", "this run's workers have the files");
    return examples.copy(request);
  }

  /** Takes a term above each one under which the run was carried out, and keeps it. */
  async #takeTerm({ setup, directory }: BegunRun): Promise<number> {
    const kept = await readCoordinatorState(directory.path);
    const before = Math.max(kept?.term ?? 0, setup.resume?.term ?? 0);
    const term = Math.max(this.#host.term, before + 1);
    const nothing = { view: null, progress: null };
    await writeCoordinatorState(directory.path, { term, run: setup.spec.run, ...nothing });
    return term;
  }

  #keep({ run, term, view, progress }: CoordinatorRecord): Promise<void> {
    const json = JSON.parse(JSON.stringify(progress)) as JsonValue;
    return writeCoordinatorState(this.#run().directory.path, { run, term, view, progress: json });
  }

  async #saveCheckpoint(
    request: SaveRequest,
    setup: RunSetup,
    state: CheckpointState,
  ): Promise<number> {
    const { directory } = this.#run();
    const applied = Math.min(...state.marks.map((marks) => marks.version));
    const counted = paceOf(setup.spec, request.view.phase).globalStep;
    const globalStep = counted === "step" ? request.step : applied;
    await writeCheckpoint(directory.path, {
      facts: {
        created: new Date().toISOString(),
        spec: setup.spec,
        globalStep,
        examples: Math.min(...state.marks.map((marks) => marks.examples)),
        chunks: state.marks,
        cursor: JSON.parse(JSON.stringify(request.snapshot)) as JsonValue,
        machine: {
          paceline: this.#parts.io.version,
          ...describeMachine(),
          engines: enginesOf(this.#host.snapshot()),
          algorithms: [...this.#host.snapshot().algorithms],
        },
      },
      layout: setup.layout,
      weights: state.weights,
      state: state.state,
      residuals: state.residuals,
    });
    await pruneCheckpoints(directory.path, this.#parts.options.keep);
    return globalStep;
  }

  async #onEnded(result: RunResult): Promise<void> {
    const current = this.#current;
    if (current === null) return;
    current.report.onSnapshot(this.#host.snapshot());
    const exitCode = await current.report.finish(result, this.#signal);
    current.ended(exitCode);
  }

  /** Twice the parameters with momentum, which nobody needs once servers have them. */
  #takeState(): ModelState {
    const { start } = this.#run();
    const { state } = start;
    if (state === null) throw new PacelineError("internal", "a run's state is loaded once");
    start.state = null;
    return state;
  }

  #run(): CurrentRun {
    if (this.#current === null) throw new PacelineError("internal", "there is no run");
    return this.#current;
  }
}

async function prepare(
  options: ResolvedOptions,
  configText: string,
): Promise<{ run: BegunRun; start: Start }> {
  const { state, residuals, ...run } = await prepareRun(options, configText);
  return { run, start: { state, residuals } };
}

/** Addresses beyond loopback are only listened on when the user says that this is meant. */
export function demandLoopback(options: ResolvedOptions): void {
  const { host, insecure } = options;
  const loopback = host === "localhost" || host === "::1" || host.startsWith("127.");
  if (loopback || insecure) return;
  throw new PacelineError(
    "usage",
    `--host ${host} is not a loopback address and there is no encryption: ` +
      `give --insecure if everyone on that network may be trusted`,
  );
}

/** 130 for SIGINT, 143 for SIGTERM. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return signal === "SIGTERM" ? 143 : 130;
}
