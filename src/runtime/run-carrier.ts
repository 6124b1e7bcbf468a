/**
 * What carries a run out: the host of a coordinator's machine with the run's folder, its record and
 * its checkpoints. Who listens gives it to the network; it takes one run after the other, and where
 * several runs are on behind one address each has its own.
 */
import { hostname } from "node:os";
import type { WayBack } from "../core/coordinator/coordinator-events.js";
import type { CoordinatorRecord } from "../core/coordinator/coordinator-record.js";
import type { RunSetup, SaveRequest } from "../core/work/run-setup.js";
import type { Dataset } from "../data/split.js";
import { PacelineError } from "../errors.js";
import type { CheckpointState } from "../host/checkpoint-saver.js";
import { type Clock, every } from "../host/clock.js";
import { CoordinatorHost, type CoordinatorHostParts } from "../host/coordinator-host.js";
import type { ModelState } from "../host/state-transfer.js";
import type { Examples, ExamplesRequest } from "../protocol/examples.js";
import { hasNorms } from "../protocol/norms.js";
import type { RunEvent, RunResult } from "../protocol/run-events.js";
import { checkpointsFolder } from "../store/checkpoint/checkpoint-folder.js";
import { type CoordinatorStates, folderStates } from "../store/coordinator-state.js";
import { diskFiles, type Files } from "../store/files.js";
import { ledFiles } from "../store/led-files.js";
import { enginesOf } from "../store/runs/run-result.js";
import { createRouter } from "../transport/frames/routes.js";
import type { Transport } from "../transport/transport.js";
import { ExampleReader } from "./compute/example-reader.js";
import type { Observer, RunBegin, RunEnd } from "./observer.js";
import { pacedFiles } from "./paced-files.js";
import { savePatiently } from "./patient-save.js";
import { describeMachine, packageVersion } from "./process/machine.js";
import {
  type ListenSettings,
  type ReachSettings,
  roleDefaults,
  type WaitSettings,
} from "./role-settings.js";
import { keepCheckpoint } from "./run-checkpoints.js";
import { loadRunDataset, type PreparedRun, prepareRun } from "./run-preparation.js";
import { RunRecord } from "./run-record.js";
import { type ReturnedRun, stateAtStart, stateOfRecord } from "./run-return.js";
import type { RunSettings } from "./run-settings.js";
import { type RunStart, startAgain } from "./run-start.js";

/** Where a coordinator listens and how patient it is. */
export interface CoordinatorSettings extends ReachSettings, ListenSettings, WaitSettings {
  /** How long a member may be silent before it counts as lost; 3 s if left out. */
  readonly leaseMs?: number;
  /** How long a lost worker's rank is kept for its return; 30 s if left out. */
  readonly rankGraceMs?: number;
}

/** A run to carry out. */
export interface RunRequest {
  readonly settings: RunSettings;
  /** The text of the run folder's config.yaml. */
  readonly configText: string;
}

/** What is around a host. */
export interface HostSurroundings {
  readonly transport: Transport;
  /** True where the transport is of another network than the machine's. */
  readonly isGiven: boolean;
  readonly clock: Clock;
  /** Members stay when a run is over. */
  readonly serve: boolean;
}

/** What is around a run that is carried out. */
export interface CarrierParts extends HostSurroundings {
  readonly observers: readonly Observer[];
  log(line: string): void;
  /** Called when members may come, with the folder that a run has got. */
  readonly onPrepared?: ((directory: PreparedRun["directory"]) => void) | undefined;
  /** host:port bound, or that will be. */
  address(): string;
  /** Where the states of runs are kept; in their folders if left out. */
  readonly states?: CoordinatorStates | undefined;
  /** A term above this one, which nobody else has; the next if left out. */
  nextTerm?(above: number): Promise<number>;
}

/** What a host of any coordinator has. */
export function hostPartsOf(
  settings: CoordinatorSettings,
  { transport, isGiven, clock, serve }: HostSurroundings,
  term: number,
): Pick<CoordinatorHostParts, "transport" | "route" | "clock" | "ioTimeoutMs" | "config"> {
  const {
    leaseMs,
    rankGraceMs,
    serverGraceMs,
    waitForWorkersMs,
    startTimeoutMs,
    ioTimeoutMs,
    transport: choice,
  } = {
    ...roleDefaults,
    ...settings,
  };
  return {
    transport,
    ...(isGiven ? {} : { route: createRouter(choice) }),
    clock,
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
      serve,
    },
  };
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
  readonly fail: (problem: PacelineError) => void;
}

const snapshotIntervalMs = 250;
const earlyEventsMax = 1000;

/** The host of one run after the other. */
export class RunCarrier {
  readonly host: CoordinatorHost;
  readonly #parts: CarrierParts;
  readonly #clock: Clock;
  readonly #version = packageVersion();
  #current: CurrentRun | null = null;
  /** What happened while there was no run. */
  readonly #early: RunEvent[] = [];
  #interruption: string | null = null;

