/**
 * Files of one JSON value a line, appended to while a run lives: events.jsonl, metrics.jsonl. Lines
 * are handed over without waiting and written in order, those of one moment in one write.
 */
import { setImmediate } from "node:timers/promises";
import { PacelineError } from "../../errors.js";
import { isMissing } from "../file-errors.js";
import { diskFiles, type Files, type WritableFile } from "../files.js";

/** The longest line that is read. */
export const lineBytesMax = 16 * 1024 * 1024;

const pieceBytes = 64 * 1024;
const lineBreak = 10;

/**
 * Appends lines to a file. The first failure is kept, told by `flush` and `close`, and ends the
 * writing.
 */
export class JsonLinesWriter {
  readonly #file: WritableFile;
  #pending: string[] = [];
  #writing: Promise<void> | null = null;
  #failure: unknown = null;

  private constructor(file: WritableFile) {
    this.#file = file;
  }

  /** Opens a file, made if need be; a last line that a crash has torn is cut off. */
  static async open(path: string, files: Files = diskFiles): Promise<JsonLinesWriter> {
    return new JsonLinesWriter(await files.append(path, await wholeLinesBytes(files, path)));
  }

  /** Hands over a value; it is turned into text at once. */
  append(value: object): void {
    this.appendText(JSON.stringify(value));
  }

  /** Hands over a line as it is. */
  appendText(line: string): void {
    if (this.#failure !== null) return;
    this.#pending.push(`${line}\n`);
    this.#writing ??= this.#drain();
  }

  /** Resolves when every line appended so far is with the operating system. */
  async flush(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
    if (this.#failure !== null) throw this.#failure;
  }

  /** Flushes, makes the file durable and closes it. */
  async close(): Promise<void> {
    try {
      await this.flush();
      await this.#file.sync();
    } finally {
      await this.#file.close();
    }
  }

  async #drain(): Promise<void> {
    await setImmediate();
    try {
      while (this.#pending.length > 0) {
        const text = this.#pending.join("");
        this.#pending = [];
        await this.#file.write(Buffer.from(text));
      }
    } catch (thrown) {
      this.#failure = thrown;
      this.#pending = [];
    }
    this.#writing = null;
  }
}

/** The values of a file, in order; a torn last line is left out, and a missing file has none. */
export async function* readJsonLines(
  path: string,
  files: Files = diskFiles,
): AsyncGenerator<unknown, void, undefined> {
  const file = await files.openFile(path).catch((thrown: unknown) => {
    if (isMissing(thrown)) return null;
    throw thrown;
  });
  if (file === null) return;
  try {
    let number = 0;
    let rest: Buffer = Buffer.alloc(0);
    for (let at = 0; at < file.bytes; at += pieceBytes) {
      const piece = Buffer.alloc(Math.min(pieceBytes, file.bytes - at));
      await file.read(piece, at);
      rest = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
      let start = 0;
      for (let end = rest.indexOf(lineBreak); end >= 0; end = rest.indexOf(lineBreak, start)) {
        number += 1;
        yield parsedLine(rest.toString("utf8", start, end), path, number);
        start = end + 1;
      }
      rest = rest.subarray(start);
      if (rest.length > lineBytesMax) {
        const told = `line ${number + 1} of ${path} is longer than ${lineBytesMax} bytes`;
        throw new PacelineError("storage", `${told}: check the path`);
      }
    }
  } finally {
    await file.close();
  }
}

function parsedLine(line: string, path: string, number: number): unknown {
  try {
    return JSON.parse(line);
  } catch (thrown) {
    throw new PacelineError("storage", `line ${number} of ${path} is not JSON: remove that line`, {
      cause: thrown,
    });
  }
}

/** Where the last whole line of a file ends; 0 where there is none. */
async function wholeLinesBytes(files: Files, path: string): Promise<number> {
  const file = await files.openFile(path).catch((thrown: unknown) => {
    if (isMissing(thrown)) return null;
    throw thrown;
  });
  if (file === null) return 0;
  try {
    for (let end = file.bytes; end > 0; ) {
      const start = Math.max(0, end - pieceBytes);
      const piece = Buffer.alloc(end - start);
      await file.read(piece, start);
      const found = piece.lastIndexOf(lineBreak);
      if (found >= 0) return start + found + 1;
      end = start;
    }
    return 0;
  } finally {
    await file.close();
  }
}
