/**
 * What is in a file, plain or gzipped: read whole, as a stream, or as its size and MD5; and what is
 * wrong with a file, in words.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { pipeline } from "node:stream";
import { promisify } from "node:util";
import { createGunzip, gunzip } from "node:zlib";
import { PacelineError } from "../errors.js";

const unpack = promisify(gunzip);

/** No file that is read whole may unpack to more than this. */
export const contentBytesMax = 1 << 30;
const pieceBytes = 1 << 20;

/** Reads a plain or gzipped file and returns its unpacked bytes. */
export async function readUnpacked(path: string): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw dataError(path, `can't be read (${messageOf(cause)}); check that it exists`, cause);
  }
  if (!isGzip(bytes)) return bytes;
  try {
    return await unpack(bytes, { maxOutputLength: contentBytesMax });
  } catch (cause) {
    throw dataError(path, `is corrupt gzip (${messageOf(cause)}); fetch it again`, cause);
  }
}

/**
 * The unpacked bytes of a plain or gzipped file, piece by piece.
 * @param name what errors call it.
 */
export async function* streamUnpacked(path: string, name = path): AsyncGenerator<Uint8Array> {
  const isPacked = isGzip((await edges(path)).first);
  const file = createReadStream(path, { highWaterMark: pieceBytes });
  // Errors of both streams reach whoever iterates, so there is nothing left to do with them here.
  const stream = isPacked
    ? pipeline(file, createGunzip({ chunkSize: pieceBytes }), () => {})
    : file;
  try {
    yield* stream as AsyncIterable<Uint8Array>;
  } catch (cause) {
    const finding = isPacked ? "is corrupt gzip" : "can't be read";
    throw dataError(name, `${finding} (${messageOf(cause)}); fetch it again`, cause);
  }
}

/** Size of a file's unpacked content; of a gzipped one, as its last bytes tell it. */
export async function unpackedBytes(path: string): Promise<number> {
  const { bytes, first, last } = await edges(path);
  return isGzip(first) && bytes > last.length ? last.readUInt32LE(0) : bytes;
}

/** The MD5 of a file as it is, in hexadecimal. */
export async function md5OfFile(path: string): Promise<string> {
  const hash = createHash("md5");
  for await (const piece of createReadStream(path, { highWaterMark: pieceBytes })) {
    hash.update(piece as Uint8Array);
  }
  return hash.digest("hex");
}

/** The MD5 of a file's unpacked content, in hexadecimal. */
export async function md5OfContent(path: string): Promise<string> {
  const hash = createHash("md5");
  for await (const piece of streamUnpacked(path)) hash.update(piece);
  return hash.digest("hex");
}

/** A "data" error about one file. */
export function dataError(path: string, finding: string, cause?: unknown): PacelineError {
  return new PacelineError("data", `${path} ${finding}`, { cause, details: { path } });
}

/** A "storage" error about a file that is kept here. */
export function storageError(verb: string, path: string, cause: unknown): PacelineError {
  const isFull = ["ENOSPC", "EDQUOT"].includes((cause as NodeJS.ErrnoException)?.code ?? "");
  const reason = isFull ? "the disk is full" : messageOf(cause);
  const message = `can't ${verb} ${path} (${reason}); free space or choose another cache folder`;
  return new PacelineError("storage", message, { cause, details: { path } });
}

/** The message of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** Size, the first two and the last four bytes of a file. */
async function edges(path: string): Promise<{ bytes: number; first: Buffer; last: Buffer }> {
  try {
    const handle = await open(path);
    try {
      const { size } = await handle.stat();
      const [first, last] = [Buffer.alloc(2), Buffer.alloc(4)];
      await handle.read(first, 0, first.length, 0);
      await handle.read(last, 0, last.length, Math.max(0, size - last.length));
      return { bytes: size, first, last };
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw dataError(path, `can't be read (${messageOf(cause)}); check that it exists`, cause);
  }
}
