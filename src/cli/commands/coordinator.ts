/** `paceline coordinator`: coordinates one run, or with --serve one after the other. */
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { RunReport } from "../../report/run-report.js";
import { processClock } from "../../runtime/process/process-clock.js";
import { type RunRequest, startCoordinator } from "../../runtime/start-coordinator.js";
import { coordinatorSettingsOf } from "../role-settings.js";
import { onSignals, signalExitCode } from "../signals.js";

/** Runs the command; resolves to the exit code. */
export async function coordinator(options: ResolvedOptions, io: CommandIo): Promise<number> {
  const setup = { settings: options, io, clock: processClock, speaksForWorkers: false };
  const report = new RunReport(setup);
  const log = (line: string) => void (options.quiet || io.stderr.write(`${line}\n`));
  const running = await startCoordinator(coordinatorSettingsOf(options), {
    observers: [report],
    readSubmitted: (configText) => submittedRun(configText, options, io),
    log,
  });
  let last: NodeJS.Signals = "SIGINT";
  const release = onSignals((signal) => {
    last = signal;
    if (!running.interrupt(signal)) process.exit(signalExitCode(signal));
  });
  try {
    io.stderr.write(`coordinator listens on ${running.address}\n`);
    if (!options.serve) {
      const { exitCode } = await running.run({ settings: options, configText: io.configText });
      return exitCode;
    }
    await running.serve();
    return signalExitCode(last);
  } finally {
    report.close();
    release();
    await running.close();
  }
}

/** A submitted run as it is carried out here: with this computer's folders. */
function submittedRun(configText: string, own: ResolvedOptions, io: CommandIo): RunRequest {
  const { runDir, dataDir, cacheDir, keep } = own;
  const settings = { ...io.readConfig(configText), runDir, dataDir, cacheDir, keep };
  return { settings, configText };
}
