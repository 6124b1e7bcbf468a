/**
 * One cell as a child process, its output in a log. It stands in a process group of its own, so
 * that Ctrl-C reaches the suite alone, which hands the signal on; should the suite end first, it is
 * told to save and stop.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { fileError } from "../store/file-errors.js";
import { sentenceOf } from "../system-reason.js";

/** What to start. */
export interface CellCommand {
  /** The compiled program of the command line. */
  readonly entry: string;
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logPath: string;
  /** Write behind what the log has. */
  readonly appends: boolean;
}

/** How it ended. */
export interface CellExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not be started. */
  readonly problem: string | null;
}

/** A process that trains. */
export class CellProcess {
  readonly ended: Promise<CellExit>;
  readonly #child: ChildProcess;
  #isOver = false;

  constructor({ entry, words, environment, logPath, appends }: CellCommand) {
    const log = openLog(logPath, appends);
    try {
      this.#child = spawn(process.execPath, [entry, ...words], {
        stdio: ["ignore", log, log],
        env: environment,
        detached: process.platform !== "win32",
      });
    } finally {
      closeSync(log);
    }
    const endWithSuite = () => this.signal("SIGTERM");
    process.on("exit", endWithSuite);
    this.ended = new Promise((resolve) => {
      const end = (exit: CellExit) => {
        this.#isOver = true;
        process.off("exit", endWithSuite);
        resolve(exit);
      };
      this.#child.on("error", (error) =>
        end({ code: null, signal: null, problem: sentenceOf(error) }),
      );
      this.#child.on("exit", (code, signal) => end({ code, signal, problem: null }));
    });
  }

  /** Null when it could not be started. */
  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  /** Passes a signal on; nothing happens once the process has ended. */
  signal(signal: NodeJS.Signals): void {
    if (!this.#isOver && this.#child.pid !== undefined) this.#child.kill(signal);
  }
}

const tailBytes = 16 * 1024;

/** The last lines of a log; none where there is no log. */
export function logTail(path: string, lines: number): string[] {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return [];
  }
  try {
    const { size } = fstatSync(file);
    const piece = Buffer.alloc(Math.min(size, tailBytes));
    readSync(file, piece, 0, piece.length, size - piece.length);
    const told = piece.toString("utf8").split("\n");
    return told.filter((line) => line.trim() !== "").slice(-lines);
  } finally {
    closeSync(file);
  }
}

function openLog(path: string, appends: boolean): number {
  try {
    return openSync(path, appends ? "a" : "w");
  } catch (thrown) {
    throw fileError(thrown, "write", path);
  }
}
