/**
 * Spans of time in the Chrome trace format ("JSON array format": one event a line, the closing
 * bracket may be missing), which chrome://tracing and ui.perfetto.dev show. Each process writes a
 * file of its own; those of one run are put together when it is over. Moments are microseconds
 * since 1970 in a process's own file, and since the run's begin in the one of the whole run.
 */
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PacelineError } from "../../errors.js";
import type { Trace } from "../../host/trace.js";
import { diskFiles, type Files, type WritableFile } from "../../store/files.js";

/** A complete span ("X") or a name ("M"), as the format has them. */
export interface TraceEvent {
  readonly name: string;
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  /** Microseconds; of spans only. */
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: { readonly name: string };
}

/** Whose file it is. */
export interface TraceOwner {
  /** Such as "worker 0". */
  readonly name: string;
  readonly pid: number;
  /** What the process's clock shows 0 at, in milliseconds since 1970. */
  readonly originMs: number;
}

const pendingMax = 1000;
/** About 200 MB; a run that goes on longer is traced no further. */
const eventsMax = 2_000_000;

/** A process's trace while it is written. */
export class TraceFile implements Trace {
  readonly #file: WritableFile;
  readonly #owner: TraceOwner;
  readonly #tracks = new Map<string, number>();
  #pending: string[] = [];
  #events = 0;
  #writing: Promise<void> = Promise.resolve();
  #failure: unknown = null;

  private constructor(file: WritableFile, owner: TraceOwner) {
    this.#file = file;
    this.#owner = owner;
  }

  /** Begins a file, or goes on with it: a worker that is started again has the same one. */
  static async open(path: string, owner: TraceOwner, files: Files = diskFiles): Promise<TraceFile> {
    const bytes = await bytesOf(path, files);
    const trace = new TraceFile(await files.append(path, bytes), owner);
    // A line that the process before was killed in stays apart from those that follow.
    trace.#pending.push(bytes === 0 ? "[\n" : "\n");
    trace.#add({ name: "process_name", ph: "M", tid: 0, args: { name: owner.name } });
    return trace;
  }

  span(track: string, name: string, startMs: number, endMs: number): void {
    if (this.#events >= eventsMax) return;
    const tid = this.#tracks.get(track) ?? this.#nameTrack(track);
    const { originMs } = this.#owner;
    // Both ends are rounded alike, so that what lies within another span stays there.
    const ts = Math.round(1000 * (originMs + startMs));
    const dur = Math.round(1000 * (originMs + endMs)) - ts;
    this.#add({ name, ph: "X", tid, ts, dur });
  }

  /** Writes what is left. @throws PacelineError `storage` for the first failure there was. */
  async close(): Promise<void> {
    try {
      this.#write();
      await this.#writing;
      if (this.#failure !== null) throw this.#failure;
    } finally {
      await this.#file.close();
    }
  }

  #nameTrack(track: string): number {
    const tid = this.#tracks.size + 1;
    this.#tracks.set(track, tid);
    this.#add({ name: "thread_name", ph: "M", tid, args: { name: track } });
    return tid;
  }

  #add(event: Omit<TraceEvent, "pid">): void {
    this.#events++;
    this.#pending.push(`${JSON.stringify({ ...event, pid: this.#owner.pid })},\n`);
    if (this.#pending.length >= pendingMax) this.#write();
  }

  #write(): void {
    const text = this.#pending.join("");
    this.#pending = [];
    if (text === "" || this.#failure !== null) return;
    this.#writing = this.#writing
      .then(() => this.#file.write(Buffer.from(text)))
      .catch((thrown: unknown) => {
        this.#failure ??= thrown;
      });
  }
}

/** The whole events of a file; a last line that a crash has torn is left out. */
export async function* readTrace(path: string): AsyncGenerator<TraceEvent, void, undefined> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const text = line.replace(/,$/, "");
    if (!text.startsWith("{") || !text.endsWith("}")) continue;
    try {
      yield JSON.parse(text) as TraceEvent;
    } catch (cause) {
      throw new PacelineError("storage", `${path} is not a trace: ${text.slice(0, 80)}`, { cause });
    }
  }
}

/** Puts the files of a folder together as one; moments are counted from `begunMs` there. */
export async function joinTraces(
  folder: string,
  into: string,
  begunMs: number,
  files: Files = diskFiles,
): Promise<void> {
  const file = await files.create(into);
  try {
    const begunAt = JSON.stringify(new Date(begunMs).toISOString());
    let text = `{"displayTimeUnit":"ms","otherData":{"begunAt":${begunAt}},"traceEvents":[`;
    let separator = "\n";
    for (const name of (await files.list(folder)) ?? []) {
      for await (const event of readTrace(join(folder, name))) {
        const { ts } = event;
        const shifted =
          ts === undefined ? event : { ...event, ts: ts - Math.round(1000 * begunMs) };
        text += separator + JSON.stringify(shifted);
        separator = ",\n";
        if (text.length < 1 << 16) continue;
        await file.write(Buffer.from(text));
        text = "";
      }
    }
    await file.write(Buffer.from(`${text}\n]}\n`));
  } finally {
    await file.close();
  }
}

async function bytesOf(path: string, files: Files): Promise<number> {
  const file = await files.openFile(path).catch(() => null);
  if (file === null) return 0;
  await file.close();
  return file.bytes;
}
