/**
 * Gets files from the first sources that deliver them. Each is written aside, checked, made durable
 * and renamed, so a reader sees a whole, right file or none, also when several processes fetch at
 * once. A source that lies, breaks or lacks a file is named, and the next one is asked for what is
 * missing.
 */
import { createHash } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PacelineError } from "../../errors.js";
import { dataError, storageError } from "../../store/file-content.js";
import { makeFolders } from "../../store/folders.js";
import { reasonOf } from "../../system-reason.js";
import type { DownloadLimits } from "./download.js";
import { Scratch } from "./scratch.js";
import { type FetchTarget, placeSource, type Source, type WantedFile } from "./sources.js";

/** What to fetch and where to. */
export interface FetchRequest {
  /** What lines and errors call it. */
  readonly label: string;
  readonly folder: string;
  readonly wanted: readonly WantedFile[];
  readonly sources: readonly Source[];
  readonly log: (line: string) => void;
  /** What to do when no source has it. */
  readonly remedy: string;
}

/** A file to fetch from a place that the user named. */
export interface RemoteFile {
  /** Path below the place, with forward slashes. */
  readonly name: string;
  readonly bytesMax: number;
  /** Exact size of the unpacked content, where known. */
  readonly bytes?: number;
  /** MD5 of the unpacked content, where known. */
  readonly md5?: string;
}

/**
 * Fetches files below a `https://`, `http://` or `s3://` URL, plain or with `.gz`, into a folder.
 * What is there already is fetched again: the caller, who knows what it needs, asks for less.
 */
export async function fetchRemoteFiles(
  place: string,
  files: readonly RemoteFile[],
  options: {
    readonly folder: string;
    readonly log?: ((line: string) => void) | undefined;
    readonly limits?: DownloadLimits;
  },
): Promise<ReadonlyMap<string, string>> {
  const { folder, log = () => {}, limits = {} } = options;
  const wanted = files.map((file) => ({ bytes: null, md5: null, ...file }));
  for (const { name } of wanted) checkName(name, place);
  const remedy = "check the URL and what lies there";
  const sources = [placeSource(place, "", limits)];
  await fetchFiles({ label: "files", folder, wanted, sources, log, remedy });
  return new Map(files.map(({ name }) => [name, join(folder, name)]));
}

/** Fetches all that is wanted, or throws "data", or "storage" when it can't be kept. */
export async function fetchFiles(job: FetchRequest): Promise<void> {
  const { label, folder, sources, log } = job;
  let wanted = job.wanted;
  const failures: string[] = [];
  let isAbsent = true;
  const scratch = await Scratch.open(folder);
  const kept = new Set<string>();
  const target = targetFor(job, scratch, kept);
  try {
    for (const source of sources) {
      if (source.isAvailable?.() === false) continue;
      log(`${label}: fetching ${describe(wanted)} from ${source.name}`);
      let failure: string | null = null;
      try {
        await source.fetch(wanted, target);
      } catch (cause) {
        // No other source mends a full disk, or a URL that can't be read.
        const isOurs = cause instanceof PacelineError && ["storage", "usage"].includes(cause.code);
        if (isOurs) throw cause;
        failure = reasonOf(cause);
        isAbsent &&= isAbsence(cause);
      }
      wanted = wanted.filter(({ name }) => !kept.has(name));
      if (wanted.length === 0) {
        log(`${label}: complete in ${folder}`);
        await scratch.dropParts();
        return;
      }
      failures.push(`${source.name}: ${failure ?? `lacks ${describe(wanted)}`}`);
      log(`${label}: ${failures.at(-1)}`);
    }
  } finally {
    await scratch.close();
  }
  throw nothingGave(job, wanted, { failures, isAbsent });
}

/** Whether each source was reached, and said that it has no such file. */
export function isAbsence(thrown: unknown): boolean {
  return thrown instanceof PacelineError && thrown.details.isAbsent === true;
}

function nothingGave(
  { label, remedy, ...job }: FetchRequest,
  wanted: readonly WantedFile[],
  details: { readonly failures: readonly string[]; readonly isAbsent: boolean },
): PacelineError {
  const { failures } = details;
  const isWhole = wanted.length === job.wanted.length;
  const names = isWhole ? label : wanted.map(({ name }) => name).join(", ");
  const told = failures.length > 0 ? ` (${failures.join("; ")})` : "";
  const message = `no source gave ${names}${told}; ${remedy}`;
  return new PacelineError("data", message, { details });
}

function targetFor(job: FetchRequest, scratch: Scratch, kept: Set<string>): FetchTarget {
  const log = (line: string) => job.log(`${job.label}: ${line}`);
  return {
    scratch,
    log,
    async keep(name, content) {
      const file = job.wanted.find((candidate) => candidate.name === name);
      if (file === undefined) throw dataError(name, "is not what was asked for");
      const aside = join(scratch.path, "unpacked");
      const path = join(job.folder, name);
      try {
        await writeAside(aside, content, file);
        await taking(path, async () => {
          await makeFolders(dirname(path));
          await rename(aside, path);
        });
        kept.add(name);
      } finally {
        await rm(aside, { force: true });
      }
    },
  };
}

/** Writes and checks; what is wrong with the content is a "data" error. */
async function writeAside(
  aside: string,
  content: AsyncIterable<Uint8Array>,
  { name, bytes, bytesMax, md5 }: WantedFile,
): Promise<void> {
  const hash = createHash("md5");
  let written = 0;
  const handle = await taking(aside, () => open(aside, "w"));
  try {
    for await (const piece of content) {
      if (written + piece.length > bytesMax) {
        throw dataError(name, `has more than ${bytesMax} bytes`);
      }
      hash.update(piece);
      await taking(aside, () => handle.writeFile(piece));
      written += piece.length;
    }
    if (bytes !== null && written !== bytes) {
      throw dataError(name, `has ${written} bytes, not ${bytes}`);
    }
    const found = hash.digest("hex");
    if (md5 !== null && found !== md5) throw dataError(name, `has MD5 ${found}, not ${md5}`);
    await taking(aside, () => handle.sync());
  } finally {
    await handle.close();
  }
}

async function taking<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw storageError("write", path, cause);
  }
}

function checkName(name: string, place: string): void {
  const parts = name.split("/");
  const isInside = parts.every((part) => part !== "" && part !== "." && part !== "..");
  if (isInside && !name.includes("\\")) return;
  throw dataError(place, `names a file "${name}", which does not lie below it`);
}

function describe(files: readonly WantedFile[]): string {
  const count = `${files.length} file${files.length === 1 ? "" : "s"}`;
  const bytes = files.reduce((sum, file) => sum + (file.bytes ?? Number.NaN), 0);
  return Number.isNaN(bytes) ? count : `${count} (${(bytes / 1e6).toFixed(1)} MB)`;
}
