/** Reads a file whole, plain or gzipped, and puts what is wrong with a file into words. */
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { PacelineError } from "../errors.js";

const unpack = promisify(gunzip);

/** No file that is read whole may unpack to more than this. */
export const contentBytesMax = 1 << 30;

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

/** Whether these are the first bytes of a gzipped file. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** A "data" error about one file. */
export function dataError(path: string, finding: string, cause?: unknown): PacelineError {
  return new PacelineError("data", `${path} ${finding}`, { cause, details: { path } });
}

/** The message of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
