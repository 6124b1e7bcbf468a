/**
 * `paceline coordinator`: coordinates one run, which may be one whose coordinator died, or with
 * --serve the jobs that are submitted.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { demandDataFolder } from "../../data/data-folder.js";
import { PacelineError } from "../../errors.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { EmfFigures, type FiguresPicture } from "../../report/emf-figures.js";
import { RunReport } from "../../report/run-report.js";
import type { Observer } from "../../runtime/observer.js";
import { processClock } from "../../runtime/process/process-clock.js";
import type { RunRequest } from "../../runtime/run-carrier.js";
import type { RunSettings } from "../../runtime/run-settings.js";
import {
  type RunningCoordinator,
  returnCoordinator,
  startCoordinator,
} from "../../runtime/start-coordinator.js";
import type { CoordinatorStates } from "../../store/coordinator-state.js";
import type { ServingStore } from "../../store/serving-store.js";
import { answerHealth, type Life } from "../health-socket.js";
import { coordinatorSettingsOf } from "../role-settings.js";
import { onSignals, signalExitCode } from "../signals.js";

/** What is interrupted by a signal; true if it was the first time. */
interface Interrupted {
  interrupt(reason: string): boolean;
  flush(): Promise<void>;
}

/** Ends this process, for another to go on, once what it has told a run's folder is there. */
type Leave = (running: Pick<Interrupted, "flush">) => void;

/** So long a folder that is in a bucket may take to get what it lacks. */
const flushMsMax = 2000;

/**
 * Runs the command; resolves to the exit code.
 * @param goesOn in place with the run of the options' name, whose coordinator died.
 */
export async function coordinator(
  options: ResolvedOptions,
  io: CommandIo,
  goesOn = false,
): Promise<number> {
  const { healthSocket } = options;
  const life: Life = { isReady: false, state: "starts" };
  const stopAnswering = await answerHealth({ healthSocket, role: "coordinator", now: () => life });
  return whole(options, { ...io, life }, goesOn).finally(stopAnswering);
}

/** What a command gets, and where a coordinator says how far it is. */
type CoordinatorIo = CommandIo & { readonly life: Life };

async function whole(
  options: ResolvedOptions,
  io: CoordinatorIo,
  goesOn: boolean,
): Promise<number> {
  if (options.store !== "file") return standing(options, io);
  if (options.handOver) {
    const sentence =
      "--hand-over leaves a run to another coordinator, and --store file has one only";
    throw new PacelineError("usage", `${sentence}; give both --store etcd://host:2379`);
  }
  if (options.storeTls !== null) {
    const sentence = `--store-tls ${options.storeTls} is for an etcd, and --store is file`;
    throw new PacelineError("usage", `${sentence}; add --store etcd://host:2379, or leave it out`);
  }
  if (options.serve) return serve(options, io);
  return one(options, io, goesOn);
}

/** Leads the run or the jobs, or waits for the lead; ends at once where it is lost. */
async function standing(options: ResolvedOptions, io: CoordinatorIo): Promise<number> {
  const { standBy, standByToServe } = await import("../standby.js");
  const waiting = new AbortController();
  let last: NodeJS.Signals = "SIGINT";
  const release = onSignals((signal) => {
    last = signal;
    waiting.abort();
  });
  const wait = options.serve ? standByToServe : standBy;
  const lead = await wait(options, io, waiting.signal).finally(release);
  if (lead === null || waiting.signal.aborted) {
    // A signal may come in the moment in which the lead is won.
    await lead?.resign();
    return signalExitCode(last);
  }
  void lead.lost.then((reason) => {
    if (isDone) return;
    // Whatever this process would still write or say is another's to write and say.
    io.stderr.write(`paceline: leads no longer: ${reason}; start it again to stand by\n`);
    process.exit(1);
  });
  let isDone = false;
  // What is kept is enough to go on with at any moment, and without the lead nothing is written.
  const leave = async (running: Pick<Interrupted, "flush">): Promise<void> => {
    if (isDone) return;
    isDone = true;
    io.stderr.write("leaves the lead to another coordinator\n");
    await Promise.race([running.flush(), sleep(flushMsMax)]);
    await lead.resign();
    process.exit(0);
  };
  const away = options.handOver ? leave : undefined;
  try {
    if ("store" in lead) return await serve(options, io, { store: lead.store, leave: away });
    if (lead.isOver) {
      io.stderr.write(`run ${options.name} is over; see its result.json\n`);
      return 0;
    }
    // Once the run's end is kept, nothing that another leader does is against it.
    const onEnded = () => {
      isDone = true;
    };
    const elected = { states: lead.states, onEnded, leave: away };
    return await one(options, io, lead.goesOn, elected);
  } finally {
    isDone = true;
    await lead.resign();
  }
}

/** What an elected coordinator has besides. */
interface Elected {
  readonly states: CoordinatorStates;
  /** The run is over and its folder is whole. */
  readonly onEnded: () => void;
  readonly leave: Leave | undefined;
}

async function one(
  options: ResolvedOptions,
  io: CoordinatorIo,
  goesOn: boolean,
  elected?: Elected,
): Promise<number> {
  const report = reportOf(options, io);
  const figures = printedFigures(options, io);
  const observers = [report, ...figures.observers()];
  const { running, ended } = await started(options, io, goesOn, observers, elected?.states);
  const { release } = stopsOnSignals(running, elected?.leave);
  figures.begin(() => running.snapshot());
  try {
    const { exitCode } = await ended();
    elected?.onEnded();
    return exitCode;
  } finally {
    figures.close();
    report.close();
    release();
    await running.close();
  }
}

