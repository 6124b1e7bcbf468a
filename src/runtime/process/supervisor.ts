/**
 * The members of a `paceline train` as child processes: each with its log file, started again where
 * others can bring it up when it dies, and none left when the parent goes. Members stand in process
 * groups of their own, so that Ctrl-C reaches the parent alone, which has work to save before it
 * ends them.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { codeOfExit, toPacelineError } from "../../errors.js";
import type { Clock, Timer } from "../../host/clock.js";
import type { MemberRole } from "../../protocol/identity.js";
import { fileError } from "../../store/file-errors.js";
import { sentenceOf } from "../../system-reason.js";
import { memberEnvironment, type ProcessEnvironment } from "./member-process.js";
import { processClock } from "./process-clock.js";

/** How a member's process ended. */
export interface MemberExit {
  readonly role: MemberRole;
  readonly rank: number;
  /** -1 when the process could not be started. */
  readonly pid: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not be started; null when it could. */
  readonly problem: string | null;
  /** It was killed on purpose, by `kill`. */
  readonly injected: boolean;
  /** It will be started again. */
  readonly restarts: boolean;
}

/** What a supervisor needs to know. */
export interface SupervisorSetup {
  /** The script that every member runs. */
  readonly entry: string;
  /** Flags for Node. */
  readonly flags: readonly string[];
  /** What follows the script on a member's command line. */
  readonly argumentsOf: (role: MemberRole, rank: number) => readonly string[];
  readonly environment: ProcessEnvironment;
  /** Compute threads of each process. */
  readonly threads: number;
  readonly logPath: (role: MemberRole, rank: number) => string;
  /**
   * How often a rank's member is started again; one whose exit code tells that the same would
   * happen again is not.
   */
  readonly maxRestarts: number;
  /**
   * True where servers are, too, as others have copies of what they held, or the run goes back to a
   * checkpoint; false if left out.
   */
  readonly restartsServers?: boolean;
  /** How long members may take to end when told to; 5 s unless told. */
  readonly stopLimitMs?: number;
  /** What a member's process is told as soon as it is started; nothing if left out or null. */
  readonly greeting?: (role: MemberRole, rank: number) => object | null;
  /** A member's process said something. */
  readonly onWord?: (role: MemberRole, rank: number, word: unknown) => void;
  /** Asked before a member is started again: false once the run is ending. */
  readonly mayRestart?: () => boolean;
  /** A member ended; not called for those that `stop` and `killAll` end. */
  readonly onExit: (exit: MemberExit) => void;
  readonly clock?: Clock;
}

interface Supervised {
  readonly role: MemberRole;
  readonly rank: number;
  child: ChildProcess | null;
  restarts: number;
  injected: boolean;
  /** Until the present process goes on that is stopped on purpose; null while it runs. */
  pause: Timer | null;
  /** A start that is yet to come. */
  pending: Timer | null;
  /** Called when the present process has ended. */
  ended: (() => void) | null;
}

const firstBackoffMs = 250;
const backoffMaxMs = 8000;

/** Starts members, watches them, ends them. */
export class Supervisor {
  readonly #setup: SupervisorSetup;
  readonly #clock: Clock;
  readonly #members = new Map<string, Supervised>();
  #closing = false;
  #stopped: Promise<void> | null = null;

  constructor(setup: SupervisorSetup) {
    this.#setup = setup;
    this.#clock = setup.clock ?? processClock;
  }

  /** Starts a member; does nothing while it runs, or once the supervisor is stopping. */
  start(role: MemberRole, rank: number): void {
    const key = `${role}-${rank}`;
    const member = this.#members.get(key) ?? {
      role,
      rank,
      child: null,
      restarts: 0,
      injected: false,
      pause: null,
      pending: null,
      ended: null,
    };
    this.#members.set(key, member);
    if (this.#closing || member.child !== null) return;
    member.pending?.cancel();
    this.#spawn(member);
  }

  /** The processes that run. */
  pids(): { role: MemberRole; rank: number; pid: number }[] {
    return [...this.#members.values()].flatMap(({ role, rank, child }) =>
      child?.pid === undefined ? [] : [{ role, rank, pid: child.pid }],
    );
  }

  /**
   * Kills a member on purpose: a worker is not started again, a server is where others are. False
   * when it does not run.
   */
  kill(role: MemberRole, rank: number): boolean {
    const member = this.#members.get(`${role}-${rank}`);
    if (member?.child == null) return false;
    member.injected = true;
    return member.child.kill("SIGKILL");
  }

