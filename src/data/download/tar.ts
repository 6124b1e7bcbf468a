/**
 * The regular files of a tar archive as it streams by, so that an archive of any size passes
 * through little memory. tar-stream reads the headers; what it lets pass, an archive that ends
 * without its closing block, is refused here. Folders, links and devices are passed over.
 */
import type { Extract } from "tar-stream";
import { PacelineError } from "../../errors.js";
import { reasonOf } from "../../system-reason.js";

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
  const { extract } = await import("tar-stream");
  const unpacker = extract({ allowUnknownFormat: true });
  const passed: Passed = { bytes: 0, zeros: 0, failure: null };
  const passing = pass(archive, unpacker, passed);
  const fault = (cause: unknown, place: string) => {
    // What is wrong with the stream itself is the stream's to say.
    if (cause === passed.failure) return cause;
    const isCut = reasonOf(cause) === "Unexpected end of data";
    return broken(isCut ? `ends ${place}` : `can't be read (${reasonOf(cause)})`, cause);
  };
  try {
    for await (const entry of unpacker) {
      const { name: path, size: bytes = 0, type } = entry.header;
      const pieces = entry[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
      const next = () =>
        pieces.next().catch((cause: unknown) => {
          throw fault(cause, `inside ${path}`);
        });
      if (type === "file") yield { path, bytes, content: restOf(next) };
      for await (const _ of restOf(next));
    }
  } catch (cause) {
    throw cause instanceof PacelineError ? cause : fault(cause, "within a header");
  } finally {
    unpacker.destroy();
    await passing;
  }
  if (passed.zeros >= blockBytes) return;
  throw broken(`ends at byte ${passed.bytes} without its closing block`);
}

/** What passed to an unpacker. */
interface Passed {
  bytes: number;
  /** How many of the last bytes are zeros. */
  zeros: number;
  /** What the archive's own stream ended with. */
  failure: unknown;
}

/** Passes the archive to the unpacker until either ends. */
async function pass(
  archive: AsyncIterable<Uint8Array>,
  unpacker: Extract,
  passed: Passed,
): Promise<void> {
  const closed = new Promise<void>((resolve) => unpacker.once("close", resolve));
  try {
    for await (const piece of archive) {
      if (unpacker.destroyed) return;
      const last = piece.findLastIndex((byte) => byte !== 0);
      passed.bytes += piece.length;
      passed.zeros = last < 0 ? passed.zeros + piece.length : piece.length - 1 - last;
      const drained = new Promise<void>((resolve) => unpacker.once("drain", resolve));
      if (!unpacker.write(piece)) await Promise.race([drained, closed]);
    }
    unpacker.end();
  } catch (thrown) {
    passed.failure = thrown;
    unpacker.destroy(thrown as Error);
  }
}

/** What has yet to come; a reader that stops early leaves the rest of it there. */
async function* restOf(
  next: () => Promise<IteratorResult<Uint8Array>>,
): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { value, done } = await next();
    if (done) return;
    yield value;
  }
}

function broken(finding: string, cause?: unknown): PacelineError {
  return new PacelineError("data", `tar archive ${finding}; fetch it again`, { cause });
}
