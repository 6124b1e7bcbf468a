/**
 * Reads the regular files of a tar archive held in memory, as npm packs its packages: 512-byte
 * headers (POSIX ustar) with an octal size and a checksum, contents padded to 512 bytes. Other
 * entries (folders, links, extended headers) are passed over.
 */
import { PacelineError } from "../errors.js";

const blockBytes = 512;

/** One regular file; `bytes` is a view into the archive. */
export interface TarFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Yields the files in order. Throws "data" for a broken header or a truncated file. */
export function* readTar(archive: Uint8Array): Generator<TarFile> {
  let offset = 0;
  while (offset + blockBytes <= archive.length) {
    const header = archive.subarray(offset, offset + blockBytes);
    if (header.every((byte) => byte === 0)) return;
    checkHeader(header, offset);
    const size = octal(header, 124, 12);
    const start = offset + blockBytes;
    if (!(start + size <= archive.length)) {
      const message = `tar archive ends inside ${text(header, 0, 100)}; fetch it again`;
      throw new PacelineError("data", message);
    }
    const kind = header[156];
    if (kind === 0 || kind === 0x30) {
      yield { path: pathOf(header), bytes: archive.subarray(start, start + size) };
    }
    offset = start + Math.ceil(size / blockBytes) * blockBytes;
  }
}

function checkHeader(header: Uint8Array, offset: number): void {
  let sum = 0;
  for (let index = 0; index < blockBytes; index++) {
    const inChecksum = index >= 148 && index < 156;
    sum += inChecksum ? 0x20 : (header[index] as number);
  }
  const stored = octal(header, 148, 8);
  if (sum !== stored) {
    const message = `tar header at byte ${offset} has checksum ${stored} where ${sum} is right`;
    throw new PacelineError("data", `${message}; fetch it again`);
  }
}

function pathOf(header: Uint8Array): string {
  const name = text(header, 0, 100);
  const isUstar = text(header, 257, 5) === "ustar";
  const prefix = isUstar ? text(header, 345, 155) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

function octal(header: Uint8Array, start: number, length: number): number {
  const digits = text(header, start, length).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

function text(header: Uint8Array, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString("utf8");
}
