/**
 * What logs say of processes besides their metrics: who registered, whom the coordinator lost, what
 * somebody said last. It is what an explanation of missing metrics is made of.
 */
import type { LogEntry } from "./log-entries.js";

/** What a stream was heard to say. */
interface Heard {
  readonly stream: string;
  /** The ranks that it registered as. */
  readonly ranks: Set<number>;
  last: LogEntry;
  /** The last line that speaks of an end that nobody wanted. */
  failure: LogEntry | null;
}

const registered = /\bWorker (\d+) registered with ID \d+/;
const lost = /\bworker-(\d+)\b.*: lost at step/;
const ownLine = /\bworker(?: \S+)?: Worker \d+ registered/;
const failing = new RegExp(
  [
    "\\bpaceline: ",
    "out of memory",
    "OutOfMemory",
    "OOMKilled",
    "\\bKilled\\b",
    "exited with code [1-9]",
    "exit code:? [1-9]",
    "its part is over, failed",
    "Segmentation fault",
    "Traceback \\(most recent",
    "^\\w*Error: ",
  ].join("|"),
);

/** Listens to all entries of all logs. */
export class SignsOfLife {
  readonly #heard = new Map<string, Heard>();
  /** By rank: where the coordinator or the worker itself told of it. */
  readonly #registered = new Map<number, LogEntry>();
  readonly #lost = new Map<number, LogEntry>();
  #started = false;
  #entries = 0;

  take(entry: LogEntry): void {
    this.#entries += 1;
    const { text, stream } = entry;
    if (text.trim() === "") return;
    const heard = this.#heard.get(stream) ?? {
      ...{ stream, ranks: new Set<number>() },
      ...{ last: entry, failure: null },
    };
    this.#heard.set(stream, heard);
    heard.last = entry;
    const rank = registered.exec(text)?.[1];
    if (rank !== undefined) {
      this.#registered.set(Number(rank), entry);
      if (ownLine.test(text)) heard.ranks.add(Number(rank));
    }
    const lostRank = lost.exec(text)?.[1];
    if (lostRank !== undefined) this.#lost.set(Number(lostRank), entry);
    if (failing.test(text)) heard.failure = entry;
    if (text.includes("training starts with")) this.#started = true;
  }

  /** Lines that were read. */
  get entries(): number {
    return this.#entries;
  }

  get streams(): number {
    return this.#heard.size;
  }

  /** Why a worker may have no metrics, as a part of a sentence. */
  whyMissing(rank: number): string {
    const own = [...this.#heard.values()].find(({ ranks }) => ranks.has(rank));
    const loss = this.#lost.get(rank);
    if (loss !== undefined) return `the coordinator lost it (${quoted(loss)})`;
    if (own?.failure != null) return `it failed (${quoted(own.failure)})`;
    if (own !== undefined) {
      const last = quoted(own.last);
      return `it ended before it printed them, or was still training; its last line is ${last}`;
    }
    const told = this.#registered.get(rank);
    if (told !== undefined) {
      return `it registered (${quoted(told)}), and its own log is not among these`;
    }
    return "no line speaks of it: its log is not among these, or was read from too late on";
  }

  /** Why there may be no metrics at all. */
  whyNothing(): string {
    if (this.#entries === 0) return "there is not one line";
    const failure = [...this.#heard.values()].find((one) => one.failure !== null)?.failure ?? null;
    if (failure !== null) return `a process failed first (${quoted(failure)})`;
    const last = [...this.#heard.values()].at(-1)?.last;
    const shown = last === undefined ? "" : `; the last line is ${quoted(last)}`;
    if (this.#started || this.#registered.size > 0) {
      return `the run had not ended when these lines were written${shown}`;
    }
    const where = "a coordinator and workers print them where standard output is no terminal";
    return `no line is of a run (${where}, and not with --json)${shown}`;
  }
}

const shownCharactersMax = 160;

/** A line and where it stands. */
function quoted({ text, where }: LogEntry): string {
  const line = text.trim();
  const shown =
    line.length <= shownCharactersMax ? line : `${line.slice(0, shownCharactersMax - 3)}...`;
  return `${where}: ${shown}`;
}