  /**
   * Stops a member's process on purpose, and has it go on after this time; of two pauses at a time
   * the later one counts. False when it does not run.
   */
  pause(role: MemberRole, rank: number, forMs: number): boolean {
    const member = this.#members.get(`${role}-${rank}`);
    if (this.#closing || member?.child == null || !member.child.kill("SIGSTOP")) return false;
    member.pause?.cancel();
    member.pause = this.#clock.after(forMs, () => goOn(member));
    return true;
  }

  /** Kills every member at once, and starts none again. */
  killAll(): void {
    this.#closing = true;
    for (const member of this.#members.values()) {
      member.pending?.cancel();
      member.child?.kill("SIGKILL");
    }
  }

  /** Asks every member to end, and kills those that have not within the limit. */
  stop(limitMs: number = this.#setup.stopLimitMs ?? 5000): Promise<void> {
    this.#closing = true;
    this.#stopped ??= this.#stop(limitMs);
    return this.#stopped;
  }

  async #stop(limitMs: number): Promise<void> {
    const running: { member: Supervised; gone: Promise<void> }[] = [];
    for (const member of this.#members.values()) {
      member.pending?.cancel();
      if (member.child === null) continue;
      const gone = new Promise<void>((resolve) => (member.ended = resolve));
      running.push({ member, gone });
      // A member stays for a run on a signal, which may have come to all; not on this word.
      if (member.child.connected) member.child.send({ type: "end" }, () => {});
      goOn(member);
      member.child.kill("SIGTERM");
    }
    const limit = this.#clock.after(limitMs, () => {
      for (const { member } of running) member.child?.kill("SIGKILL");
    });
    await Promise.all(running.map(({ gone }) => gone));
    limit.cancel();
  }

  #spawn(member: Supervised): void {
    const { role, rank } = member;
    const { entry, flags, argumentsOf, environment, threads, logPath } = this.#setup;
    member.pending = null;
    member.injected = false;
    const log = openLog(logPath(role, rank));
    try {
      // The log is the child's own descriptor: its last words stay even if this process is killed.
      const child = spawn(process.execPath, [...flags, entry, ...argumentsOf(role, rank)], {
        stdio: ["ignore", log, log, "ipc"],
        env: memberEnvironment(environment, threads),
        detached: process.platform !== "win32",
        windowsHide: true,
      });
      member.child = child;
      child.on("message", (word) => this.#setup.onWord?.(role, rank, word));
      const greeting = this.#setup.greeting?.(role, rank) ?? null;
      if (greeting !== null) child.send(greeting, () => {});
      child.on("error", (error) => {
        // Of a process that runs this tells of a signal that failed, not of its end.
        if (child.pid === undefined) this.#onEnd(member, child, { problem: sentenceOf(error) });
      });
      child.once("exit", (code, signal) => this.#onEnd(member, child, { code, signal }));
    } finally {
      closeSync(log);
    }
  }

  #spawnAgain(member: Supervised): void {
    const { mayRestart, onExit } = this.#setup;
    if (this.#closing || mayRestart?.() === false) return;
    try {
      this.#spawn(member);
    } catch (thrown) {
      const { role, rank } = member;
      const problem = toPacelineError(thrown).message;
      onExit({ ...endless, role, rank, problem, injected: false, restarts: false });
    }
  }

  #onEnd(
    member: Supervised,
    child: ChildProcess,
    end: Partial<Pick<MemberExit, "code" | "signal" | "problem">>,
  ): void {
    if (member.child !== child) return;
    member.child = null;
    member.pause?.cancel();
    member.pause = null;
    member.ended?.();
    if (this.#closing) return;
    const { role, rank, injected } = member;
    const { maxRestarts, mayRestart, onExit, restartsServers = false } = this.#setup;
    const mayBeMended = end.code !== 0 && codeOfExit(end.code ?? null) === null;
    // Without a worker that is gone the others show how they go on; a server's copies are wanted.
    const wanted = mayBeMended && (role === "worker" ? !injected : restartsServers);
    const restarts = wanted && member.restarts < maxRestarts && mayRestart?.() !== false;
    if (restarts) {
      const delayMs = Math.min(backoffMaxMs, firstBackoffMs * 2 ** member.restarts);
      member.restarts += 1;
      member.pending = this.#clock.after(delayMs, () => this.#spawnAgain(member));
    }
    const pid = child.pid ?? endless.pid;
    onExit({ ...endless, ...end, role, rank, pid, injected, restarts });
  }
}

/** Has a process go on that is stopped on purpose. */
function goOn(member: Supervised): void {
  member.pause?.cancel();
  if (member.pause !== null) member.child?.kill("SIGCONT");
  member.pause = null;
}

const endless = { pid: -1, code: null, signal: null, problem: null };

function openLog(path: string): number {
  try {
    return openSync(path, "a");
  } catch (thrown) {
    throw fileError(thrown, "write", path);
  }
}
