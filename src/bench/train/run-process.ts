/** The program as a process of its own: what it said last, what it says, how it ended. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import {
  memberEnvironment,
  memberFlags,
  threadsOfEach,
} from "../../runtime/process/member-process.js";
import { measuredEnvironment } from "../harness/measured-environment.js";

/** A server or a worker of so many processes on this machine. */
export interface MemberOfMany {
  readonly processes: number;
  readonly transport: string;
}

/** A process that runs one of the program's commands. */
export class RunProcess {
  readonly #words: readonly string[];
  readonly #child: ChildProcess;
  readonly #errors: Readable;
  readonly #ended: Promise<string | null>;
  #said = "";

  /**
   * Starts it; a server or a worker as `paceline train` would start it, to end with this one, or
   * where `isAlone` as one is started by hand, which takes signals as its own.
   */
  constructor(words: readonly string[], member: MemberOfMany | null = null, isAlone = false) {
    this.#words = words;
    const measured = measuredEnvironment();
    const flags = member === null ? [] : memberFlags(member.transport);
    const child = spawn(process.execPath, [...flags, process.argv[1] ?? "", ...words], {
      stdio: ["ignore", "ignore", "pipe", ...(isAlone ? [] : (["ipc"] as const))],
      env:
        member === null ? measured : memberEnvironment(measured, threadsOfEach(member.processes)),
    });
    assert(child.stderr !== null, "standard error is a pipe");
    this.#child = child;
    this.#errors = child.stderr;
    this.#errors.setEncoding("utf8").on("data", (text: string) => {
      this.#said += text;
    });
    this.#ended = new Promise((resolve) => {
      child.once("error", ({ message }) => resolve(message));
      child.once("close", (code, signal) => {
        resolve(code === 0 ? null : `exit code ${signal ?? code}`);
      });
    });
  }

  /** All that it has said on standard error. */
  get said(): string {
    return this.#said;
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Resolves when it has ended, with how where that was not well. */
  get ended(): Promise<string | null> {
    return this.#ended;
  }

  /** Sends a signal; of no effect once it has ended. */
  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves when it has ended well; throws "internal" with the last that it said otherwise. */
  async end(): Promise<void> {
    const problem = await this.#ended;
    if (problem !== null) throw this.#failure(`ended with ${problem}`);
  }

  /** Waits for what it says; throws "internal" when it ends without having said it. */
  async hear(pattern: RegExp): Promise<string> {
    const over = this.#ended.then(() => true);
    for (;;) {
      const found = pattern.exec(this.#said)?.[1];
      if (found !== undefined) return found;
      const more = new Promise<false>((resolve) => this.#errors.once("data", () => resolve(false)));
      if (!(await Promise.race([over, more]))) continue;
      const last = pattern.exec(this.#said)?.[1];
      if (last !== undefined) return last;
      throw this.#failure("ended before it was there");
    }
  }

  /** Ends it, if it still runs. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  #failure(what: string): PacelineError {
    const last = this.#said.trim().split("\n").at(-1) ?? "";
    const sentence = `paceline ${this.#words[0]} of a measured run ${what}: ${last}`;
    return new PacelineError("internal", sentence);
  }
}
