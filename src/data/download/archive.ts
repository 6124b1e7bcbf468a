/**
 * The files of a data set on this machine: found in the user's data folder, else in the cache
 * folder, else fetched. The user's own files may be others than the official ones (smaller, say);
 * a file that claims to be official by its size must be. What is in the cache is always verified.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { PacelineError } from "../../errors.js";
import { dataError, sumOfContent, unpackedBytes, unreadable } from "../../store/file-content.js";
import { isRemote, withoutSecret } from "../../store/remote/remote-store.js";
import { errnoOf, reasonOf } from "../../system-reason.js";
import { demandDataFolder, isLocalFolder } from "../data-folder.js";
import { fetchFiles } from "./fetch-files.js";
import { placeSource, type Source } from "./sources.js";

/** An official file: its name, and size and MD5 of its unpacked content. */
export interface OfficialFile {
  readonly name: string;
  readonly md5: string;
  readonly bytes: number;
}

/** A data set's files, the folder they stand in, and where they can be had. */
export interface FileArchive {
  readonly folder: string;
  /** Other names that the folder has where the official archive was unpacked by hand. */
  readonly otherFolders?: readonly string[];
  readonly files: readonly OfficialFile[];
  readonly sources: readonly Source[];
}

/** Where to look and whom to tell. */
export interface ArchiveOptions {
  /**
   * The user's folder of data sets, or a `https://`, `http://` or `s3://` URL of one:
   * `<dataDir>/<folder>/<file>`, plain or with `.gz`.
   */
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

/**
 * Finds the files without fetching; null when they are in neither folder.
 * @throws PacelineError "usage" where the user's folder is not there.
 */
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
  if (own !== null) {
    for (const file of archive.files) await checkOwn(own.get(file.name) as string, file);
    return own;
  }
  const { cacheDir, dataDir, log = () => {} } = options;
  const label = archive.folder;
  if (cacheDir == null) {
    const message = `${label} is not in ${dataDir ?? "a data folder"}`;
    throw new PacelineError("data", `${message}; give --data-dir or a cache folder to fetch to`);
  }
  const folder = join(cacheDir, archive.folder);
  if (isLocalFolder(dataDir)) log(`${label} is not in ${dataDir}: ${folder} is used`);
  const missing: OfficialFile[] = [];
  for (const file of archive.files) {
    const verdict = await verifyFile(join(folder, file.name), file);
    if (verdict !== null) missing.push(file);
    if (verdict !== null && verdict !== "is missing") log(`${label}: ${verdict}`);
  }
  if (missing.length > 0) {
    const place = dataDir != null && isRemote(dataDir) ? dataDir : null;
    const sources =
      options.sources ?? (place === null ? archive.sources : [placeSource(place, label)]);
    const wanted = missing.map((file) => ({ ...file, bytesMax: file.bytes }));
    const own = `put the files in <data-dir>/${label} and give --data-dir`;
    const remedy =
      place === null ? own : `put the files in ${withoutSecret(place)}, below ${label}/`;
    await fetchFiles({ label, folder, wanted, sources, log, remedy });
  }
  return new Map(archive.files.map(({ name }) => [name, join(folder, name)]));
}

/** Checks size and MD5 of a file's content, plain or gzipped: null when right, else the fault. */
export async function verifyFile(path: string, file: OfficialFile): Promise<string | null> {
  try {
    if (!(await exists(path))) return "is missing";
    const bytes = await unpackedBytes(path);
    if (bytes !== file.bytes) return `${path} has ${bytes} bytes, not ${file.bytes}`;
    const { md5 } = await sumOfContent(path);
    return md5 === file.md5 ? null : `${path} has MD5 ${md5}, not ${file.md5}`;
  } catch (thrown) {
    return reasonOf(thrown);
  }
}

/** What is on this machine of an archive. */
export interface ArchiveInspection {
  /** Where its files are, or would be kept; null without a folder to keep them in. */
  readonly folder: string | null;
  /** They are the user's own, not in the cache. */
  readonly isOwn: boolean;
  /** One of each official file. */
  readonly files: readonly InspectedFile[];
}

/** What was found of one file. */
export interface InspectedFile {
  readonly name: string;
  /** Null when the file is not here. */
  readonly path: string | null;
  /** Size on the disk. */
  readonly bytes: number;
}

/** Looks which files are here, in the user's folder or else in the cache, complete or not. */
export async function inspectArchive(
  archive: FileArchive,
  { dataDir, cacheDir }: ArchiveOptions,
): Promise<ArchiveInspection> {
  await demandDataFolder(dataDir);
  const own = isLocalFolder(dataDir) ? await lookOwn(archive, dataDir) : null;
  const cached = cacheDir == null ? null : join(cacheDir, archive.folder);
  const isOwn = own !== null && own.paths.size > 0;
  const folder = isOwn ? own.folder : cached;
  const paths = folder === null ? new Map() : (await look(archive, folder)).paths;
  const files = archive.files.map(async ({ name }) => {
    const path: string | null = paths.get(name) ?? null;
    return { name, path, bytes: path === null ? 0 : (await stat(path)).size };
  });
  return { folder, isOwn, files: await Promise.all(files) };
}

async function locateOwn(
  archive: FileArchive,
  { dataDir }: ArchiveOptions,
): Promise<FilePaths | null> {
  if (!isLocalFolder(dataDir)) return null;
  await demandDataFolder(dataDir);
  const { folder, paths, absent } = await lookOwn(archive, dataDir);
  if (paths.size === 0) return null;
  if (absent.length > 0) {
    throw dataError(
      folder,
      `lacks ${absent.join(", ")} (plain or .gz); add it or empty the folder`,
    );
  }
  return paths;
}

/** The first of the folder's names that has any of the files. */
async function lookOwn(archive: FileArchive, dataDir: string) {
  for (const name of [archive.folder, ...(archive.otherFolders ?? [])]) {
    const folder = join(dataDir, name);
    const found = await look(archive, folder);
    if (found.paths.size > 0) return { folder, ...found };
  }
  return { folder: join(dataDir, archive.folder), paths: new Map<string, string>(), absent: [] };
}

/** A file of the official size with other content is a damaged one. */
async function checkOwn(path: string, file: OfficialFile): Promise<void> {
  if ((await unpackedBytes(path)) !== file.bytes) return;
  const { md5 } = await sumOfContent(path);
  if (md5 === file.md5) return;
  const finding = `has the official size but MD5 ${md5}, not ${file.md5}`;
  throw dataError(path, `${finding}; it is damaged: remove it and fetch it again`);
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

/** One that is there and may not be looked at is not taken for one that is not there. */
async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(cause))) return false;
    throw unreadable(path, cause);
  }
}
