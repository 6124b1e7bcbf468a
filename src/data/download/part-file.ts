/**
 * A download that is on its way: the bytes that came, and what the server said of the file they
 * are from. Both stand in a folder, so that one rename hands them over together.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { storageError } from "../../store/file-content.js";

const contentName = "content";
const factsName = "facts.json";

interface Facts {
  readonly validator: string | null;
}

/** The part of one file. Failures to write are "storage" errors. */
export class PartFile {
  readonly folder: string;
  /** Bytes that are here. */
  bytes: number;
  /** What the server said that the bytes belong to; null when it said nothing. */
  validator: string | null;
  readonly #handle: FileHandle;
  #isEmpty: boolean;

  private constructor(folder: string, handle: FileHandle, sizeBytes: number, facts: Facts | null) {
    this.folder = folder;
    this.#handle = handle;
    this.#isEmpty = sizeBytes === 0;
    // Bytes of which nothing is told may be from anything.
    this.bytes = facts === null ? 0 : sizeBytes;
    this.validator = facts?.validator ?? null;
  }

  /** Opens what the folder holds; an empty folder is an empty part. */
  static async open(folder: string): Promise<PartFile> {
    const path = join(folder, contentName);
    try {
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT);
      const { size } = await handle.stat();
      return new PartFile(folder, handle, size, await readFacts(folder));
    } catch (cause) {
      throw storageError("write", path, cause);
    }
  }

  /** Whether a folder holds bytes to go on from. */
  static async isWorthKeeping(folder: string): Promise<boolean> {
    const found = await stat(join(folder, contentName)).catch(() => null);
    return found !== null && found.size > 0 && (await readFacts(folder)) !== null;
  }

  /** The file with the bytes. */
  get path(): string {
    return join(this.folder, contentName);
  }

  /** Forgets all bytes; those to come belong to this validator. */
  async restart(validator: string | null): Promise<void> {
    await this.#writing(async () => {
      if (!this.#isEmpty) await this.#handle.truncate(0);
      await writeFile(join(this.folder, factsName), JSON.stringify({ validator }));
    });
    this.bytes = 0;
    this.validator = validator;
  }

  /** Adds bytes at the end. */
  async append(piece: Uint8Array): Promise<void> {
    await this.#writing(async () => {
      this.#isEmpty = false;
      let done = 0;
      while (done < piece.length) {
        const left = piece.length - done;
        const { bytesWritten } = await this.#handle.write(piece, done, left, this.bytes);
        done += bytesWritten;
        this.bytes += bytesWritten;
      }
    });
  }

  /** Lets go of the file, which stays. */
  async close(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }

  /** Removes it. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #writing(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (cause) {
      throw storageError("write", this.path, cause);
    }
  }
}

async function readFacts(folder: string): Promise<Facts | null> {
  try {
    const facts: unknown = JSON.parse(await readFile(join(folder, factsName), "utf8"));
    const { validator } = facts as { validator?: unknown };
    return typeof validator === "string" || validator === null ? { validator } : null;
  } catch {
    return null;
  }
}
