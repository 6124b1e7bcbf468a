/**
 * A coordinator: listens, takes a run (or, serving, one after the other), keeps its folder and its
 * checkpoints, and tells observers. Who its members are it learns when they register.
 */
import { hostname } from "node:os";
import type { CoordinatorEvent, WayBack } from "../core/coordinator/coordinator-events.js";
import type { CoordinatorRecord } from "../core/coordinator/coordinator-record.js";
import { paceOf } from "../core/sync/modes.js";
import type { RunSetup, SaveRequest } from "../core/work/run-setup.js";
import type { Dataset } from "../data/split.js";
import { PacelineError, toPacelineError } from "../errors.js";
import type { CheckpointState } from "../host/checkpoint-saver.js";
import { type Clock, every } from "../host/clock.js";
import { CoordinatorHost } from "../host/coordinator-host.js";
import type { ModelState } from "../host/state-transfer.js";
import type { Examples, ExamplesRequest } from "../protocol/examples.js";
import { joinHostPort } from "../protocol/host-port.js";
import type { CoordinatorSnapshot, RunEvent, RunResult } from "../protocol/run-events.js";
import { checkpointsFolder } from "../store/checkpoint/checkpoint-folder.js";
import { readCoordinatorState, writeCoordinatorState } from "../store/coordinator-state.js";
import { diskFiles, type Files } from "../store/files.js";
import { enginesOf } from "../store/runs/run-result.js";
import { createMemberTransport } from "../transport/frames/member-transport.js";
import { createRouter } from "../transport/frames/routes.js";
import type { Listener, Transport } from "../transport/transport.js";
import { ExampleReader } from "./compute/example-reader.js";
import { type Job, JobQueue, missingMembers } from "./job-queue.js";
import type { Observer, RunBegin, RunEnd } from "./observer.js";
import { pacedFiles } from "./paced-files.js";
import { savePatiently } from "./patient-save.js";
import { describeMachine, packageVersion } from "./process/machine.js";
import { processClock } from "./process/process-clock.js";
import {
  demandLoopback,
  type ListenSettings,
  type ReachSettings,
  type RoleParts,
  roleDefaults,
  type WaitSettings,
} from "./role-settings.js";
import { keepCheckpoint } from "./run-checkpoints.js";
import {
  demandPreparable,
  loadRunDataset,
  type PreparedRun,
  prepareRun,
} from "./run-preparation.js";
import { RunRecord } from "./run-record.js";
import { prepareReturn, type ReturnedRun, stateAtStart, stateOfRecord } from "./run-return.js";
import type { RunSettings } from "./run-settings.js";
import { type RunStart, startAgain } from "./run-start.js";

/** Where a coordinator listens and how patient it is. */
export interface CoordinatorSettings extends ReachSettings, ListenSettings, WaitSettings {
  /** How long a member may be silent before it counts as lost; 3 s if left out. */
  readonly leaseMs?: number;
  /** How long a lost worker's rank is kept for its return; 30 s if left out. */
  readonly rankGraceMs?: number;
  /** Members stay when a run is over, and runs may be submitted. */
  readonly serve?: boolean;
}

/** A run to carry out. */
export interface RunRequest {
  readonly settings: RunSettings;
  /** The text of the run folder's config.yaml. */
  readonly configText: string;
}

/** What is around a coordinator. */
export interface CoordinatorParts extends RoleParts {
  readonly observers?: readonly Observer[];
  /** Makes a run of a submitted configuration, or throws; none are taken where it is left out. */
  readonly readSubmitted?: (configText: string) => RunRequest;
  /** Called when members may come, with the folder that a run has got. */
  readonly onPrepared?: (directory: PreparedRun["directory"]) => void;
}

/** The end of a member's process, as its supervisor saw it. */
export type MemberExited = Omit<CoordinatorEvent & { readonly type: "exited" }, "type">;

/** A coordinator that runs. */
export interface RunningCoordinator {
  /** host:port bound. */
  readonly address: string;
  /**
   * Carries one run out; resolves when its folder is whole. Rejects where it can't begin, such as
   * with a PacelineError `usage` or `checkpoint`; a run that fails later has its `RunEnd`.
   */
  run(request: RunRequest): Promise<RunEnd>;
  /** Takes submitted runs one after the other until it is interrupted. */
  serve(): Promise<void>;
  /** The run is saved and ended; true if it was the first time. */
  interrupt(reason: string): boolean;
  /** A member's process is gone: it need not be waited for. */
  memberExited(exit: MemberExited): void;
  /** The present picture. */
  snapshot(): CoordinatorSnapshot;
  /** Stops listening and ends every session. */
  close(): Promise<void>;
}

/**
 * Starts a coordinator; resolves once it listens.
 * @throws PacelineError `usage` where settings are wrong or the port can't be had.
 */
