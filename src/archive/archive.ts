/**
 * The files of a data set on disk: found in the user's data folder, else in the cache folder, else
 * fetched from the first source that delivers them. What is fetched is verified by MD5 before it
 * takes its name, so a reader sees a whole, right file or none, also when several processes fetch
 * at once.
 */
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { PacelineError } from "../errors.js";
import { dataError, messageOf, readUnpacked } from "./file-content.js";
import type { DeliveredFile, Source, WantedFile } from "./sources.js";

/** A scratch folder that nobody has touched for this long belongs to a process that died. */
const scratchAgeMs = 3_600_000;
const scratchPrefix = ".fetching-";

/** A data set's files, the folder they stand in, and where they can be had. */
export interface FileArchive {
  readonly folder: string;
  readonly files: readonly WantedFile[];
  readonly sources: readonly Source[];
}

/** Where to look and whom to tell. */
export interface ArchiveOptions {
  /** The user's folder of data sets: `<dataDir>/<folder>/<file>`, plain or with `.gz`. */
  readonly dataDir?: string | null | undefined;
  /** The folder that fetched files are kept in, laid out likewise. */
  readonly cacheDir?: string | null | undefined;
  /** Takes one line of progress. */
  readonly log?: ((line: string) => void) | undefined;
  /** Replaces the data set's own sources. */
  readonly sources?: readonly Source[] | undefined;
}

/** Path of each file by its official name. */
export type FilePaths = ReadonlyMap<string, string>;

/** Finds the files without fetching; null when they are in neither folder. */
export async function locateArchive(
  archive: FileArchive,
  options: ArchiveOptions,
): Promise<FilePaths | null> {
  return (await locateOwn(archive, options)) ?? (await locateCached(archive, options));
}

/** Finds or fetches the files. A broken file in the cache folder is fetched again. */
export async function ensureArchive(
  archive: FileArchive,
  options: ArchiveOptions,
): Promise<FilePaths> {
  const own = await locateOwn(archive, options);
  if (own !== null) return own;
  const { cacheDir, log = () => {} } = options;
  if (cacheDir == null) {
    const message = `${archive.folder} is not in ${options.dataDir ?? "a data folder"}`;
    throw new PacelineError("data", `${message}; give --data-dir or a cache folder to fetch to`);
  }
  const folder = join(cacheDir, archive.folder);
  const missing: WantedFile[] = [];
  for (const file of archive.files) {
    const verdict = await verifyFile(join(folder, file.name), file);
    if (verdict !== null) missing.push(file);
    if (verdict !== null && verdict !== "is missing") log(`${archive.folder}: ${verdict}`);
  }
  if (missing.length > 0) await fetchMissing(archive, missing, folder, options);
  return new Map(archive.files.map(({ name }) => [name, join(folder, name)]));
}

/** Checks size and MD5 of an unpacked file: null when right, else what is wrong. */
export async function verifyFile(path: string, file: WantedFile): Promise<string | null> {
  if (!(await exists(path))) return "is missing";
  const found = await stat(path);
  if (found.size !== file.bytes) return `${path} has ${found.size} bytes, not ${file.bytes}`;
  return verdictOn(await readUnpacked(path), file, path);
}

async function locateOwn(
  archive: FileArchive,
  { dataDir }: ArchiveOptions,
): Promise<FilePaths | null> {
  if (dataDir == null) return null;
  const folder = join(dataDir, archive.folder);
  const { paths, absent } = await look(archive, folder);
  if (paths.size === 0) return null;
  if (absent.length > 0) {
    throw dataError(
      folder,
      `lacks ${absent.join(", ")} (plain or .gz); add it or empty the folder`,
    );
  }
  return paths;
}

async function locateCached(
  archive: FileArchive,
  { cacheDir }: ArchiveOptions,
): Promise<FilePaths | null> {
  if (cacheDir == null) return null;
  const { paths, absent } = await look(archive, join(cacheDir, archive.folder));
  return absent.length === 0 ? paths : null;
}