  constructor(settings: CoordinatorSettings, parts: CarrierParts, term: number) {
    this.#parts = parts;
    this.#clock = parts.clock;
    this.host = new CoordinatorHost({
      ...hostPartsOf(settings, parts, term),
      initialState: async () => this.#takeState(),
      goBack: (setup) => this.#goBack(setup),
      inheritance: () => this.#run().start.residuals,
      saveCheckpoint: (request, setup, state, beside) => {
        const files = this.#files;
        const paced = beside === null ? files : pacedFiles(files, beside, this.#clock);
        return this.#saveCheckpoint(request, setup, state, paced);
      },
      persist: (record) => this.#keep(record),
      onEvent: (event) => this.#onEvent(event),
      onEnded: (result) => void this.#onEnded(result),
      onNorms: (report) => this.#current?.record.onNorms(report),
      readExamples: (request) => this.#readExamples(request),
    });
  }

  /** The id of the run that is on; null while there is none. */
  get run(): string | null {
    return this.#current?.setup.spec.run ?? null;
  }

  /**
   * Carries one run out; resolves when its folder is whole. Rejects where it can't begin.
   * @param reopens its folder may be there, and nothing in it.
   */
  async carryOut({ settings, configText }: RunRequest, reopens = false): Promise<RunEnd> {
    // What is wrong with a file is told before there is a folder.
    const dataset =
      settings.feed === "central" ? await loadRunDataset(settings, this.#parts.log) : null;
    try {
      const files = this.#files;
      const run = await prepareRun(settings, configText, undefined, undefined, reopens, files);
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

  /** The run is saved and ended; true if it was the first time. */
  interrupt(reason: string): boolean {
    const first = this.#interruption === null;
    this.#interruption = reason;
    this.host.tell({ type: "interrupt", reason });
    return first;
  }

  /** Resolves when all that the run's folder was given is there, or could not be brought. */
  async flush(): Promise<void> {
    await this.#current?.directory.flush();
  }

  /** Ends every session; a run that is on is left as it stands. */
  close(): void {
    this.host.close();
    const sentence = "the coordinator was closed before its run had ended";
    this.#current?.fail(new PacelineError("unavailable", `${sentence}; resume the run`));
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
      normChunks: setup.layout.chunks.filter(({ group }) => hasNorms(group)).length,
      directory,
      clock: this.#clock,
      isoTime: () => new Date().toISOString(),
      machine: describeMachine(),
      coordinator: this.#self(),
      inOneProcess: false,
      goesOn: returned?.record != null,
      secondsBefore: returned?.record?.progress.seconds ?? 0,
      version: this.#version,
      logEvery: settings.logEvery,
      observers: this.#parts.observers,
    });
    if (returned?.record == null && setup.resume !== null) {
      record.wentBack(setup.resumedStep ?? 0, setup.resume);
    }
    for (const event of [...notices, ...this.#early.splice(0)]) record.onEvent(event);
    const snapshots = every(this.#clock, snapshotIntervalMs, () =>
      record.onSnapshot(this.host.snapshot()),
    );
    try {
      return await new Promise<RunEnd>((ended, fail) => {
        const start = { state, residuals };
        this.#current = { ...run, settings, start, examples, record, ended, fail };
        const kept = returned?.record ?? null;
        if (kept === null) this.host.tell({ type: "submit", setup, term });
        else this.host.tell({ type: "return", setup, term, record: kept });
        // An interrupt that came while the run was prepared is meant for it.
        const reason = this.#interruption;
        if (reason !== null) this.host.tell({ type: "interrupt", reason });
        this.#parts.onPrepared?.(directory);
      });
    } finally {
      snapshots.cancel();
      this.#current = null;
    }
  }

  get #states(): CoordinatorStates {
    return this.#parts.states ?? folderStates;
  }

  /** Where others may come to lead, names are changed only by who does. */
  get #files(): Files {
    return ledFiles(diskFiles, this.#states.confirm);
  }

  #self(): RunBegin["coordinator"] {
    return { pid: process.pid, host: hostname(), address: this.#parts.address() };
  }

  #readExamples(request: ExamplesRequest): Examples {
    const { examples } = this.#run();
    if (examples === null) throw new PacelineError("refused", "this run's workers have the files");
    return examples.copy(request);
  }

  /** Takes a term above each one under which the run was carried out, and keeps it. */
  async #takeTerm({ setup, directory, resumedFrom }: TermTaker): Promise<number> {
    const kept = await this.#states.read(directory.path);
    const before = Math.max(kept?.term ?? 0, setup.resume?.term ?? 0);
    const { nextTerm = async (above: number) => above + 1 } = this.#parts;
    const term = this.host.term > before ? this.host.term : await nextTerm(before);
    await this.#states.write(directory.path, stateAtStart(setup, resumedFrom, term));
    return term;
  }

  #keep(record: CoordinatorRecord): Promise<void> {
    const { directory, setup, resumedFrom } = this.#run();
    const state = stateOfRecord(stateAtStart(setup, resumedFrom, record.term).start, record);
    const write = () => this.#states.write(directory.path, state);
    return record.ending === null ? this.#savePatiently(write, null) : write();
  }

  #savePatiently<T>(save: () => Promise<T>, folder: string | null): Promise<T> {
    const tell = (text: string) => this.#onEvent({ kind: "warning", text });
    const patienceMs = this.#run().settings.savePatienceMs;
    return savePatiently(save, { clock: this.#clock, patienceMs, tell, folder });
  }

  async #saveCheckpoint(
    { step, snapshot, stepsAhead, why }: SaveRequest,
    { spec, layout }: RunSetup,
    state: CheckpointState,
    files: Files,
  ): Promise<number> {
    const { directory, settings } = this.#run();
    const applied = Math.min(...state.marks.map((marks) => marks.version));
    const globalStep = stepsAhead === null ? step : applied + stepsAhead;
    const { path } = directory;
    const picture = this.host.snapshot();
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
    current.record.onSnapshot(this.host.snapshot());
    current.ended(await current.record.finish(result, this.#interruption));
  }

  /** What the run goes on from after a roll-back; ids that follow are of a term of their own. */
  async #goBack(before: RunSetup): Promise<WayBack> {
    const run = this.#run();
    const { setup, state, residuals, notices } = await startAgain(before, run, this.#files);
    const generation = (before.generation ?? 0) + 1;
    const term = await this.#takeTerm({ ...run, setup: { ...run.setup, generation } });
    run.start = { state, residuals };
    run.record.wentBack(setup.resumedStep ?? 0, setup.resume);
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
