/**
 * The coordinator of `paceline train` as a child process, which shares this process's terminal. It
 * is started before there is anything to tell it, so that it loads while data are checked.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { PacelineError } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "../options/resolved-options.js";
import { parseHostPort } from "../protocol/host-port.js";
import { faultText } from "../protocol/injected-fault.js";
import { isInterruptedExit } from "../runtime/process/signal-exit.js";
import type { MemberExited } from "../runtime/start-coordinator.js";
import { latestCheckpoint } from "../store/checkpoint/checkpoint-folder.js";
import type { FromCoordinator, ToCoordinator } from "./coordinator-link.js";
import { signalExitCode, stopsProcess } from "./signals.js";

const entry = fileURLToPath(new URL("./coordinator-entry.js", import.meta.url));

/** Where members go. */
export type RunPlace = Omit<FromCoordinator & { readonly type: "prepared" }, "type">;

/** What a supervisor does at the coordinator's word. */
export interface CoordinatorListener {
  /** Members may come. */
  onPrepared(place: RunPlace): void;
  /** The coordinator suffers a fault. */
  onFault(fault: Omit<FromCoordinator & { readonly type: "fault" }, "type">): void;
}

/** Phases of the coordinator in which a member that died is wanted again. */
const runningPhases: ReadonlySet<string> = new Set([
  "forming",
  "preparing",
  "training",
  "rolling back",
]);

/** What the first process was told to carry out, with where its members go. */
interface Carried {
  readonly options: ResolvedOptions;
  readonly io: CommandIo;
  readonly listener: CoordinatorListener;
  /** Null until members may come. */
  place: RunPlace | null;
  end(exitCode: number): void;
  fail(thrown: unknown): void;
}

/** How a process ended. */
interface Gone {
  /** In words that follow its name. */
  readonly how: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How long it waits before it starts another process, longer each time. */
const firstDelayMs = 250;

/**
 * The child, and those that follow where one is killed before its run is over: members outlive
 * it, and the next one goes on with the run.
 */
export class CoordinatorChild {
  readonly #environment: CommandIo["environment"];
  #child: ChildProcess;
  #gone: Promise<void>;
  #phase = "forming";
  /** How the present process ended; null while it runs. */
  #ending: Gone | null = null;
  #carried: Carried | null = null;
  #restarts = 0;
  /** True once nobody wants another process in its place. */
  #isOver = false;
  /** False from the end of a process until the next one has the run. */
  #isBack = true;
  /**
   * By member its last end, of which the next process has to hear: one that was said may not have
   * been heard. It knows by the pid which life is meant.
   */
  readonly #exits = new Map<string, MemberExited>();
  readonly #paused = new Set<number>();
  readonly #suffered = new Set<string>();
  #interruption: NodeJS.Signals | null = null;

