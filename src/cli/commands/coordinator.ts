/**
 * `paceline coordinator`: coordinates one run, which may be one whose coordinator died, or with
 * --serve the jobs that are submitted.
 */
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { RunReport } from "../../report/run-report.js";
import type { Observer } from "../../runtime/observer.js";
import { processClock } from "../../runtime/process/process-clock.js";
import type { RunRequest } from "../../runtime/run-carrier.js";
import { returnCoordinator, startCoordinator } from "../../runtime/start-coordinator.js";
import { coordinatorSettingsOf } from "../role-settings.js";
import { onSignals, signalExitCode } from "../signals.js";

/** What is interrupted by a signal; true if it was the first time. */
interface Interrupted {
  interrupt(reason: string): boolean;
}

/**
 * Runs the command; resolves to the exit code.
 * @param goesOn in place with the run of the options' name, whose coordinator died.
 */
export async function coordinator(
  options: ResolvedOptions,
  io: CommandIo,
  goesOn = false,
): Promise<number> {
  if (options.serve) return serve(options, io);
  const report = reportOf(options, io);
  const { running, ended } = await started(options, io, goesOn, report);
  const { release } = stopsOnSignals(running);
  try {
    io.stderr.write(`coordinator listens on ${running.address}\n`);
    return (await ended()).exitCode;
  } finally {
    report.close();
    release();
    await running.close();
  }
}

async function started(
  options: ResolvedOptions,
  io: CommandIo,
  goesOn: boolean,
  observer: Observer,
) {
  const settings = coordinatorSettingsOf(options);
  const request = { settings: options, configText: io.configText };
  const parts = { observers: [observer], log: logOf(options, io) };
  if (goesOn) {
    const { coordinator: running, ended } = await returnCoordinator(settings, parts, request);
    return { running, ended: () => ended };
  }
  const running = await startCoordinator(settings, parts);
  return { running, ended: () => running.run(request) };
}

/** Takes jobs until a signal comes. */
async function serve(options: ResolvedOptions, io: CommandIo): Promise<number> {
  const { startServing } = await import("../../runtime/serving/start-serving.js");
  const { runDir, jobs: jobsMax, takeOver } = options;
  const settings = { ...coordinatorSettingsOf(options), runDir, jobsMax, takeOver };
  const running = await startServing(settings, {
    observersOf: (name) => [reportOf(options, jobsMax === 1 ? io : namedOutput(io, name))],
    readSubmitted: (configText) => submittedRun(configText, options, io),
    log: logOf(options, io),
  });
  const { release, exitCode } = stopsOnSignals(running);
  try {
    io.stderr.write(`coordinator listens on ${running.address}\n`);
    await running.serve();
    return exitCode();
  } finally {
    release();
    await running.close();
  }
}

/** The first signal interrupts, the second ends the process. */
function stopsOnSignals(running: Interrupted) {
  let last: NodeJS.Signals = "SIGINT";
  const release = onSignals((signal) => {
    last = signal;
    if (!running.interrupt(signal)) process.exit(signalExitCode(signal));
  });
  return { release, exitCode: () => signalExitCode(last) };
}

function reportOf(options: ResolvedOptions, io: CommandIo): RunReport {
  return new RunReport({ settings: options, io, clock: processClock, speaksForWorkers: false });
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
function submittedRun(configText: string, own: ResolvedOptions, io: CommandIo): RunRequest {
  const { runDir, dataDir, cacheDir, keep, takeOver } = own;
  const settings = { ...io.readConfig(configText), runDir, dataDir, cacheDir, keep, takeOver };
  return { settings, configText };
}