export async function startCoordinator(
  settings: CoordinatorSettings = {},
  parts: CoordinatorParts = {},
): Promise<RunningCoordinator> {
  if (parts.transport === undefined) demandLoopback(settings);
  const coordinator = new StartedCoordinator(settings, parts);
  try {
    await coordinator.listen();
  } catch (thrown) {
    await coordinator.close();
    throw thrown;
  }
  return coordinator;
}

/** A coordinator that goes on with a run. */
export interface ReturnedCoordinator {
  readonly coordinator: RunningCoordinator;
  /** As `RunningCoordinator.run`. */
  readonly ended: Promise<RunEnd>;
}

/**
 * Starts a coordinator in the place of one that has ended, for the run that `name` says; it has the
 * run before it listens.
 * @throws PacelineError as `startCoordinator`, and where the run can't go on.
 */
export async function returnCoordinator(
  settings: CoordinatorSettings,
  parts: CoordinatorParts,
  { settings: run, configText }: RunRequest,
): Promise<ReturnedCoordinator> {
  if (parts.transport === undefined) demandLoopback(settings);
  const returned = await prepareReturn(run, configText);
  const coordinator = new StartedCoordinator(settings, parts, returned.term);
  try {
    const dataset = run.feed === "central" ? await loadRunDataset(run, parts.log) : null;
    const ended = coordinator.goOn(run, returned, dataset);
    await coordinator.listen();
    return { coordinator, ended };
  } catch (thrown) {
    await coordinator.close();
    await returned.directory.close();
    throw thrown;
  }
}

/** What members are to be given. */
interface Start {
  /** For servers; null once it has been taken. */
  state: ModelState | null;
  /** For workers, by rank; each is taken out once its worker has it. */
  readonly residuals: Map<number, Float32Array>;
}

type TermTaker = Pick<CurrentRun, "setup" | "directory" | "resumedFrom">;

interface CurrentRun extends Omit<PreparedRun, keyof RunStart | "notices"> {
  readonly settings: RunSettings;
  start: Start;
  /** What is sent to workers that have no files; null where they have. */
  readonly examples: ExampleReader | null;
  readonly record: RunRecord;
  readonly ended: (end: RunEnd) => void;
}

const snapshotIntervalMs = 250;
const earlyEventsMax = 1000;
/** How long members that are sent home may take, and how often that is looked at. */
const dismissLimitMs = 2000;
const dismissLookMs = 20;
/** Of a coordinator that has no run yet. */
const firstTerm = 1;

class StartedCoordinator implements RunningCoordinator {
  readonly #settings: CoordinatorSettings;
  readonly #parts: CoordinatorParts;
  readonly #clock: Clock;
  readonly #transport: Transport;
  readonly #host: CoordinatorHost;
  readonly #version = packageVersion();
  #listener: Listener | null = null;
  #current: CurrentRun | null = null;
  /** What happened while there was no run. */
  readonly #early: RunEvent[] = [];
  #interruption: string | null = null;
  readonly #queue = new JobQueue<RunRequest>();

