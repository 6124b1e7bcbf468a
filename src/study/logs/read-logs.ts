/**
 * Reads logs: files, folders of them, a stream. All are read line by line, so that a log may be
 * larger than memory; what is packed with gzip is unpacked.
 */
import { createReadStream } from "node:fs";
import { lstat, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { PacelineError } from "../../errors.js";
import { fileError } from "../../store/file-errors.js";
import { LogEntries, type LogEntry } from "./log-entries.js";
import { LoggedRuns } from "./logged-runs.js";
import { MetricsScan } from "./metrics-scan.js";
import { SignsOfLife } from "./signs-of-life.js";

/** What all logs together say. */
export interface LogsRead {
  readonly logs: LoggedRuns;
  readonly signs: SignsOfLife;
}

/** Takes log after log. */
export class LogReader implements LogsRead {
  readonly logs = new LoggedRuns();
  readonly signs = new SignsOfLife();
  #lastChangeMs = 0;

  /** When the last of the files was written; 0 where none was read. */
  get lastChangeMs(): number {
    return this.#lastChangeMs;
  }

  /** Reads a file, or a stream of that name. */
  async takeFile(path: string): Promise<void> {
    const found = await stat(path).catch((cause) => {
      throw fileError(cause, "read", path);
    });
    this.#lastChangeMs = Math.max(this.#lastChangeMs, found.mtimeMs);
    // A pipe is read once, from where it stands.
    if (!found.isFile()) return this.takeStream(path, createReadStream(path));
    await this.takeStream(path, await contentOf(path));
  }

  /** Reads a stream to its end. */
  async takeStream(name: string, input: Readable): Promise<void> {
    const entries = new LogEntries(name);
    const scan = new MetricsScan();
    const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
    let failure: unknown = null;
    input.on("error", (cause) => {
      failure = cause;
      lines.close();
    });
    for await (const line of lines) {
      const entry = entries.take(line);
      if (entry !== null) this.#takeEntry(entry, scan);
    }
    if (failure !== null) throw fileError(failure, "read", name);
    for (const entry of entries.rest()) this.#takeEntry(entry, scan);
    for (const found of scan.rest()) this.logs.take(found);
  }

  /** Takes what another source has made entries of; a scan for each of its streams. */
  takeEntries(entries: readonly LogEntry[]): void {
    const scans = new Map<string, MetricsScan>();
    for (const entry of entries) {
      const scan = scans.get(entry.stream) ?? new MetricsScan();
      scans.set(entry.stream, scan);
      this.#takeEntry(entry, scan);
    }
    for (const scan of scans.values()) for (const found of scan.rest()) this.logs.take(found);
  }

  #takeEntry(entry: LogEntry, scan: MetricsScan): void {
    this.signs.take(entry);
    for (const found of scan.take(entry)) this.logs.take(found);
  }
}

/**
 * The files that a path names: itself, or all files below a folder, as container runtimes keep them
 * (links are followed); hidden ones and those of other kinds are left out.
 * @throws PacelineError `usage` where there is nothing, or a folder without logs.
 */
export async function logFilesAt(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => null);
  if (found === null) {
    const link = await lstat(path).catch(() => null);
    const what = link === null ? "there is no file or folder" : "a link leads nowhere from";
    const remedy = "give log files, folders of them, or - for standard input";
    throw new PacelineError("usage", `${what} ${path}; ${remedy}`);
  }
  if (!found.isDirectory()) return [path];
  const files = await filesBelow(path, 0);
  if (files.length > 0) return files;
  const remedy = `give the folder with the logs; a run's are in ${join(path, "logs")}`;
  throw new PacelineError("usage", `${path} holds no logs; ${remedy}`);
}

const foldersDeepMax = 6;
/** What a run's folder, or one of containers, has besides logs. */
const notLogs = /\.(safetensors|json5?|yaml|yml|png|svg|npz|csv|md|sock|lock)$/;
const containerLog = /-json\.log(\.\d+)?(\.gz)?$/;

async function filesBelow(folder: string, depth: number): Promise<string[]> {
  const files: string[] = [];
  const names = await readdir(folder).catch((cause) => {
    throw fileError(cause, "list", folder);
  });
  for (const name of names.sort()) {
    if (name.startsWith(".")) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => null);
    if (found === null) continue;
    if (found.isDirectory() && depth < foldersDeepMax) {
      files.push(...(await filesBelow(path, depth + 1)));
    } else if (found.isFile() && (containerLog.test(name) || !notLogs.test(name))) {
      files.push(path);
    }
  }
  return files;
}

/** A file's text: unpacked, and from UTF-16 where PowerShell wrote it. */
async function contentOf(path: string): Promise<Readable> {
  const head = new Uint8Array(2);
  const file = await open(path).catch((cause) => {
    throw fileError(cause, "open", path);
  });
  try {
    await file.read(head, 0, 2, 0);
  } catch (cause) {
    throw fileError(cause, "read", path);
  } finally {
    await file.close();
  }
  const [first, second] = head;
  if (first === 0x1f && second === 0x8b) {
    const packed = createReadStream(path);
    const unpacked = createGunzip();
    packed.on("error", (cause) => unpacked.destroy(cause));
    return packed.pipe(unpacked);
  }
  const isWide = first === 0xff && second === 0xfe;
  return createReadStream(path, isWide ? { encoding: "utf16le", start: 2 } : {});
}
