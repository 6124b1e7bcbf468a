/**
 * The coordinator of `paceline train` as a child process, which shares this process's terminal. It
 * is started before there is anything to tell it, so that it loads while data are checked.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { PacelineError } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "../options/resolved-options.js";
import type { MemberExited } from "../runtime/start-coordinator.js";
import { latestCheckpoint } from "../store/checkpoint/checkpoint-folder.js";
import type { FromCoordinator, ToCoordinator } from "./coordinator-link.js";

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

/** The child. */
export class CoordinatorChild {
  readonly #child: ChildProcess;
  readonly #gone: Promise<string>;
  #phase = "forming";
  #isGone = false;

  constructor(environment: CommandIo["environment"]) {
    this.#child = spawn(process.execPath, [entry], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
      env: environment,
      windowsHide: true,
    });
    this.#gone = new Promise((resolve) => {
      this.#child.once("error", ({ message }) => resolve(`could not be started: ${message}`));
      this.#child.once("exit", (code, signal) => {
        resolve(`ended with ${signal ?? `exit code ${code}`}`);
      });
    });
    void this.#gone.then(() => {
      this.#isGone = true;
    });
  }

  /** True while a worker that died is wanted again. */
  get wantsWorkers(): boolean {
    return runningPhases.has(this.#phase);
  }

  /**
   * Has the run carried out; resolves to its exit code when its folder is whole.
   * @throws PacelineError what the coordinator threw; `member_lost` where it is gone.
   */
  async carryOut(
    options: ResolvedOptions,
    { color, isTerminal, configText }: CommandIo,
    listener: CoordinatorListener,
  ): Promise<number> {
    let path: string | null = null;
    const ended = new Promise<number>((resolve, reject) => {
      this.#child.on("message", (given) => {
        const message = given as FromCoordinator;
        if (message.type === "phase") this.#phase = message.phase;
        else if (message.type === "fault") listener.onFault(message);
        else if (message.type === "ended") resolve(message.exitCode);
        else if (message.type === "failed") reject(errorOf(message));
        else {
          path = message.path;
          attempt(() => listener.onPrepared(message), reject);
        }
      });
      void this.#gone.then(async (how) => reject(await this.#lost(how, path)));
    });
    this.#say({ type: "begin", options, io: { color, isTerminal, configText } });
    return ended;
  }

  /** A member's process is gone. */
  memberExited(exit: MemberExited): void {
    this.#say({ type: "exited", exit });
  }

  /** A signal came to this process, and perhaps to the child too. */
  interrupt(signal: NodeJS.Signals): void {
    this.#say({ type: "interrupt", signal });
  }

  /** Its process; -1 where it could not be started. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** A process is stopped on purpose: it has to go on where this one can't see to it. */
  wakesAtEnd(pid: number): void {
    this.#say({ type: "paused", pid });
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Lets it end; resolves when it is gone. */
  async close(): Promise<void> {
    this.#say({ type: "close" });
    await this.#gone;
  }

  #say(message: ToCoordinator): void {
    // One that is gone is heard of by its end.
    if (!this.#isGone && this.#child.connected) this.#child.send(message, () => {});
  }

  async #lost(how: string, path: string | null): Promise<PacelineError> {
    const sentence = `the coordinator (pid ${this.#child.pid ?? "none"}) ${how}: the run is over`;
    const latest = path === null ? null : await latestCheckpoint(path).catch(() => null);
    const from = `continue from step ${latest?.step} with paceline resume ${path}`;
    const remedy = latest === null ? "it left no checkpoint, start it again" : from;
    return new PacelineError("member_lost", `${sentence}; ${remedy}`);
  }
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