async function started(
  options: ResolvedOptions,
  io: CoordinatorIo,
  goesOn: boolean,
  observers: readonly Observer[],
  states?: CoordinatorStates,
) {
  const settings = coordinatorSettingsOf(options);
  const elected = states === undefined ? {} : { takeOver: "elected" as const };
  const request = { settings: { ...options, ...elected }, configText: io.configText };
  const own = states === undefined ? {} : { states };
  const parts = { observers, log: logOf(options, io), ...own };
  if (goesOn) {
    const { coordinator: running, ended } = await returnCoordinator(settings, parts, request);
    tellPlace(running, io);
    return { running, ended: () => ended };
  }
  // Members are waited for once nothing is wrong with what the run is to be.
  const onPrepared = () => tellPlace(running, io);
  const running = await startCoordinator(settings, { ...parts, onPrepared });
  return { running, ended: () => running.run(request) };
}

function tellPlace({ address }: Pick<RunningCoordinator, "address">, io: CoordinatorIo): void {
  const { stderr, life } = io;
  Object.assign(life, { isReady: true, state: `listens on ${address}` });
  stderr.write(`coordinator listens on ${address}\n`);
}

/**
 * Takes jobs until a signal comes.
 * @param elected of one that leads, where others stand by.
 */
async function serve(
  options: ResolvedOptions,
  io: CoordinatorIo,
  { store, leave }: Partial<Pick<Elected, "leave">> & { readonly store?: ServingStore } = {},
): Promise<number> {
  const { startServing } = await import("../../runtime/serving/start-serving.js");
  await demandDataFolder(options.dataDir);
  const { runDir, jobs: jobsMax } = options;
  const takeOver = store === undefined ? options.takeOver : ("elected" as const);
  const settings = { ...coordinatorSettingsOf(options), runDir, jobsMax, takeOver };
  const figures = printedFigures(options, io);
  const outputOf = (name: string) => (jobsMax === 1 ? io : namedOutput(io, name));
  const running = await startServing(settings, {
    observersOf: (name) => [reportOf(options, outputOf(name)), ...figures.observers()],
    readSubmitted: (configText) => submittedRun(configText, { ...options, takeOver }, io),
    store,
    log: logOf(options, io),
  });
  const { release, exitCode } = stopsOnSignals(running, leave);
  try {
    tellPlace(running, io);
    figures.begin(() => ({ ...running.snapshot(), jobsMax }));
    await running.serve();
    return exitCode();
  } finally {
    figures.close();
    release();
    await running.close();
  }
}

/**
 * The first signal interrupts, the second ends the process.
 * @param leave what SIGTERM does instead.
 */
function stopsOnSignals(running: Interrupted, leave?: Leave) {
  let last: NodeJS.Signals = "SIGINT";
  const release = onSignals((signal) => {
    last = signal;
    if (signal === "SIGTERM" && leave !== undefined) return leave(running);
    if (!running.interrupt(signal)) process.exit(signalExitCode(signal));
  });
  return { release, exitCode: () => signalExitCode(last) };
}

function reportOf(options: ResolvedOptions, io: CommandIo): RunReport {
  return new RunReport({ settings: options, io, clock: processClock, speaksForWorkers: false });
}

/** CloudWatch's finest metrics that cost nothing extra are of a minute. */
const figuresIntervalMs = 60_000;

/** Lines of figures on standard output, where --emf asks for them, or above --json's object. */
function printedFigures({ emf, json }: ResolvedOptions, io: CommandIo) {
  if (emf === null) return { observers: () => [], begin: () => {}, close: () => {} };
  const figures = new EmfFigures(emf, processClock);
  let timer: NodeJS.Timeout | null = null;
  let print = () => {};
  return {
    observers: () => [figures.observer()],
    begin(picture: () => FiguresPicture) {
      const sink = json ? io.stderr : io.stdout;
      print = () => void sink.write(`${figures.line(picture(), Date.now())}\n`);
      print();
      timer = setInterval(print, figuresIntervalMs).unref();
    },
    /** Tells what was counted since the last line. */
    close() {
      if (timer !== null) clearInterval(timer);
      print();
    },
  };
}

function logOf({ quiet }: ResolvedOptions, io: CommandIo): (line: string) => void {
  return (line) => void (quiet || io.stderr.write(`${line}\n`));
}

/** Where several jobs run at a time each line on standard error says whose it is. */
function namedOutput(io: CommandIo, name: string): CommandIo {
  const write = (text: string) => {
    const lines = text.replace(/\n$/, "").split("\n");
    return io.stderr.write(lines.map((line) => `${name}: ${line}\n`).join(""));
  };
  return { ...io, isTerminal: false, stderr: { write } };
}

/** A submitted run as it is carried out here: with this computer's folders. */
function submittedRun(
  configText: string,
  own: Omit<ResolvedOptions, "takeOver"> & Required<Pick<RunSettings, "takeOver">>,
  io: CommandIo,
): RunRequest {
  const { runDir, dataDir, cacheDir, keep, takeOver } = own;
  const settings = { ...io.readConfig(configText), runDir, dataDir, cacheDir, keep, takeOver };
  return { settings, configText };
}
