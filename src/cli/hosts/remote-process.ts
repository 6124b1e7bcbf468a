/**
 * One process on a host: started over ssh, heard line by line, told signals, let go of in the end.
 * A connection that breaks ends nothing there; it is made again, and what was said meanwhile is
 * heard from where the last one stopped.
 */
import type { ChildProcess } from "node:child_process";
import { StringDecoder } from "node:string_decoder";
import type { Clock, Timer } from "../../host/clock.js";
import type { Host } from "./hosts-file.js";
import { endedWord, listenerCommand, scriptCodes, startedWord } from "./remote-script.js";
import { type Ssh, sshError, sshFailed, sshMissing, startSsh } from "./ssh.js";

/** What a process is started with. */
export interface RemoteSetup {
  readonly ssh: Ssh;
  readonly host: Host;
  /** As in `worker-1`. */
  readonly name: string;
  readonly command: readonly string[];
  /** The folder on the host with what its keeper knows; nobody else has one of that name. */
  readonly state: string;
  /** How long it runs on while nobody listens. */
  readonly graceSeconds: number;
  readonly clock: Clock;
  /** A line that it has said. */
  onLine(line: string): void;
  /** What there is to say of its connection. */
  onNote(text: string): void;
}

/** How a process ended. */
export interface RemoteEnd {
  /** Null where nobody can tell. */
  readonly exitCode: number | null;
  /** What is known instead of an exit code. */
  readonly reason: string | null;
}

/** What a host's process may be told. */
export type RemoteSignal = "INT" | "TERM" | "KILL";

const aliveEveryMs = 2000;
const againAfterMs = [500, 1000, 2000, 4000];
/** What stays of an ssh connection that was told to end. */
const closeLimitMs = 5000;
const toldCharactersMax = 4000;

/** A process on a host. */
export class RemoteProcess {
  readonly setup: RemoteSetup;
  /** Resolves when it runs, rejects when it can't be started. */
  readonly started: Promise<void>;
  readonly ended: Promise<RemoteEnd>;
  #child: ChildProcess | null = null;
  #closed: Promise<void> = Promise.resolve();
  #startedOnce = false;
  #isOver = false;
  #bytes = 0;
  #rest = "";
  #decoder = new StringDecoder("utf8");
  /** From the keeper: the exit code and how many bytes there are to hear. */
  #told: { readonly exitCode: number; readonly bytes: number } | null = null;
  #lostMs: number | null = null;
  #attempts = 0;
  #words = 0;
  #alive: Timer | null = null;
  readonly #waiting: RemoteSignal[] = [];
  #onStarted: () => void = () => {};
  #onRefused: (cause: unknown) => void = () => {};
  #onEnded: (end: RemoteEnd) => void = () => {};

  constructor(setup: RemoteSetup) {
    this.setup = setup;
    this.started = new Promise((resolve, reject) => {
      this.#onStarted = resolve;
      this.#onRefused = reject;
    });
    this.ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
    this.started.catch(() => undefined);
    this.#listen(null);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sends it a signal, once it is connected again where it is not. */
  signal(signal: RemoteSignal): void {
    if (this.#isOver) return;
    if (this.#lostMs === null && this.#say(signal)) return;
    this.#waiting.push(signal);
  }

  /** Lets go of it: the keeper removes what it knows, and the connection ends. */
  async close(): Promise<void> {
    this.#alive?.cancel();
    this.#say("bye");
    this.#isOver = true;
    const child = this.#child;
    child?.stdin?.end();
    const { clock } = this.setup;
    const limit = clock.after(closeLimitMs, () => child?.kill("SIGKILL"));
    await this.#closed;
    limit.cancel();
  }

  #say(words: string): boolean {
    return this.#child?.stdin?.writable === true && this.#child.stdin.write(`${words}\n`) !== null;
  }

  /** @param offset bytes heard so far; null to start the process. */
  #listen(offset: number | null): void {
    const { ssh, host, state, graceSeconds, command, clock } = this.setup;
    const line = listenerCommand({ state, offset, graceSeconds, dir: host.dir, command });
    const child = startSsh(ssh, host, line);
    this.#child = child;
    let told = "";
    child.stdin?.on("error", () => {});
    child.stdout?.on("data", (bytes: Buffer) => this.#hear(bytes));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      told = (told + text).slice(-toldCharactersMax);
      this.#takeWord(told);
    });
    this.#closed = new Promise((resolve) => {
      child.on("error", (cause) => {
        this.#refuse(sshMissing(ssh, cause));
        resolve();
      });
      child.on("close", (code) => {
        resolve();
        if (this.#child === child) this.#lose(code ?? sshFailed, told);
      });
    });
    this.#alive?.cancel();
    const beat = () => {
      this.#words += 1;
      this.#say(`alive ${this.#words}`);
      this.#alive = clock.after(aliveEveryMs, beat);
    };
    beat();
  }

  #hear(bytes: Buffer): void {
    this.#bytes += bytes.length;
    const lines = (this.#rest + this.#decoder.write(bytes)).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.setup.onLine(line.replace(/\r$/, ""));
    this.#endIfHeard();
  }

  /** What the listener on the host says of the process. */
  #takeWord(told: string): void {
    if (told.includes(startedWord)) this.#connected();
    const found = new RegExp(`^${endedWord} (\\d+) (\\d+)$`, "m").exec(told);
    if (found === null || this.#told !== null) return;
    this.#told = { exitCode: Number(found[1]), bytes: Number(found[2]) };
    this.#endIfHeard();
  }

  #connected(): void {
    if (this.#lostMs !== null) this.setup.onNote("connected again");
    this.#lostMs = null;
    this.#attempts = 0;
    this.#startedOnce = true;
    this.#onStarted();
    for (const signal of this.#waiting.splice(0)) this.#say(signal);
  }

  #endIfHeard(): void {
    if (this.#told === null || this.#bytes < this.#told.bytes) return;
    this.#end({ exitCode: this.#told.exitCode, reason: null });
  }

  /** A connection has ended before the process has. */
  #lose(code: number, told: string): void {
    if (this.#isOver) return;
    const { host, clock, graceSeconds, onNote } = this.setup;
    const error = sshError(host, told);
    if (code === scriptCodes.gone) {
      this.#end({ exitCode: null, reason: "its keeper is gone, and it with that" });
      return;
    }
    if (!this.#startedOnce) {
      this.#refuse(error);
      return;
    }
    const nowMs = clock.nowMs();
    if (this.#lostMs === null) {
      onNote("the ssh connection is lost; it runs on, and is connected to again");
    }
    this.#lostMs ??= nowMs;
    const leftMs = graceSeconds * 1000 - (nowMs - this.#lostMs);
    if (leftMs <= 0) {
      const reason = `not heard of for ${graceSeconds} s (${error.message}); it ends by itself`;
      this.#end({ exitCode: null, reason });
      return;
    }
    const delayMs = againAfterMs[Math.min(this.#attempts, againAfterMs.length - 1)]!;
    this.#attempts += 1;
    clock.after(Math.min(delayMs, leftMs), () => {
      if (!this.#isOver) this.#listen(this.#bytes);
    });
  }

  #refuse(cause: unknown): void {
    this.#onRefused(cause);
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.#end({ exitCode: null, reason });
  }

  #end(end: RemoteEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#alive?.cancel();
    const rest = this.#rest + this.#decoder.end();
    this.#rest = "";
    if (rest !== "") this.setup.onLine(rest);
    this.#onEnded(end);
  }
}
