/**
 * Unpacks gzip as `zcat` does: all members of a file, one after the other; what follows them and
 * does not begin as a member, such as the zeros of a tape's last block, is left out. The platform's
 * own stream refuses the latter together with the good bytes before it, so members are told apart
 * here (RFC 1952) and the platform inflates what lies within each.
 */
import { createInflateRaw } from "node:zlib";

const magic = [0x1f, 0x8b];
const deflate = 8;
const headBytes = 10;
const trailerBytes = 8;
/** Bits of a member's flags: what else its head holds. */
const flag = { headerSum: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 };

/** Whether bytes begin as gzip does. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === magic[0] && bytes[1] === magic[1];
}

/**
 * The unpacked bytes of a gzip file that streams by.
 * @param chunkBytes the most that comes at once.
 * @throws Error with a few words where a member is cut or damaged.
 */
export async function* gunzipMembers(
  packed: AsyncIterable<Uint8Array>,
  chunkBytes: number,
): AsyncGenerator<Uint8Array> {
  const input = new ByteReader(packed);
  try {
    do {
      await skipHead(input);
      let [sum, size] = [0, 0];
      for await (const piece of inflateMember(input, chunkBytes)) {
        sum = crc32(piece, sum);
        size = (size + piece.length) >>> 0;
        yield piece;
      }
      const trailer = await input.take(trailerBytes);
      if (trailer.readUInt32LE(0) !== sum) throw new Error("its checksum is not that of its bytes");
      if (trailer.readUInt32LE(4) !== size) throw new Error("its size is not that of its bytes");
    } while (await beginsMember(input));
  } finally {
    await input.close();
  }
}

async function beginsMember(input: ByteReader): Promise<boolean> {
  const [first] = (await input.peek(1)) ?? [];
  if (first !== magic[0]) return false;
  const start = await input.peek(2);
  // One byte of a head is a head that is cut.
  return start === null || isGzip(start);
}

async function skipHead(input: ByteReader): Promise<void> {
  const head = await input.take(headBytes);
  const flags = head[3] as number;
  if (!isGzip(head)) throw new Error("it does not start with a gzip header");
  if (head[2] !== deflate) throw new Error(`its method ${head[2]} is unknown`);
  if ((flags & flag.reserved) !== 0) throw new Error("its header has unknown flags");
  if ((flags & flag.extra) !== 0) await input.take((await input.take(2)).readUInt16LE(0));
  for (const text of [flag.name, flag.comment]) {
    if ((flags & text) === 0) continue;
    while ((await input.take(1))[0] !== 0);
  }
  if ((flags & flag.headerSum) !== 0) await input.take(2);
}

/** Inflates up to the member's end and gives back to the input what lies behind it. */
async function* inflateMember(input: ByteReader, chunkSize: number): AsyncGenerator<Buffer> {
  const engine = createInflateRaw({ chunkSize });
  const out: Buffer[] = [];
  let isOver = false;
  let failure: Error | null = null;
  let wake = () => {};
  engine.on("data", (piece: Buffer) => out.push(piece));
  engine.on("error", (error) => {
    failure = error;
    wake();
  });
  engine.on("end", () => {
    isOver = true;
    wake();
  });
  const step = async (act: (done: () => void) => void) => {
    await new Promise<void>((resolve) => {
      wake = resolve;
      act(resolve);
    });
    if (failure !== null) throw failure;
  };
  try {
    let given = 0;
    while (!isOver) {
      const piece = await input.some();
      given += piece?.length ?? 0;
      // The stream says that a piece is done with, or, where bytes are left of it, that it ends.
      if (piece !== null) await step((done) => engine.write(piece, done));
      else await step(() => engine.end());
      yield* out.splice(0);
      if (isOver && piece !== null) input.giveBack(piece, given - engine.bytesWritten);
    }
  } finally {
    engine.destroy();
  }
}

/** Cuts a stream of pieces of any size into what is asked for. */
class ByteReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#pieces = source[Symbol.asyncIterator]();
  }

  /** The next bytes without taking them; null where fewer are left. */
  async peek(count: number): Promise<Uint8Array | null> {
    while (this.#rest.length < count) {
      const { value, done } = await this.#pieces.next();
      if (done) return null;
      this.#rest = this.#rest.length === 0 ? value : Buffer.concat([this.#rest, value]);
    }
    return this.#rest.subarray(0, count);
  }

  /** Exactly `count` bytes. */
  async take(count: number): Promise<Buffer> {
    const bytes = await this.peek(count);
    if (bytes === null) throw new Error("unexpected end of file");
    this.#rest = this.#rest.subarray(count);
    return Buffer.from(bytes);
  }

  /** What comes next, as it comes; null at the end. */
  async some(): Promise<Uint8Array | null> {
    if ((await this.peek(1)) === null) return null;
    const piece = this.#rest;
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  /** The last `count` bytes of what `some` gave last come again. */
  giveBack(piece: Uint8Array, count: number): void {
    this.#rest = piece.subarray(piece.length - count);
  }

  /** Lets go of the stream, whose rest nobody reads. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let word = byte;
  for (let bit = 0; bit < 8; bit++) word = word & 1 ? (word >>> 1) ^ 0xedb88320 : word >>> 1;
  return word;
});

/** The CRC-32 of more bytes behind those that have the sum `before`. */
function crc32(bytes: Uint8Array, before: number): number {
  let word = ~before;
  for (let at = 0; at < bytes.length; at++) {
    word = (crcTable[(word ^ (bytes[at] as number)) & 0xff] as number) ^ (word >>> 8);
  }
  return ~word >>> 0;
}