  constructor(settings: CoordinatorSettings, parts: CoordinatorParts, term: number = firstTerm) {
    this.#settings = settings;
    this.#parts = parts;
    const patience = { ...roleDefaults, ...settings };
    const { leaseMs, rankGraceMs, serverGraceMs, startTimeoutMs, ioTimeoutMs } = patience;
    const { waitForWorkersMs } = patience;
    this.#clock = parts.clock ?? processClock;
    this.#transport = parts.transport ?? createMemberTransport({ ioTimeoutMs });
    const choice = settings.transport ?? roleDefaults.transport;
    this.#host = new CoordinatorHost({
      transport: this.#transport,
      ...(parts.transport === undefined ? { route: createRouter(choice) } : {}),
      clock: this.#clock,
      ioTimeoutMs,
      config: {
        term,
        // Members are told these in whole milliseconds.
        heartbeatIntervalMs: Math.floor(Math.min(250, leaseMs / 8)),
        leaseMs: Math.round(leaseMs),
        closedGraceMs: (leaseMs * 5) / 6,
        rankGraceMs,
        serverGraceMs,
        waitForWorkersMs,
        startTimeoutMs,
        stopTimeoutMs: Math.min(5000, ioTimeoutMs),
        serve: settings.serve ?? false,
      },
      initialState: async () => this.#takeState(),
      goBack: (setup) => this.#goBack(setup),
      inheritance: () => this.#run().start.residuals,
      saveCheckpoint: (request, setup, state, beside) => {
        const files = beside === null ? diskFiles : pacedFiles(diskFiles, beside, this.#clock);
        return this.#saveCheckpoint(request, setup, state, files);
      },
      persist: (record) => this.#keep(record),
      onEvent: (event) => this.#onEvent(event),
      onEnded: (result) => void this.#onEnded(result),
      submit: (configText) => this.#submit(configText),
      readExamples: (request) => this.#readExamples(request),
    });
  }

  get address(): string {
    return this.#listener?.address ?? "";
  }

  async listen(): Promise<void> {
    const { host = roleDefaults.host, port = roleDefaults.coordinatorPort } = this.#settings;
    this.#listener = await this.#transport.serveCoordinator(joinHostPort(host, port), this.#host);
  }

  async run({ settings, configText }: RunRequest): Promise<RunEnd> {
    // What is wrong with a file is told before there is a folder.
    const dataset =
      settings.feed === "central" ? await loadRunDataset(settings, this.#parts.log) : null;
    try {
      const run = await prepareRun(settings, configText);
      try {
        return await this.#carryOut(settings, run, dataset);
      } finally {
        await run.directory.close();
      }
    } finally {
      dataset?.close?.();
    }
  }

  /** Carries on with a run of another coordinator's, as `run` does; members may come at once. */
  async goOn(settings: RunSettings, returned: ReturnedRun, dataset: Dataset | null) {
    try {
      return await this.#carryOut(settings, returned, dataset, returned);
    } finally {
      await returned.directory.close();
      dataset?.close?.();
    }
  }

  async serve(): Promise<void> {
    while (this.#interruption === null) {
      const next = this.#queue.next();
      if (next === null) await this.#queue.wait();
      else await this.#carryOutJob(next);
    }
    await this.#dismiss(this.#interruption);
  }

  async #carryOutJob({ name, request }: Job<RunRequest>): Promise<void> {
    const { startTimeoutMs = roleDefaults.startTimeoutMs } = this.#settings;
    const missing = missingMembers(name, request.settings, this.snapshot(), startTimeoutMs);
    if (missing !== null) this.#log(missing);
    try {
      await this.run(request);
    } catch (thrown) {
      for (const observer of this.#parts.observers ?? [])
        observer.onNotBegun?.(name, toPacelineError(thrown));
    }
  }

  /** Sends members home that would wait for a next job, and gives them a moment to leave. */
  async #dismiss(reason: string): Promise<void> {
    this.#host.tell({ type: "interrupt", reason });
    const untilMs = this.#clock.nowMs() + dismissLimitMs;
    while (this.snapshot().members.length > 0 && this.#clock.nowMs() < untilMs)
      await new Promise<void>((resolve) => this.#clock.after(dismissLookMs, resolve));
  }

  #log(line: string): void {
    this.#parts.log?.(line);
  }

  interrupt(reason: string): boolean {
    const first = this.#interruption === null;
    this.#interruption = reason;
    this.#host.tell({ type: "interrupt", reason });
    const dropped = this.#queue.clear();
    if (dropped.length > 0)
      this.#log(`${reason}: queued jobs are dropped: ${dropped.join(", ")}; submit them again`);
    this.#queue.wake();
    return first;
  }

  memberExited(exit: MemberExited): void {
    this.#host.tell({ type: "exited", ...exit });
  }

  snapshot(): CoordinatorSnapshot {
    return this.#host.snapshot();
  }

  async close(): Promise<void> {
    this.#host.close();
    await this.#listener?.close();
    if (this.#parts.transport === undefined) await this.#transport.close();
  }

  async #carryOut(
    settings: RunSettings,
    { state, residuals, notices, ...run }: Omit<PreparedRun, "state"> & Pick<Start, "state">,
    dataset: Dataset | null,
    returned: ReturnedRun | null = null,
  ): Promise<RunEnd> {
    const { setup, directory } = run;
    const term = returned?.term ?? (await this.#takeTerm(run));
    const examples = dataset === null ? null : new ExampleReader(setup.spec, dataset);
    const record = new RunRecord({
      spec: setup.spec,
      directory,
      clock: this.#clock,
      isoTime: () => new Date().toISOString(),
      machine: describeMachine(),
      coordinator: this.#self(),
      inOneProcess: false,
      version: this.#version,
      logEvery: settings.logEvery,
      observers: this.#parts.observers ?? [],
    });
    for (const event of [...notices, ...this.#early.splice(0)]) record.onEvent(event);
    const snapshots = every(this.#clock, snapshotIntervalMs, () =>
      record.onSnapshot(this.#host.snapshot()),
    );
    try {
      return await new Promise<RunEnd>((resolve) => {
        const start = { state, residuals };
        this.#current = { ...run, settings, start, examples, record, ended: resolve };
        const kept = returned?.record ?? null;
        if (kept === null) this.#host.tell({ type: "submit", setup, term });
        else this.#host.tell({ type: "return", setup, term, record: kept });
        // An interrupt that came while the run was prepared is meant for it.
        const reason = this.#interruption;
        if (reason !== null) this.#host.tell({ type: "interrupt", reason });
        this.#parts.onPrepared?.(directory);
      });
    } finally {
      snapshots.cancel();
      this.#current = null;
    }
  }

  #self(): RunBegin["coordinator"] {
    const { host = roleDefaults.host, port = roleDefaults.coordinatorPort } = this.#settings;
    const address = this.address || joinHostPort(host, port);
    return { pid: process.pid, host: hostname(), address };
  }

  async #submit(configText: string): Promise<string> {
    try {
      return await this.#takeJob(configText);
    } catch (thrown) {
      const error = toPacelineError(thrown);
      this.#log(`a job is refused: ${error.message}`);
      throw error.code === "internal" ? new PacelineError("refused", error.message) : error;
    }
  }

  async #takeJob(configText: string): Promise<string> {
    const { readSubmitted } = this.#parts;
    if (this.#settings.serve !== true || readSubmitted === undefined) {
      throw new PacelineError("usage", "this coordinator takes no jobs: start one with --serve");
    }
    if (this.#interruption !== null)
      throw new PacelineError("refused", "this coordinator is stopping and accepts no jobs");
    const { settings, configText: whole } = readSubmitted(configText);
    await demandPreparable(settings);
    const name = settings.name ?? this.#queue.nextName(`submitted-${process.pid}`);
    const request = { settings: { ...settings, name }, configText: whole };
    const before = this.#queue.add({ name, request });
    const busy = before + (this.#current === null ? 0 : 1);
    this.#log(`job ${name} is taken${busy === 0 ? "" : `, ${busy} before it`}`);
    return name;
  }

  #readExamples(request: ExamplesRequest): Examples {
    const { examples } = this.#run();
    if (examples === null) throw new PacelineError("refused", "this run's workers have the files");
    return examples.copy(request);
  }

  /** Takes a term above each one under which the run was carried out, and keeps it. */
  async #takeTerm({ setup, directory, resumedFrom }: TermTaker): Promise<number> {
    const kept = await readCoordinatorState(directory.path);
    const before = Math.max(kept?.term ?? 0, setup.resume?.term ?? 0);
    const term = Math.max(this.#host.term, before + 1);
    await writeCoordinatorState(directory.path, stateAtStart(setup, resumedFrom, term));
    return term;
  }

  #keep(record: CoordinatorRecord): Promise<void> {
    const { directory, setup, resumedFrom } = this.#run();
    const state = stateOfRecord(stateAtStart(setup, resumedFrom, record.term).start, record);
    const write = () => writeCoordinatorState(directory.path, state);
    return record.ending === null ? this.#savePatiently(write, null) : write();
  }

  #savePatiently<T>(save: () => Promise<T>, folder: string | null): Promise<T> {
    const tell = (text: string) => this.#onEvent({ kind: "warning", text });
    const patienceMs = this.#run().settings.savePatienceMs;
    return savePatiently(save, { clock: this.#clock, patienceMs, tell, folder });
  }

  async #saveCheckpoint(
    { step, snapshot, view, why }: SaveRequest,
    { spec, layout }: RunSetup,
    state: CheckpointState,
    files: Files,
  ): Promise<number> {
    const { directory, settings } = this.#run();
    const applied = Math.min(...state.marks.map((marks) => marks.version));
    const globalStep = paceOf(spec, view.phase).globalStep === "step" ? step : applied;
    const { path } = directory;
    const picture = this.#host.snapshot();
    const place = { path, keep: settings.keep, version: this.#version, spec, layout };
    const content = {
      ...state,
      globalStep,
      examples: Math.min(...state.marks.map((marks) => marks.examples)),
      snapshot,
      engines: enginesOf(picture),
      algorithms: picture.algorithms,
    };
    const save = () => keepCheckpoint(place, content, files);
    // Of one amid training the next is the remedy.
    if (why === "checkpoint") await save();
    else await this.#savePatiently(save, checkpointsFolder(path));
    return globalStep;
  }

  /** Members may come while a run is prepared: its record has them all the same. */
  #onEvent(event: RunEvent): void {
    if (this.#current !== null) this.#current.record.onEvent(event);
    else if (this.#early.length < earlyEventsMax) this.#early.push(event);
  }

  async #onEnded(result: RunResult): Promise<void> {
    const current = this.#current;
    if (current === null) return;
    current.record.onSnapshot(this.#host.snapshot());
    current.ended(await current.record.finish(result, this.#interruption));
  }

  /** What the run goes on from after a roll-back; ids that follow are of a term of their own. */
  async #goBack(before: RunSetup): Promise<WayBack> {
    const run = this.#run();
    const { setup, state, residuals, notices } = await startAgain(before, run);
    const generation = (before.generation ?? 0) + 1;
    const term = await this.#takeTerm({ ...run, setup: { ...run.setup, generation } });
    run.start = { state, residuals };
    for (const notice of notices) run.record.onEvent(notice);
    return { setup, term };
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
