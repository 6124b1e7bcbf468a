/**
 * What is in a file, plain or gzipped: read whole, as a stream, or as its size and MD5; and what is
 * wrong with a file, in words.
 */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile, stat } from "node:fs/promises";
import { PacelineError } from "../errors.js";
import { errnoOf, reasonOf } from "../system-reason.js";
import { type FilePath, shownPath } from "./file-names.js";
import { gunzipMembers, isGzip } from "./gunzip.js";

/** No packed file that is read whole may hold more than this. */
export const contentBytesMax = 1 << 30;
const pieceBytes = 1 << 20;

/** Reads a plain or gzipped file and returns its unpacked bytes. */
export async function readUnpacked(path: string): Promise<Uint8Array> {
  const { isPacked } = await startOf(path);
  if (!isPacked) {
    return readFile(path).catch((cause: unknown) => {
      throw unreadable(path, cause);
    });
  }
  const pieces: Uint8Array[] = [];
  let left = contentBytesMax;
  for await (const piece of streamUnpacked(path)) {
    left -= piece.length;
    if (left < 0) {
      const finding = `unpacks to more than ${contentBytesMax} bytes`;
      throw dataError(path, `${finding}; is it another file under this name?`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/**
 * The unpacked bytes of a plain or gzipped file, piece by piece.
 * @param name what errors call it.
 */
export async function* streamUnpacked(path: string, name = path): AsyncGenerator<Uint8Array> {
  const { isPacked } = await startOf(path);
  const file = createReadStream(path, { highWaterMark: pieceBytes });
  try {
    yield* isPacked ? gunzipMembers(file, pieceBytes) : file;
  } catch (cause) {
    if (!isPacked || errnoOf(cause) !== "") throw unreadable(name, cause);
    throw dataError(name, `is corrupt gzip (${reasonOf(cause)}); fetch it again`, cause);
  }
}

/**
 * Size of a file's unpacked content. A packed one is unpacked to know it: its last bytes tell the
 * size of its last member alone.
 */
export async function unpackedBytes(path: string): Promise<number> {
  const { bytes, isPacked } = await startOf(path);
  return isPacked ? (await sumOfContent(path)).bytes : bytes;
}

/** Size and MD5, in hexadecimal, of a file's unpacked content. */
export interface ContentSum {
  readonly bytes: number;
  readonly md5: string;
}

/** What was summed in this process, by path and all that changes with a file's content. */
const knownSums = new Map<string, ContentSum>();

/** Sums a file's unpacked content, once as long as the file stays as it is. */
export async function sumOfContent(path: string): Promise<ContentSum> {
  const key = await stateOfFile(path);
  const known = knownSums.get(key);
  if (known !== undefined) return known;
  const hash = createHash("md5");
  let bytes = 0;
  for await (const piece of streamUnpacked(path)) {
    hash.update(piece);
    bytes += piece.length;
  }
  const sum = { bytes, md5: hash.digest("hex") };
  knownSums.set(key, sum);
  return sum;
}

/** The MD5 of a file as it is, in hexadecimal. */
export async function md5OfFile(path: string): Promise<string> {
  const hash = createHash("md5");
  await hashFile(path, hash);
  return hash.digest("hex");
}

async function hashFile(path: FilePath, hash: Hash): Promise<void> {
  try {
    for await (const piece of createReadStream(path, { highWaterMark: pieceBytes })) {
      hash.update(piece as Uint8Array);
    }
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** SHA-256 by the state of a file, as above. */
const knownHashes = new Map<string, string>();

/** The SHA-256 of a file as it is, in hexadecimal; once as long as the file stays as it is. */
export async function sha256OfFile(path: FilePath): Promise<string> {
  const key = await stateOfFile(path);
  const known = knownHashes.get(key);
  if (known !== undefined) return known;
  const found = await readSha256(path);
  knownHashes.set(key, found);
  return found;
}

/** The same, read anew. */
export async function readSha256(path: FilePath): Promise<string> {
  const hash = createHash("sha256");
  await hashFile(path, hash);
  return hash.digest("hex");
}

/** A text that changes when a file does: its path, number, size and times. */
export async function stateOfFile(path: FilePath): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${shownPath(path)}\0${ino}\0${size}\0${mtimeNs}\0${ctimeNs}`;
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** A "data" error about one file. */
export function dataError(path: FilePath, finding: string, cause?: unknown): PacelineError {
  const shown = shownPath(path);
  return new PacelineError("data", `${shown} ${finding}`, { cause, details: { path: shown } });
}

/** A "storage" error about a file that is kept here. */
export function storageError(verb: string, path: string, cause: unknown): PacelineError {
  const isFull = ["ENOSPC", "EDQUOT"].includes(errnoOf(cause));
  const remedy = isFull ? "free some space or choose" : "choose";
  const message = `can't ${verb} ${path} (${reasonOf(cause)}); ${remedy} another cache folder`;
  return new PacelineError("storage", message, { cause, details: { path } });
}

/** Size of a file, and whether it begins as gzip does. */
async function startOf(path: string): Promise<{ bytes: number; isPacked: boolean }> {
  try {
    const handle = await open(path);
    try {
      const { size } = await handle.stat();
      const first = Buffer.alloc(2);
      const { bytesRead } = await handle.read(first, 0, first.length, 0);
      return { bytes: size, isPacked: isGzip(first.subarray(0, bytesRead)) };
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

const readRemedies: Readonly<Record<string, string>> = {
  EACCES: "change its permissions",
  EPERM: "change its permissions",
  EIO: "check the disk, or put the file on another",
  EMFILE: "raise the limit with ulimit -n",
  ENFILE: "close some programs",
};

/** A "data" error about a file, or a folder, that the system does not give. */
export function unreadable(path: FilePath, cause: unknown): PacelineError {
  const remedy = readRemedies[errnoOf(cause)] ?? "check the path";
  return dataError(path, `can't be read (${reasonOf(cause)}); ${remedy}`, cause);
}
