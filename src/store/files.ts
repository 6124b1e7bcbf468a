/**
 * The few verbs the store needs of a disk, and the real disk behind them, or a bucket of S3 where a
 * path begins with s3://. A test puts its faults between the two with `aroundFiles`, so every
 * failing write can be tried without a failing disk.
 */
import { isUtf8 } from "node:buffer";
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { type ErrorCode, PacelineError } from "../errors.js";
import { fileError, isReplaced, removedError } from "./file-errors.js";
import { makeFolders } from "./folders.js";
import { untilDiskGoesOn } from "./held-disk.js";

/** A file opened for writing; writes land one after the other. */
export interface WritableFile {
  /**
   * Resolves when all bytes are with the operating system; they must stay as they are until then.
   */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * What was written and is only in this process as yet, until a `sync`. Left out where all that
   * was written is in the file. Where it is given, a write that fails has taken nothing, and the
   * next may follow it.
   */
  readonly unsentBytes?: number | undefined;
  /** Makes what was written durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A file opened for reading. */
export interface ReadableFile {
  /** Size when it was opened. */
  readonly bytes: number;
  /** Fills `into` from `position`; an error if the file ends before. */
  read(into: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/** A disk. Every failure is a PacelineError with code `storage`. */
export interface Files {
  /** Makes a folder and its parents; one that exists is fine. */
  makeFolder(path: string): Promise<void>;
  /** Makes a folder whose parent exists; false if something of that name exists. */
  claimFolder(path: string): Promise<boolean>;
  /** Makes a small file that must not exist; false if something of that name does. */
  claimFile(path: string, text: string): Promise<boolean>;
  /** Names in a folder that are text, sorted; null if there is no such folder. */
  list(path: string): Promise<string[] | null>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file or a whole folder; one that does not exist is fine. */
  remove(path: string): Promise<void>;
  /** Makes the names in a folder durable. */
  syncFolder(path: string): Promise<void>;
  /** Opens for writing, empty at first. */
  create(path: string): Promise<WritableFile>;
  /**
   * Opens for writing behind the first `bytes` bytes, which are kept; the rest is cut off. A write
   * to a file that somebody has removed meanwhile is an error, which `isRemoved` knows.
   */
  append(path: string, bytes: number): Promise<WritableFile>;
  openFile(path: string): Promise<ReadableFile>;
}

/** Wraps every verb, those of opened files included, in `around(verb, path, action)`. */
export function aroundFiles(
  files: Files,
  around: <T>(verb: string, path: string, action: () => Promise<T>) => Promise<T>,
): Files {
  const writable = (path: string, file: WritableFile): WritableFile => ({
    write: (bytes) => around("write", path, () => file.write(bytes)),
    get unsentBytes() {
      return file.unsentBytes;
    },
    sync: () => around("sync", path, () => file.sync()),
    close: () => around("close", path, () => file.close()),
  });
  const readable = (path: string, file: ReadableFile): ReadableFile => ({
    bytes: file.bytes,
    read: (into, position) => around("read", path, () => file.read(into, position)),
    close: () => around("close", path, () => file.close()),
  });
  return {
    makeFolder: (path) => around("make the folder", path, () => files.makeFolder(path)),
    claimFolder: (path) => around("make the folder", path, () => files.claimFolder(path)),
    claimFile: (path, text) => around("create", path, () => files.claimFile(path, text)),
    list: (path) => around("list", path, () => files.list(path)),
    rename: (from, to) => around("rename a file to", to, () => files.rename(from, to)),
    remove: (path) => around("remove", path, () => files.remove(path)),
    syncFolder: (path) => around("sync the folder", path, () => files.syncFolder(path)),
    create: async (path) => writable(path, await around("create", path, () => files.create(path))),
    append: async (path, bytes) =>
      writable(path, await around("append to", path, () => files.append(path, bytes))),
    openFile: async (path) =>
      readable(path, await around("open", path, () => files.openFile(path))),
  };
}

/** True for `s3://bucket/...`, also where joining paths has made one slash of two. */
export function isInBucket(path: string): boolean {
  return /^s3:\/{1,2}[^/]/i.test(path);
}

/** A path in full, from parts as `join` takes them; of a bucket it begins with `s3://`. */
export function wholePath(...parts: readonly string[]): string {
  const joined = join(...parts);
  return isInBucket(joined)
    ? joined.replace(/^s3:\/+/i, "s3://").replace(/\/$/, "")
    : resolve(joined);
}

/** The files of buckets: loaded when the first is used, as few runs have any. */
let buckets: Promise<Files> | null = null;

function filesAt(path: string): Files | Promise<Files> {
  if (!isInBucket(path)) return localFiles;
  buckets ??= import("./remote/s3-files.js").then(({ s3Files }) => s3Files());
  return buckets;
}

/** The real disk, and what lies behind s3://. */
export const diskFiles: Files = {
  makeFolder: async (path) => (await filesAt(path)).makeFolder(path),
  claimFolder: async (path) => (await filesAt(path)).claimFolder(path),
  claimFile: async (path, text) => (await filesAt(path)).claimFile(path, text),
  list: async (path) => (await filesAt(path)).list(path),
  rename: async (from, to) => (await filesAt(from)).rename(from, to),
  remove: async (path) => (await filesAt(path)).remove(path),
  syncFolder: async (path) => (await filesAt(path)).syncFolder(path),
  create: async (path) => (await filesAt(path)).create(path),
  append: async (path, bytes) => (await filesAt(path)).append(path, bytes),
  openFile: async (path) => (await filesAt(path)).openFile(path),
};

const localFiles: Files = aroundFiles(
  {
    makeFolder: makeFolders,
    claimFolder: async (path) => {
      try {
        await mkdir(path);
        return true;
      } catch (thrown) {
        if (isErrno(thrown, "EEXIST")) return false;
        throw thrown;
      }
    },
    claimFile: async (path, text) => {
      try {
        await writeFile(path, text, { flag: "wx" });
        return true;
      } catch (thrown) {
        if (isErrno(thrown, "EEXIST")) return false;
        // What was made and could not be filled says nothing.
        if (!isErrno(thrown, "ENOENT")) await rm(path, { force: true }).catch(() => undefined);
        throw thrown;
      }
    },
    list: async (path) => {
      try {
        // What is no text can't be named to any other verb.
        const names = await readdir(path, { encoding: "buffer" });
        return names
          .filter((name) => isUtf8(name))
          .map(String)
          .sort();
      } catch (thrown) {
        if (isErrno(thrown, "ENOENT") || isErrno(thrown, "ENOTDIR")) return null;
        throw thrown;
      }
    },
    rename,
    remove: (path) => rm(path, { recursive: true, force: true }),
    syncFolder,
    create: async (path) => writableFile(await open(path, "w")),
    append: openForAppending,
    openFile: openForReading,
  },
  async (verb, path, action) => {
    try {
      await untilDiskGoesOn();
      return await action();
    } catch (thrown) {
      throw fileError(thrown, verb, path);
    }
  },
);

/** Makes a folder and its parents, whose names a crash does not lose; one that exists is fine. */
export async function makeFolderDurably(files: Files, path: string): Promise<void> {
  if (isInBucket(path)) return files.makeFolder(path);
  const parents: string[] = [];
  for (let missing = path; (await files.list(missing)) === null; missing = dirname(missing)) {
    if (dirname(missing) === missing) break;
    parents.push(dirname(missing));
  }
  await files.makeFolder(path);
  for (const parent of parents) await files.syncFolder(parent);
}

/**
 * A name beside a file, of this writer alone. One that slept while another replaced the file so has
 * nothing of the other's in hand when it wakes.
 * @param ending "tmp" where who has the folder's lock writes, and removes what is left.
 */
export function asideOf(path: string, ending: "tmp" | "part" = "tmp"): string {
  const ownMark = randomBytes(4).toString("hex");
  return join(dirname(path), `.${basename(path)}-${ownMark}.${ending}`);
}

/** Removes what killed processes have left beside the files of a folder that is this one's now. */
export async function removeAsides(files: Files, folder: string): Promise<void> {
  for (const name of (await files.list(folder)) ?? []) {
    if (/^\..+-[0-9a-f]{8}\.tmp$/.test(name)) await files.remove(join(folder, name));
  }
}

/**
 * Replaces a small text file so that a reader or a crash meets the old text or the new, never half.
 */
export async function writeTextAtomically(files: Files, path: string, text: string): Promise<void> {
  const aside = asideOf(path);
  try {
    const file = await files.create(aside);
    try {
      await file.write(Buffer.from(text));
      await file.sync();
    } finally {
      await file.close();
    }
    await files.rename(aside, path);
  } catch (thrown) {
    await files.remove(aside).catch(() => undefined);
    throw thrown;
  }
  await files.syncFolder(dirname(path));
}

/** A file that is replaced all the time is tried so often. */
const triesMax = 10;

/**
 * Opens a file that is only appended to. In a bucket each line that is added makes another object,
 * whose first bytes are those of the one before: where it was replaced, that one is read.
 */
export async function openLog(files: Files, path: string): Promise<ReadableFile> {
  let file = await files.openFile(path);
  const read: ReadableFile["read"] = async (into, position) => {
    for (let tries = 1; ; tries++) {
      try {
        return await file.read(into, position);
      } catch (thrown) {
        if (tries === triesMax || !isReplaced(thrown)) throw thrown;
        await file.close();
        file = await files.openFile(path);
      }
    }
  };
  return { bytes: file.bytes, read, close: () => file.close() };
}

/**
 * The whole of a file that must not be larger than `bytesMax`, which is known before anything is
 * allocated; one that is larger is an error of the code given.
 */
export async function readWhole(
  files: Files,
  path: string,
  bytesMax: number,
  code: ErrorCode = "storage",
): Promise<Buffer> {
  for (let tries = 1; ; tries++) {
    try {
      return await readOnce(files, path, bytesMax, code);
    } catch (thrown) {
      // It was replaced between opening and reading.
      if (tries === triesMax || !isReplaced(thrown)) throw thrown;
    }
  }
}

async function readOnce(
  files: Files,
  path: string,
  bytesMax: number,
  code: ErrorCode,
): Promise<Buffer> {
  const file = await files.openFile(path);
  try {
    if (file.bytes > bytesMax) {
      const sizes = `${file.bytes} bytes, ${bytesMax} are allowed`;
      throw new PacelineError(code, `${path} is too large (${sizes}): check the path`);
    }
    const content = Buffer.alloc(file.bytes);
    await file.read(content, 0);
    return content;
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  // Windows can't open a folder for this; its renames are in the journal.
  if (process.platform === "win32") return;
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function openForAppending(path: string, bytes: number): Promise<WritableFile> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT);
  try {
    await handle.truncate(bytes);
    const file = writableFile(handle, bytes);
    const write = async (given: Uint8Array) => {
      await file.write(given);
      const { nlink } = await handle.stat();
      if (nlink === 0) throw removedError(path);
    };
    return { ...file, write };
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

function writableFile(handle: FileHandle, start = 0): WritableFile {
  let position = start;
  return {
    write: async (bytes) => {
      let done = 0;
      while (done < bytes.byteLength) {
        const left = bytes.byteLength - done;
        const { bytesWritten } = await handle.write(bytes, done, left, position);
        done += bytesWritten;
        position += bytesWritten;
      }
    },
    sync: () => handle.sync(),
    close: () => handle.close(),
  };
}

async function openForReading(path: string): Promise<ReadableFile> {
  const handle = await open(path, "r");
  try {
    const stat = await handle.stat();
    if (stat.isDirectory()) throw Object.assign(new Error("not a file"), { code: "EISDIR" });
    if (!stat.isFile()) {
      const sentence = `${path} is no regular file (a pipe or device)`;
      const details = { errno: "ESPIPE", path };
      throw new PacelineError("storage", `${sentence}; copy it to a file first`, { details });
    }
    return { bytes: stat.size, read: readExactly(handle, path), close: () => handle.close() };
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

function readExactly(handle: FileHandle, path: string): ReadableFile["read"] {
  return async (into, position) => {
    let done = 0;
    while (done < into.byteLength) {
      const left = into.byteLength - done;
      const { bytesRead } = await handle.read(into, done, left, position + done);
      if (bytesRead === 0) {
        const place = `byte ${position + done}`;
        throw new PacelineError(
          "storage",
          `${path} ended at ${place} while it was read: try again`,
        );
      }
      done += bytesRead;
    }
  };
}

function isErrno(thrown: unknown, code: string): boolean {
  return (thrown as { code?: unknown } | null)?.code === code;
}
