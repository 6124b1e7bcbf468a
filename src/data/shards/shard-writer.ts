/**
 * Writes a sharded data set example by example, holding a piece of one file at a time. Everything
 * goes to a folder aside, which takes its name when the last byte is durable: a stop at any moment
 * leaves a whole set or none.
 */
import { createHash, type Hash, randomBytes } from "node:crypto";
import { mkdir, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import { makeFolders } from "../../store/folders.js";
import { errnoOf, reasonOf } from "../../system-reason.js";
import type { ShardEntry, ShardIndex } from "./shard-form.js";
import { indexName, labelBytes, recordBytesOf, type SplitName } from "./shard-index.js";

const shardBytesWanted = 64 << 20;
const pieceBytes = 1 << 20;

/** What is known of a set before its examples are. */
export interface ShardedFacts {
  readonly classNames: readonly string[];
  /** (C, H, W) of an example. */
  readonly shape: readonly [number, number, number];
  /** Examples of each shard; as many as 64 MiB hold where null. */
  readonly shardExamples: number | null;
}

/** What is left to say when all examples are written. */
export type Normalisation = Pick<ShardIndex, "mean" | "std">;

/** The verbs of an open file. */
export interface ShardFile {
  writeFile(bytes: Uint8Array): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

interface OpenShard {
  readonly name: string;
  readonly file: ShardFile;
  readonly hash: Hash;
  readonly piece: Buffer;
  pieceRecords: number;
  examples: number;
}

/** A set that is being written. */
export class ShardWriter {
  readonly #target: string;
  readonly #aside: string;
  readonly #facts: ShardedFacts;
  readonly #create: (path: string) => Promise<ShardFile>;
  readonly #shards: Record<SplitName, ShardEntry[]> = { train: [], test: [] };
  readonly #shardExamples: number;
  readonly #recordBytes: number;
  #open: (OpenShard & { readonly split: SplitName }) | null = null;

  private constructor(
    target: string,
    aside: string,
    facts: ShardedFacts,
    create: (path: string) => Promise<ShardFile>,
  ) {
    this.#target = target;
    this.#aside = aside;
    this.#facts = facts;
    this.#create = create;
    this.#recordBytes = recordBytesOf(facts.shape);
    const fitting = Math.max(1, Math.floor(shardBytesWanted / this.#recordBytes));
    this.#shardExamples = facts.shardExamples ?? fitting;
  }

  /**
   * Begins a set.
   * @param target the folder that it will be; nothing may be there.
   * @param create opens a file for writing; for tests of failing disks.
   * @throws PacelineError `usage` when something is there, `storage` when nothing can be written.
   */
  static async begin(
    target: string,
    facts: ShardedFacts,
    create: (path: string) => Promise<ShardFile> = (path) => open(path, "wx"),
  ): Promise<ShardWriter> {
    const whole = resolve(target);
    await demandAbsent(whole);
    try {
      await makeFolders(dirname(whole));
      const name = `.${basename(whole)}.packing-${randomBytes(4).toString("hex")}`;
      const aside = join(dirname(whole), name);
      await mkdir(aside);
      return new ShardWriter(whole, aside, facts, create);
    } catch (cause) {
      throw unwritable(whole, cause);
    }
  }

  /** Adds an example to a split; the examples of a split come one after the other. */
  async add(split: SplitName, label: number, pixels: Uint8Array): Promise<void> {
    const classes = this.#facts.classNames.length;
    const valueCount = this.#recordBytes - labelBytes;
    assert(label >= 0 && label < classes, "label of a class", { label, classes });
    assert(pixels.length === valueCount, "pixels of an example", { found: pixels.length });
    if (this.#open !== null && this.#open.split !== split) await this.#closeShard();
    const shard = this.#open ?? (await this.#openShard(split));
    const start = shard.pieceRecords * this.#recordBytes;
    shard.piece.writeUInt16LE(label, start);
    shard.piece.set(pixels, start + labelBytes);
    shard.pieceRecords++;
    shard.examples++;
    if (start + 2 * this.#recordBytes > shard.piece.length) await this.#writePiece(shard);
    if (shard.examples === this.#shardExamples) await this.#closeShard();
  }

  /** Writes `dataset.json` and gives the folder its name. */
  async finish({ mean, std }: Normalisation): Promise<ShardIndex> {
    await this.#closeShard();
    const { classNames, shape } = this.#facts;
    const splitOf = (name: SplitName) => {
      const shards = this.#shards[name];
      const examples = shards.reduce((sum, shard) => sum + shard.examples, 0);
      assert(examples > 0, "examples in each split", { name });
      return { examples, shardExamples: this.#shardExamples, shards };
    };
    const index: ShardIndex = {
      format: "paceline-shards",
      version: 1,
      classes: classNames.length,
      classNames: [...classNames],
      shape: [...shape],
      mean,
      std,
      record: { bytes: this.#recordBytes, label: "u16le", pixels: "u8" },
      train: splitOf("train"),
      test: splitOf("test"),
    };
    try {
      await writeFile(join(this.#aside, indexName), `${JSON.stringify(index, null, 2)}\n`);
      await syncFolder(this.#aside);
      await demandAbsent(this.#target);
      await rename(this.#aside, this.#target);
      await syncFolder(dirname(this.#target));
    } catch (cause) {
      throw unwritable(this.#target, cause);
    }
    return index;
  }

  /** Takes away what was written; after `finish` there is nothing to take away. */
  async abandon(): Promise<void> {
    await this.#open?.file.close().catch(() => {});
    this.#open = null;
    await rm(this.#aside, { recursive: true, force: true });
  }

  async #openShard(split: SplitName) {
    const number = String(this.#shards[split].length).padStart(5, "0");
    const name = `${split}-${number}.bin`;
    const records = Math.max(1, Math.floor(pieceBytes / this.#recordBytes));
    const file = await this.#writing(name, () => this.#create(join(this.#aside, name)));
    const hash = createHash("sha256");
    const piece = Buffer.alloc(records * this.#recordBytes);
    this.#open = { split, name, file, hash, piece, pieceRecords: 0, examples: 0 };
    return this.#open;
  }

  async #writePiece(shard: OpenShard): Promise<void> {
    const bytes = shard.piece.subarray(0, shard.pieceRecords * this.#recordBytes);
    shard.hash.update(bytes);
    await this.#writing(shard.name, () => shard.file.writeFile(bytes));
    shard.pieceRecords = 0;
  }

  async #closeShard(): Promise<void> {
    const shard = this.#open;
    if (shard === null) return;
    const { name, file, examples, split } = shard;
    await this.#writePiece(shard);
    await this.#writing(name, async () => {
      await file.sync();
      await file.close();
    });
    this.#open = null;
    const bytes = examples * this.#recordBytes;
    this.#shards[split].push({ file: name, examples, bytes, sha256: shard.hash.digest("hex") });
  }

  async #writing<T>(name: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (cause) {
      throw unwritable(join(this.#target, name), cause);
    }
  }
}

async function demandAbsent(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null) return;
  const message = `${path} exists already; remove it or choose another --out`;
  throw new PacelineError("usage", message, { details: { path } });
}

function unwritable(path: string, cause: unknown): PacelineError {
  if (cause instanceof PacelineError) return cause;
  const isFull = ["ENOSPC", "EDQUOT"].includes(errnoOf(cause));
  const remedy = isFull ? "free some space or choose another --out" : "choose another --out";
  const message = `can't write ${path} (${reasonOf(cause)}); ${remedy}`;
  return new PacelineError("storage", message, { cause, details: { path } });
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
