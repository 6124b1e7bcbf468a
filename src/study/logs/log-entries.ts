/**
 * From the lines of a log, as some collector has written them, to what a process said. Docker's
 * json-file puts each line into an object, CRI (Kubernetes) puts time, stream and a mark before it,
 * and both cut long lines into pieces; other collectors put a prefix before a line, which is left
 * where it is.
 */

/** Something that a process said, a line of it where no collector has lost any. */
export interface LogEntry {
  readonly text: string;
  /** When, as far as the log says. */
  readonly timeMs: number | null;
  /** File and line, or log group and stream. */
  readonly where: string;
  /** Of one process, where the log's form tells them apart. */
  readonly stream: string;
}

/** Longer pieces are not joined: no process of Paceline says so much in a line. */
const joinedCharactersMax = 4 * 1024 * 1024;
const criLine = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF])[^ ]* (.*)$/s;
const isoTime = /\b(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?/;
/** docker compose, kubectl --prefix, aws logs tail. */
const streamPrefixes = [
  /^(?:\p{Cc}\[[\d;]*m)*([\w.@:-]+) +\| /u,
  /^\[(pod\/[^\]]+)\] /,
  /^\S+T\S+ (\S+\/\S+) /,
];

interface Piece {
  readonly text: string;
  readonly timeMs: number | null;
  /** What pieces of one line share. */
  readonly pipe: string;
  readonly isPartial: boolean;
}

/** Takes the lines of one log in their order. */
export class LogEntries {
  readonly #name: string;
  #line = 0;
  readonly #open = new Map<string, string>();

  /** @param name the file's, for messages. */
  constructor(name: string) {
    this.#name = name;
  }

  /** What is whole with this line; null while more of it is to come. */
  take(line: string): LogEntry | null {
    this.#line += 1;
    const piece = pieceOf(line);
    const before = this.#open.get(piece.pipe) ?? "";
    const text = before + piece.text;
    if (piece.isPartial && text.length < joinedCharactersMax) {
      this.#open.set(piece.pipe, text);
      return null;
    }
    this.#open.delete(piece.pipe);
    return this.#entry(text, piece.timeMs);
  }

  /** What no end came of. */
  rest(): LogEntry[] {
    return [...this.#open.values()].map((text) => this.#entry(text, null));
  }

  #entry(text: string, timeMs: number | null): LogEntry {
    const stream = streamOf(text);
    return {
      text,
      timeMs: timeMs ?? timeIn(text),
      where: `${this.#name}:${this.#line}`,
      stream: stream === null ? this.#name : `${this.#name} ${stream}`,
    };
  }
}

/** The first time of day in a text, in ms since 1970; UTC where it names no zone. */
export function timeIn(text: string): number | null {
  const found = isoTime.exec(text.slice(0, 400));
  if (found === null) return null;
  const [, day, time, fraction = "0", zone = "Z"] = found;
  const ms = Date.parse(`${day}T${time}.${fraction.slice(0, 3)}${zone}`);
  return Number.isFinite(ms) ? ms : null;
}

function streamOf(text: string): string | null {
  for (const prefix of streamPrefixes) {
    const found = prefix.exec(text);
    if (found !== null) return found[1]!;
  }
  return null;
}

function pieceOf(line: string): Piece {
  const cri = criLine.exec(line);
  if (cri !== null) {
    const [, time = "", pipe = "", mark, text = ""] = cri;
    return { text, timeMs: timeIn(time), pipe, isPartial: mark === "P" };
  }
  if (/^\s*\{"(log|stream|time)":/.test(line)) {
    const piece = jsonFilePiece(line);
    if (piece !== null) return piece;
  }
  return { text: line, timeMs: null, pipe: "", isPartial: false };
}

/** A line of Docker's json-file; null where it is something else, or cut off. */
function jsonFilePiece(line: string): Piece | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  const { log, stream, time } = value as Record<string, unknown>;
  if (typeof log !== "string") return null;
  const timeMs = typeof time === "string" ? timeIn(time) : null;
  const pipe = String(stream ?? "");
  return { text: log.replace(/\r?\n$/, ""), timeMs, pipe, isPartial: !log.endsWith("\n") };
}