async function look(
  archive: FileArchive,
  folder: string,
): Promise<{ paths: Map<string, string>; absent: string[] }> {
  const paths = new Map<string, string>();
  const absent: string[] = [];
  for (const { name } of archive.files) {
    const plain = join(folder, name);
    if (await exists(plain)) paths.set(name, plain);
    else if (await exists(`${plain}.gz`)) paths.set(name, `${plain}.gz`);
    else absent.push(name);
  }
  return { paths, absent };
}

async function fetchMissing(
  archive: FileArchive,
  missing: readonly WantedFile[],
  folder: string,
  options: ArchiveOptions,
): Promise<void> {
  const { log = () => {}, sources = archive.sources } = options;
  let wanted = missing;
  const failures: string[] = [];
  const scratch = await makeScratch(folder);
  try {
    for (const [index, source] of sources.entries()) {
      if (source.isAvailable?.() === false) continue;
      const sourceScratch = join(scratch, String(index));
      await mkdir(sourceScratch);
      log(`${archive.folder}: fetching ${describe(wanted)} from ${source.name}`);
      const got = new Set<string>();
      try {
        for await (const delivered of source.fetch(wanted, sourceScratch)) {
          await keep(delivered, wanted, scratch, folder);
          got.add(delivered.name);
        }
      } catch (cause) {
        if (cause instanceof PacelineError && cause.code === "storage") throw cause;
        failures.push(`${source.name}: ${messageOf(cause)}`);
      }
      wanted = wanted.filter(({ name }) => !got.has(name));
      if (wanted.length === 0) {
        log(`${archive.folder}: complete in ${folder}`);
        return;
      }
      log(`${archive.folder}: ${failures.at(-1) ?? `${source.name} lacks ${describe(wanted)}`}`);
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  const whole = wanted.length === archive.files.length;
  const names = whole ? archive.folder : wanted.map(({ name }) => name).join(", ");
  const told = failures.length > 0 ? ` (${failures.join("; ")})` : "";
  const remedy = `put the files in <data-dir>/${archive.folder} and give --data-dir`;
  throw new PacelineError("data", `no source gave ${names}${told}; ${remedy}`, {
    details: { failures },
  });
}

async function keep(
  delivered: DeliveredFile,
  wanted: readonly WantedFile[],
  scratch: string,
  folder: string,
): Promise<void> {
  const { name, bytes } = delivered;
  const file = wanted.find((candidate) => candidate.name === name);
  if (file === undefined)
    throw new PacelineError("data", `it gave ${name}, which nobody asked for`);
  const verdict = verdictOn(bytes, file, name);
  if (verdict !== null) throw new PacelineError("data", verdict);
  const aside = join(scratch, name);
  const path = join(folder, name);
  try {
    const handle = await open(aside, "w");
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, path);
  } catch (cause) {
    const remedy = "free space or choose another cache folder";
    throw new PacelineError("storage", `can't write ${path} (${messageOf(cause)}); ${remedy}`, {
      cause,
    });
  }
}

function verdictOn(bytes: Uint8Array, file: WantedFile, path: string): string | null {
  if (bytes.length !== file.bytes) return `${path} has ${bytes.length} bytes, not ${file.bytes}`;
  const md5 = createHash("md5").update(bytes).digest("hex");
  return md5 === file.md5 ? null : `${path} has MD5 ${md5}, not ${file.md5}`;
}

async function makeScratch(folder: string): Promise<string> {
  try {
    await mkdir(folder, { recursive: true });
    for (const name of await readdir(folder)) {
      if (name.startsWith(scratchPrefix)) await removeIfOld(join(folder, name));
    }
    return await mkdtemp(join(folder, scratchPrefix));
  } catch (cause) {
    const remedy = "choose a writable cache folder or give --data-dir";
    const message = `can't use ${folder} to keep data (${messageOf(cause)}); ${remedy}`;
    throw new PacelineError("storage", message, { cause });
  }
}

async function removeIfOld(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null || Date.now() - found.mtimeMs < scratchAgeMs) return;
  await rm(path, { recursive: true, force: true });
}

function describe(files: readonly WantedFile[]): string {
  const megabytes = files.reduce((sum, file) => sum + file.bytes, 0) / 1e6;
  return `${files.length} file${files.length === 1 ? "" : "s"} (${megabytes.toFixed(1)} MB)`;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
