/**
 * The process that coordinates for `paceline train`: it shows the run on the terminal that it
 * shares with its supervisor, and ends with it.
 *
 * Ctrl-C reaches both processes, a signal to the supervisor alone is passed on, one to this process
 * alone is not: so signals that come by each way are counted, and a signal counts once, whichever
 * way it comes first.
 */
import { toPacelineError } from "../errors.js";
import { isSudden } from "../protocol/injected-fault.js";
import type { CoordinatorSnapshot } from "../protocol/run-events.js";
import { RunReport } from "../report/run-report.js";
import type { Observer, RunEnd } from "../runtime/observer.js";
import { processClock } from "../runtime/process/process-clock.js";
import {
  type CoordinatorParts,
  type RunningCoordinator,
  returnCoordinator,
  startCoordinator,
} from "../runtime/start-coordinator.js";
import { holdDisk } from "../store/held-disk.js";
import type { FromCoordinator, ToCoordinator } from "./coordinator-link.js";
import { InjectedFaults } from "./injected-faults.js";
import { guardProcessOutput } from "./output.js";
import { coordinatorSettingsOf } from "./role-settings.js";
import { onSignals, signalExitCode } from "./signals.js";
import { exitWithParent, leaveWithParent } from "./supervised.js";

const injectIntervalMs = 20;
/** A run whose supervisor is gone has so long to be saved: members stay a little less. */
const orphanMs = 10_000;

/** The coordinator of one run, on the supervisor's word. */
class SupervisedCoordinator {
  #running: RunningCoordinator | null = null;
  #phase = "";
  #exitCode = 1;
  /** Signals that came directly, that were passed on, and that were acted upon. */
  #direct = 0;
  #passedOn = 0;
  #taken = 0;
  /** True when the run is over, and what is left is the supervisor's word to go. */
  #isOver = false;

  onMessage(message: ToCoordinator): void {
    switch (message.type) {
      case "begin":
        void this.#carryOut(message);
        break;
      case "exited":
        this.#running?.memberExited(message.exit);
        break;
      case "interrupt":
        this.#passedOn += 1;
        this.#takeSignal(message.signal, this.#passedOn);
        break;
      case "paused":
        paused.add(message.pid);
        break;
      case "close":
        void this.#close();
        break;
      default:
        message satisfies never;
    }
  }

  onSignal(signal: NodeJS.Signals): void {
    this.#direct += 1;
    this.#takeSignal(signal, this.#direct);
  }

  #takeSignal(signal: NodeJS.Signals, count: number): void {
    if (count <= this.#taken) return;
    this.#taken = count;
    const saves = count === 1 && this.#running?.interrupt(signal) === true;
    if (!saves) process.exit(signalExitCode(signal));
  }

  /** The supervisor is gone: the run is saved, and this process ends with it. */
  onParentGone(): void {
    if (this.#isOver || this.#running === null) process.exit(this.#exitCode);
    wake(paused);
    setTimeout(() => process.exit(1), orphanMs);
    this.#takeSignal("SIGTERM", Math.max(1, this.#taken));
  }

  async #carryOut(begin: ToCoordinator & { readonly type: "begin" }): Promise<void> {
    const { options, io } = begin;
    const { stdout, stderr } = process;
    const setup = { settings: options, io: { ...io, stdout, stderr }, clock: processClock };
    const report = new RunReport({ ...setup, speaksForWorkers: true });
    const log = (line: string) => void (options.quiet || stderr.write(`${line}\n`));
    let watch: NodeJS.Timeout | undefined;
    try {
      const { running, ended } = await this.#start(begin, {
        observers: [report, this.#phaseObserver()],
        log,
      });
      this.#running = running;
      const faults = new InjectedFaults((fault, step) => {
        say({ type: "fault", fault, step });
        if (fault.kind === "slow-disk") holdDisk(fault.forMs ?? 0);
      });
      const sudden = options.inject.filter(isSudden);
      faults.expect(sudden.filter(({ role }) => role === "coordinator"));
      const look = () => faults.reached(stepOf(running.snapshot()));
      if (faults.left.length > 0) watch = setInterval(look, injectIntervalMs);
      const { exitCode } = await ended();
      this.#exitCode = exitCode;
      say({ type: "ended", exitCode });
    } catch (thrown) {
      const { code, message, details, cause, exitCode } = toPacelineError(thrown);
      this.#exitCode = exitCode;
      const stack = cause instanceof Error ? cause.stack : undefined;
      say({ type: "failed", code, message, details, stack });
    } finally {
      clearInterval(watch);
      report.close();
      this.#isOver = true;
    }
    if (!process.connected) await this.#close();
  }

  async #start(
    { options, io, returns }: ToCoordinator & { readonly type: "begin" },
    parts: CoordinatorParts,
  ): Promise<{ readonly running: RunningCoordinator; ended(): Promise<RunEnd> }> {
    const request = { settings: options, configText: io.configText };
    const settings = coordinatorSettingsOf(options);
    if (returns) {
      const { coordinator: running, ended } = await returnCoordinator(settings, parts, request);
      return { running, ended: () => ended };
    }
    const running = await startCoordinator(settings, {
      ...parts,
      onPrepared: ({ path }) => say({ type: "prepared", address: running.address, path }),
    });
    return { running, ended: () => running.run(request) };
  }

  /** Tells the supervisor of each phase, which decides whether a worker is started again. */
  #phaseObserver(): Observer {
    const look = () => {
      const { phase } = this.#running?.snapshot() ?? { phase: "" };
      if (phase === this.#phase) return;
      this.#phase = phase;
      say({ type: "phase", phase });
    };
    return { onEvent: look, onSnapshot: look };
  }

  async #close(): Promise<void> {
    await this.#running?.close();
    process.exit(this.#exitCode);
  }
}

/** How far the coordinator knows the run to be; 0 while it does not train. */
function stepOf({ phase, globalSteps, members }: CoordinatorSnapshot): number {
  if (phase !== "training") return 0;
  // Where every push is a step of the run, it has taken no fewer than any of its workers.
  return Math.max(globalSteps, ...members.map(({ worker }) => worker?.clock ?? 0));
}

/**
 * A member that is stopped does not see that the supervisor is gone, and would stay for ever; this
 * process ends with the supervisor, and has it go on.
 */
function wake(pids: Iterable<number>): void {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGCONT");
    } catch {
      // It has ended.
    }
  }
}

function say(message: FromCoordinator): void {
  if (process.connected) process.send?.(message);
}

const paused = new Set<number>();
process.once("exit", () => wake(paused));
exitWithParent();
guardProcessOutput(() => true);
const coordinator = new SupervisedCoordinator();
leaveWithParent(() => coordinator.onParentGone());
onSignals((signal) => coordinator.onSignal(signal));
process.on("message", (message) => coordinator.onMessage(message as ToCoordinator));
// Until the supervisor's word comes there is nothing else to stay for.
process.channel?.ref();
