/**
 * Other processes that a benchmark measures: each is told on its first line of input what to do,
 * and answers every line with one line, all in JSON. It ends when its input does, so none is left
 * behind by a benchmark that is interrupted.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { PacelineError } from "../../errors.js";
import { sentenceOf } from "../../system-reason.js";
import { measuredEnvironment } from "./measured-environment.js";

/** A process that answers line by line. */
export class LineProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<string>;
  /** The last of what it complained of. */
  #complaint = "";

  /** Starts it; whether that went well shows at the first question. */
  constructor(command: string, words: readonly string[]) {
    this.#child = spawn(command, words, {
      stdio: ["pipe", "pipe", "pipe"],
      env: measuredEnvironment(),
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = `${this.#complaint}${text}`.slice(-2000);
    });
    // Writing to a process that has ended fails; its end is what is told.
    this.#child.stdin.on("error", () => {});
    this.#ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(sentenceOf(error)));
      this.#child.once("close", (code, signal) => {
        const last = this.#complaint.trim().split("\n").at(-1);
        resolve(`it ended with ${signal ?? code}${last ? ` (${last})` : ""}`);
      });
    });
  }

  /** Its process id; undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Sends a line and takes its answer.
   * @throws PacelineError `unavailable` when the process is gone before it has answered.
   */
  async ask(question: object): Promise<Record<string, unknown>> {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    const { value, done } = await this.#lines.next();
    if (done !== true) return JSON.parse(value) as Record<string, unknown>;
    const command = this.#child.spawnargs.slice(0, 2).join(" ");
    throw new PacelineError("unavailable", `${command} gave no answer: ${await this.#ended}`);
  }

  /** Ends it. */
  async close(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}

/** The path of a peer's script, bench/peers/NAME in the package. */
export function peerScript(name: string): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return join(folder, "bench", "peers", name);
}
