/**
 * Files of one JSON value a line, appended to while a run lives: events.jsonl, metrics.jsonl. Lines
 * are handed over without waiting and written in order, those of one moment in one write.
 */
import { setImmediate } from "node:timers/promises";
import { PacelineError, toPacelineError } from "../../errors.js";
import { isMissing, isRemoved } from "../file-errors.js";
import { diskFiles, type Files, openLog, type WritableFile } from "../files.js";

/** The longest line that is read. */
export const lineBytesMax = 16 * 1024 * 1024;

const pieceBytes = 64 * 1024;
/** Characters of lines that wait while nothing can be written. */
const waitingMax = 4 * 1024 * 1024;
const lineBreak = 10;

/** What a file lacks, and why. */
export interface LostLines {
  readonly path: string;
  /** 0 where nobody knows how many, as what was written could not be made durable. */
  readonly lines: number;
  readonly reason: string;
}

/**
 * Appends lines to a file. A write that fails ends nothing: its lines wait, so far as there is room
 * for them, and are tried again with those that follow. In a bucket the file that is open keeps
 * what it has taken until S3 has it, and is never opened anew: what stands there by then may be
 * another process's.
 */
export class JsonLinesWriter {
  readonly #path: string;
  readonly #files: Files;
  #file: WritableFile | null;
  /** Up to here the file has whole lines. */
  #wholeBytes: number;
  /** How many of them are this writer's. */
  #wholeLines = 0;
  #pending: string[] = [];
  #pendingCharacters = 0;
  #dropped = 0;
  /** Why lines are lost for good, where that is another reason than the present failure. */
  #lossReason: string | null = null;
  /** Lines that the file has taken and keeps in this process as yet. */
  #unsent = 0;
  #writing: Promise<void> | null = null;
  #failure: PacelineError | null = null;
  #onTrouble: (error: PacelineError) => void = () => {};

  private constructor(path: string, files: Files, file: WritableFile, bytes: number) {
    this.#path = path;
    this.#files = files;
    this.#file = file;
    this.#wholeBytes = bytes;
  }

  /** Opens a file, made if need be; a last line that a crash has torn is cut off. */
  static async open(path: string, files: Files = diskFiles): Promise<JsonLinesWriter> {
    const bytes = await wholeLinesBytes(files, path);
    return new JsonLinesWriter(path, files, await files.append(path, bytes), bytes);
  }

  /** What is told when a write fails, once until one succeeds again. */
  set onTrouble(tell: (error: PacelineError) => void) {
    this.#onTrouble = tell;
  }

  /** Hands over a value; it is turned into text at once. */
  append(value: object): void {
    this.appendText(JSON.stringify(value));
  }

  /** Hands over a line as it is. */
  appendText(text: string): void {
    const line = `${text}\n`;
    if (this.#failure !== null && this.#pendingCharacters + line.length > waitingMax) {
      this.#dropped += 1;
      return;
    }
    this.#pending.push(line);
    this.#pendingCharacters += line.length;
    this.#writing ??= this.#drain();
  }

  /**
   * Resolves when every line appended so far is with the operating system, or in the bucket; else
   * tells what the file lacks for the time being. It never rejects.
   */
  async flush(): Promise<LostLines | null> {
    while (this.#writing !== null) await this.#writing;
    if (this.#pending.length > 0) {
      this.#writing = this.#drain();
      await this.#writing;
    }
    if ((this.#file?.unsentBytes ?? 0) > 0) await this.#send();
    else this.#unsent = 0;
    const lines = this.#dropped + this.#pending.length + this.#unsent;
    if (lines === 0) return null;
    return { path: this.#path, lines, reason: this.#reason };
  }

  /** Flushes, makes the file durable and closes it. What it lacks is then lost. */
  async close(): Promise<LostLines | null> {
    const lost = await this.flush();
    const unsynced = await this.#file?.sync().then(() => null, toPacelineError);
    await this.#file?.close().catch(() => undefined);
    this.#file = null;
    if (lost !== null || unsynced == null) return lost;
    return { path: this.#path, lines: 0, reason: unsynced.message };
  }

  get #reason(): string {
    return this.#lossReason ?? this.#failure?.message ?? "the disk was full";
  }

  async #send(): Promise<void> {
    try {
      await this.#file?.sync();
      this.#unsent = 0;
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  async #drain(): Promise<void> {
    await setImmediate();
    do await this.#write();
    while (this.#pending.length > 0 && this.#failure === null);
    this.#writing = null;
  }

  /** Writes what waits; what could not be written waits on. */
  async #write(): Promise<void> {
    const lines = this.#pending;
    const bytes = Buffer.from(lines.join(""));
    this.#pending = [];
    this.#pendingCharacters = 0;
    try {
      // After a failure a part of a line may stand behind the whole ones.
      this.#file ??= await this.#files.append(this.#path, this.#wholeBytes);
      await this.#file.write(bytes);
      this.#wholeBytes += bytes.length;
      this.#wholeLines += lines.length;
      this.#failure = null;
      this.#count(lines.length, bytes.length);
    } catch (thrown) {
      if (this.#file?.unsentBytes === undefined) {
        await this.#file?.close().catch(() => undefined);
        this.#file = null;
      }
      this.#pending = [...lines, ...this.#pending];
      this.#pendingCharacters = this.#pending.reduce((sum, line) => sum + line.length, 0);
      if (isRemoved(thrown)) this.#beginAnew(toPacelineError(thrown).message);
      this.#fail(thrown);
    }
  }

  /** The next write makes the file again. */
  #beginAnew(reason: string): void {
    this.#lossReason = reason;
    this.#dropped += this.#wholeLines;
    this.#wholeLines = 0;
    this.#wholeBytes = 0;
  }

  /** Counts what the file keeps: the lines just taken alone, or those before as well. */
  #count(lines: number, bytes: number): void {
    const unsentBytes = this.#file?.unsentBytes ?? 0;
    if (unsentBytes <= bytes) this.#unsent = 0;
    if (unsentBytes > 0) this.#unsent += lines;
  }

  #fail(thrown: unknown): void {
    const isFirst = this.#failure === null;
    this.#failure = toPacelineError(thrown);
    if (isFirst) this.#onTrouble(this.#failure);
  }
}

/**
 * The values of a file, in order; a torn last line is left out, and a missing file has none. A line
 * that is not JSON, as a crash may leave one, is left out and told.
 */
export async function* readJsonLines(
  path: string,
  onBroken: (sentence: string) => void,
  files: Files = diskFiles,
): AsyncGenerator<unknown, void, undefined> {
  const file = await openLog(files, path).catch((thrown: unknown) => {
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
        const parsed = parsedLine(rest.toString("utf8", start, end));
        start = end + 1;
        if (parsed !== null) yield parsed.value;
        else onBroken(`line ${number} of ${path} is not JSON and is left out`);
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

function parsedLine(line: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(line) };
  } catch {
    return null;
  }
}

/** Where the last whole line of a file ends; 0 where there is none. */
async function wholeLinesBytes(files: Files, path: string): Promise<number> {
  const file = await openLog(files, path).catch((thrown: unknown) => {
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
