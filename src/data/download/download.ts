/**
 * Brings one file of a remote store into a part file, from where an earlier try stopped. A
 * connection that breaks after some bytes is opened again at the place where it broke; a store that
 * is silent, pauses, or sends more than the file may have is given up.
 */
import { PacelineError } from "../../errors.js";
import { type OpenedFile, type RemoteStore, unavailable } from "../../store/remote/remote-store.js";
import type { PartFile } from "./part-file.js";

/** How long a store may take to answer at all. */
const answerTimeoutMs = 4_000;
/** How long it may pause within a file. */
const pauseTimeoutMs = 15_000;
/** How often a connection may break after it brought some bytes. */
const breaksMax = 5;
const linesIntervalMs = 1_000;

/** How patient to be. */
export interface DownloadLimits {
  readonly answerTimeoutMs?: number;
  readonly pauseTimeoutMs?: number;
}

/** What to fetch. */
export interface DownloadRequest {
  readonly store: RemoteStore;
  readonly path: string;
  /** No right file of this name is larger. */
  readonly bytesMax: number;
  readonly limits?: DownloadLimits | undefined;
  readonly log: (line: string) => void;
}

/** Fills the part. False when the store has no such file. */
export async function download(request: DownloadRequest, part: PartFile): Promise<boolean> {
  for (let breaks = 0; ; breaks++) {
    const before = part.bytes;
    try {
      return await attempt(request, part);
    } catch (cause) {
      const mayGoOn = part.bytes > before && breaks < breaksMax;
      const isBreak = cause instanceof PacelineError && cause.code === "unavailable";
      if (!mayGoOn || !isBreak) throw cause;
      request.log(`${cause.message} at ${inMegabytes(part.bytes)}; continuing from there`);
    }
  }
}

async function attempt(request: DownloadRequest, part: PartFile): Promise<boolean> {
  const { store, path, bytesMax, limits, log } = request;
  const answerMs = limits?.answerTimeoutMs ?? answerTimeoutMs;
  const pauseMs = limits?.pauseTimeoutMs ?? pauseTimeoutMs;
  const abort = new AbortController();
  const giveUp = (what: string) => () => abort.abort(unavailable(`${path} ${what}`));
  let timer = setTimeout(giveUp(`did not answer within ${answerMs} ms`), answerMs);
  try {
    const { validator } = part;
    const opened = await store.open({ path, from: part.bytes, validator, signal: abort.signal });
    if (opened === null) return false;
    await begin(opened, part, request);
    const lines = new ProgressLines(path, opened.totalBytes, part.bytes, performance.now());
    for await (const piece of opened.content) {
      clearTimeout(timer);
      if (part.bytes + piece.length > bytesMax) throw tooLarge(path, bytesMax);
      await part.append(piece);
      const line = lines.next(part.bytes, performance.now());
      if (line !== null) log(line);
      timer = setTimeout(giveUp(`paused for ${pauseMs} ms`), pauseMs);
    }
    const { totalBytes } = opened;
    if (totalBytes !== null && part.bytes < totalBytes) {
      throw unavailable(`${path} broke off (${part.bytes} of ${totalBytes} bytes arrived)`);
    }
    return true;
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

async function begin(opened: OpenedFile, part: PartFile, request: DownloadRequest): Promise<void> {
  const { path, bytesMax, log } = request;
  if ((opened.totalBytes ?? 0) > bytesMax) throw tooLarge(path, bytesMax);
  if (opened.offset > 0) {
    log(`${path}: continuing from ${inMegabytes(opened.offset)}`);
    return;
  }
  if (part.bytes > 0) log(`${path}: starting over, as the server does not resume downloads`);
  await part.restart(opened.validator);
}

/** One line of progress a second at most. */
export class ProgressLines {
  #toldBytes: number;
  #toldMs: number;

  constructor(
    readonly path: string,
    readonly totalBytes: number | null,
    startBytes: number,
    nowMs: number,
  ) {
    this.#toldBytes = startBytes;
    this.#toldMs = nowMs;
  }

  /** The line that is due, else null. */
  next(bytes: number, nowMs: number): string | null {
    const elapsedMs = nowMs - this.#toldMs;
    if (elapsedMs < linesIntervalMs) return null;
    const rate = inMegabytes(((bytes - this.#toldBytes) * 1000) / elapsedMs);
    this.#toldBytes = bytes;
    this.#toldMs = nowMs;
    const whole = this.totalBytes === null ? "" : ` of ${inMegabytes(this.totalBytes)}`;
    return `${this.path}: ${inMegabytes(bytes)}${whole}, ${rate}/s`;
  }
}

/** Bytes as people read them. */
export function inMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function tooLarge(path: string, bytesMax: number): PacelineError {
  return new PacelineError("data", `${path} is larger than ${bytesMax} bytes`);
}
