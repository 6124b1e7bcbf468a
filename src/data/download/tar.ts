/**
 * Reads the regular files of a tar archive as it streams by, so that an archive of any size passes
 * through little memory: 512-byte headers (POSIX ustar) with an octal size and a checksum, contents
 * padded to 512 bytes. Other entries (folders, links, extended headers) are passed over.
 */
import { PacelineError } from "../../errors.js";

const blockBytes = 512;

/** One regular file. `content` is read before the next file is asked for, or not at all. */
export interface TarFile {
  readonly path: string;
  readonly bytes: number;
  readonly content: AsyncIterable<Uint8Array>;
}

/**
 * Yields the files in order. Throws "data" for a broken header, for a file that is cut and for an
 * archive that ends without its closing block.
 */
export async function* readTar(archive: AsyncIterable<Uint8Array>): AsyncGenerator<TarFile> {
  const input = new BlockReader(archive);
  try {
    for (;;) {
      const at = input.position;
      const header = await input.take(blockBytes);
      if (header === null) throw broken(`ends at byte ${at} without its closing block`);
      if (header.every((byte) => byte === 0)) return;
      checkHeader(header, at);
      const bytes = octal(header, 124, 12);
      if (!Number.isSafeInteger(bytes)) throw broken(`has a file of no size at byte ${at}`);
      const path = pathOf(header);
      const end = input.position + bytes;
      const kind = header[156];
      if (kind === 0 || kind === 0x30) yield { path, bytes, content: input.upTo(end, path) };
      await input.skip(end + ((blockBytes - (bytes % blockBytes)) % blockBytes), path);
    }
  } finally {
    await input.close();
  }
}

/** Cuts a stream of pieces of any size into what is asked for. */
class BlockReader {
  /** Bytes taken so far. */
  position = 0;
  readonly #pieces: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(archive: AsyncIterable<Uint8Array>) {
    this.#pieces = archive[Symbol.asyncIterator]();
  }

  /** Exactly `bytes` bytes, or null where the stream ends before. */
  async take(bytes: number): Promise<Uint8Array | null> {
    const block = new Uint8Array(bytes);
    let filled = 0;
    while (filled < bytes) {
      const piece = await this.#some(bytes - filled);
      if (piece === null) return null;
      block.set(piece, filled);
      filled += piece.length;
    }
    return block;
  }

  /** The bytes up to a position, in pieces as they come; `path` is named where they are cut. */
  async *upTo(end: number, path: string): AsyncGenerator<Uint8Array> {
    while (this.position < end) {
      const piece = await this.#some(end - this.position);
      if (piece === null) throw broken(`ends inside ${path}`);
      yield piece;
    }
  }

  /** Passes over everything up to a position. */
  async skip(end: number, path: string): Promise<void> {
    for await (const _ of this.upTo(end, path));
  }

  /** Lets go of the stream, whose rest nobody reads. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  /** The next bytes, at most so many; null at the end of the stream. */
  async #some(bytesMax: number): Promise<Uint8Array | null> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#pieces.next();
      if (done) return null;
      this.#rest = value;
    }
    const piece = this.#rest.subarray(0, bytesMax);
    this.#rest = this.#rest.subarray(piece.length);
    this.position += piece.length;
    return piece;
  }
}

function checkHeader(header: Uint8Array, position: number): void {
  let sum = 0;
  for (let index = 0; index < blockBytes; index++) {
    const inChecksum = index >= 148 && index < 156;
    sum += inChecksum ? 0x20 : (header[index] as number);
  }
  const stored = octal(header, 148, 8);
  if (sum !== stored) {
    throw broken(`has checksum ${stored} in its header at byte ${position} where ${sum} is right`);
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

function broken(finding: string): PacelineError {
  return new PacelineError("data", `tar archive ${finding}; fetch it again`);
}