  constructor(environment: CommandIo["environment"]) {
    this.#environment = environment;
    [this.#child, this.#gone] = this.#spawn();
  }

  /** True while a worker that died is wanted again. */
  get wantsWorkers(): boolean {
    return runningPhases.has(this.#phase);
  }

  /**
   * Has the run carried out; resolves to its exit code when its folder is whole.
   * @throws PacelineError what the coordinator threw; `member_lost` where it is gone for good.
   */
  carryOut(
    options: ResolvedOptions,
    io: CommandIo,
    listener: CoordinatorListener,
  ): Promise<number> {
    return new Promise<number>((end, fail) => {
      this.#carried = { options, io, listener, place: null, end, fail };
      this.#begin(this.#carried, false);
      // It may have ended while data were looked at.
      if (this.#ending !== null) this.#onGone(this.#ending);
    });
  }

  /** A member's process is gone. */
  memberExited(exit: MemberExited): void {
    this.#exits.set(`${exit.role}-${exit.rank}`, exit);
    if (this.#isBack) this.#say({ type: "exited", exit });
  }

  /** A signal came to this process, and perhaps to the child too. */
  interrupt(signal: NodeJS.Signals): void {
    this.#interruption = signal;
    if (this.#isBack) this.#say({ type: "interrupt", signal });
  }

  /** Its process; -1 where it could not be started. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** A process is stopped on purpose: it has to go on where this one can't see to it. */
  wakesAtEnd(pid: number): void {
    this.#paused.add(pid);
    this.#say({ type: "paused", pid });
  }

  /** Ends the process at once, as whatever else might. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Ends it at once and for good. */
  killForGood(): void {
    this.#isOver = true;
    if (this.#ending !== null) this.#giveUp("was to be started again");
    else this.kill();
  }

  /** Lets it end; resolves when it is gone. */
  async close(): Promise<void> {
    this.#isOver = true;
    this.#say({ type: "close" });
    await this.#gone;
  }

  #spawn(): [child: ChildProcess, gone: Promise<void>] {
    const child = spawn(process.execPath, [entry], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
      env: this.#environment,
      windowsHide: true,
    });
    const gone = new Promise<void>((resolve) => {
      const end = (gone: Gone) => {
        [this.#ending, this.#isBack] = [gone, false];
        resolve();
        this.#onGone(gone);
      };
      child.once("error", ({ message }) => {
        end({ how: `could not be started: ${message}`, code: null, signal: null });
      });
      child.once("exit", (code, signal) => {
        end({ how: `ended with ${signal ?? `exit code ${code}`}`, code, signal });
      });
    });
    return [child, gone];
  }

  #begin(carried: Carried, returns: boolean): void {
    const { io, options } = carried;
    this.#child.on("message", (given) => this.#onMessage(given as FromCoordinator, carried));
    const { color, isTerminal, configText } = io;
    const inject = options.inject.filter((fault) => !this.#suffered.has(faultText(fault)));
    const begun = { ...options, ...placeOf(carried.place), inject };
    this.#say({ type: "begin", options: begun, io: { color, isTerminal, configText }, returns });
  }

  #onMessage(message: FromCoordinator, carried: Carried): void {
    const { listener, end, fail } = carried;
    if (message.type === "phase") this.#onPhase(message.phase);
    else if (message.type === "fault") {
      this.#suffered.add(faultText(message.fault));
      listener.onFault(message);
    } else if (message.type === "ended" || message.type === "failed") {
      this.#isOver = true;
      if (message.type === "ended") end(message.exitCode);
      else fail(errorOf(message));
    } else {
      carried.place = { address: message.address, path: message.path };
      attempt(() => listener.onPrepared(message), fail);
    }
  }

  /** Another process takes its place where it was killed, until the run's folder is whole. */
  #onGone({ how, code, signal }: Gone): void {
    const carried = this.#carried;
    if (carried === null) return;
    if (carried.place === null && !this.#isOver && this.#wasSignalled(carried, code, signal))
      return;
    const { maxRestarts } = carried.options;
    const isWanted = signal !== null && !this.#isOver && carried.place !== null;
    if (!isWanted || this.#restarts >= maxRestarts) {
      this.#giveUp(how);
      return;
    }
    const delayMs = firstDelayMs * 2 ** this.#restarts++;
    carried.io.stderr.write(
      `the coordinator (pid ${this.pid}) ${how}: it is started again in ${delayMs / 1000} s\n`,
    );
    setTimeout(() => {
      if (!this.#isOver) this.#startAgain(carried);
    }, delayMs);
  }

  /**
   * Before there is a run, a signal to all of a group may have met the process while it was loading
   * and took no signals yet: it does what it does to this one. False where that was not its end.
   */
  #wasSignalled(carried: Carried, code: number | null, signal: NodeJS.Signals | null): boolean {
    if (signal === "SIGHUP" && !stopsProcess(signal)) {
      this.#startAgain(carried);
      return true;
    }
    const exitCode = signal !== null && stopsProcess(signal) ? signalExitCode(signal) : code;
    if (!isInterruptedExit(exitCode)) return false;
    this.#isOver = true;
    carried.io.stderr.write(`${signal ?? "a signal"}: the run ends before it has begun\n`);
    carried.end(exitCode!);
    return true;
  }

  #giveUp(how: string): void {
    const carried = this.#carried;
    if (carried !== null) void this.#lost(how, carried.place?.path ?? null).then(carried.fail);
  }

  #startAgain(carried: Carried): void {
    this.#ending = null;
    [this.#child, this.#gone] = this.#spawn();
    this.#begin(carried, carried.place !== null);
    for (const pid of this.#paused) this.#say({ type: "paused", pid });
  }

  /** The first word of a process that has the run: it is told what it has missed. */
  #onPhase(phase: string): void {
    this.#phase = phase;
    if (this.#isBack) return;
    this.#isBack = true;
    for (const exit of this.#exits.values()) this.#say({ type: "exited", exit });
    if (this.#interruption !== null) this.#say({ type: "interrupt", signal: this.#interruption });
  }

  #say(message: ToCoordinator): void {
    // One that is gone is heard of by its end.
    if (this.#ending === null && this.#child.connected) this.#child.send(message, () => {});
  }

  async #lost(how: string, path: string | null): Promise<PacelineError> {
    const sentence = `the coordinator (pid ${this.#child.pid ?? "none"}) ${how}: the run is over`;
    const latest = path === null ? null : await latestCheckpoint(path).catch(() => null);
    const from = `continue from step ${latest?.step} with paceline resume ${path}`;
    const remedy = latest === null ? "it left no checkpoint, start it again" : from;
    return new PacelineError("member_lost", `${sentence}; ${remedy}`);
  }
}

/** Where members look for the coordinator, and the name of its run, once both are given. */
function placeOf(place: RunPlace | null): Partial<ResolvedOptions> {
  if (place === null) return {};
  const at = parseHostPort(place.address);
  if ("problem" in at || at.port === null) return {};
  return {
    host: at.host,
    port: at.port,
    runDir: dirname(place.path),
    name: basename(place.path),
    resume: null,
  };
}

function errorOf(message: FromCoordinator & { readonly type: "failed" }): PacelineError {
  const { code, message: sentence, details, stack } = message;
  const cause = Object.assign(new Error(sentence), { stack });
  return new PacelineError(code, sentence, stack === undefined ? { details } : { details, cause });
}

function attempt(action: () => void, onError: (thrown: unknown) => void): void {
  try {
    action();
  } catch (thrown) {
    onError(thrown);
  }
}
