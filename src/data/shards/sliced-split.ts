/**
 * Examples of a sharded data set, of which only what is asked for is ever read: synchronously,
 * since the compute thread waits for it, and page by page into a bounded cache. A shard that
 * fits the cache is read once, however its examples are shuffled; of a larger one each record is
 * read by itself, so that a page is never read for one example alone.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../../assert.js";
import { dataError, unreadable } from "../../store/file-content.js";
import type { Split } from "../split.js";
import type { ShardEntry, ShardIndex } from "./shard-form.js";
import { indexName, labelBytes, type SplitName } from "./shard-index.js";

/** Memory for what was read: a whole shard of 64 MiB, and the first pages of the next. */
export const cacheBytesMax = 72 << 20;
/** A page holds as many whole records as fit in this, and one at the least. */
const pageBytesWanted = 1 << 20;
const openFilesMax = 4;
/** A shard has fewer pages. */
const pagesMax = 2 ** 24;

/** The splits of a sharded set, which share a cache and files that are open. */
export function openShards(
  folder: string,
  index: ShardIndex,
): Record<SplitName, SlicedSplit> & {
  readonly files: ShardFiles;
} {
  const files = new ShardFiles(folder, index);
  return {
    train: new SlicedSplit(files, index, "train"),
    test: new SlicedSplit(files, index, "test"),
    files,
  };
}

/** A split that lies in shards. */
export class SlicedSplit implements Split {
  readonly #files: ShardFiles;
  readonly #index: ShardIndex;
  readonly #split: SplitName;
  readonly count: number;

  constructor(
    files: ShardFiles,
    index: ShardIndex,
    split: SplitName,
    count = index[split].examples,
  ) {
    this.#files = files;
    this.#index = index;
    this.#split = split;
    this.count = count;
  }

  /** The same with the first `count` examples only. */
  limitedTo(count: number): SlicedSplit {
    return new SlicedSplit(this.#files, this.#index, this.#split, Math.min(count, this.count));
  }

  read(
    indices: ArrayLike<number>,
    from: number,
    to: number,
    pixels: Uint8Array,
    labels: Int32Array,
  ): void {
    const { classes, record } = this.#index;
    const { shardExamples } = this.#index[this.#split];
    const valueCount = record.bytes - labelBytes;
    const examples = to - from;
    assert(from >= 0 && from <= to && to <= indices.length, "batch positions", { from, to });
    assert(pixels.length >= examples * valueCount && labels.length >= examples, "batch memory", {
      examples,
      pixels: pixels.length,
      labels: labels.length,
    });
    for (let position = from; position < to; position++) {
      const index = indices[position] as number;
      assert(index < this.count, "example index", { index, count: this.count });
      const shard = Math.floor(index / shardExamples);
      const place = index - shard * shardExamples;
      const bytes = this.#files.record(this.#split, shard, place);
      const label = (bytes[0] as number) + 256 * (bytes[1] as number);
      if (label >= classes) throw this.#files.badLabel(this.#split, shard, place, label);
      pixels.set(bytes.subarray(labelBytes), (position - from) * valueCount);
      labels[position - from] = label;
    }
  }
}

/** The files of a set, of which a few are open, and what was read of them last. */
export class ShardFiles {
  /** System calls so far. */
  readonly calls = { opens: 0, reads: 0 };
  readonly #folder: string;
  readonly #index: ShardIndex;
  readonly #pageRecords: number;
  readonly #pagesKept: number;
  /** Descriptors by the shard's name, the latest used last. */
  readonly #open = new Map<string, number>();
  /** Pages by their number, the latest used last. */
  readonly #pages = new Map<number, Buffer>();
  readonly #single: Buffer;

  constructor(folder: string, index: ShardIndex) {
    const recordBytes = index.record.bytes;
    this.#folder = folder;
    this.#index = index;
    this.#pageRecords = Math.max(1, Math.floor(pageBytesWanted / recordBytes));
    this.#pagesKept = Math.max(1, Math.floor(cacheBytesMax / (this.#pageRecords * recordBytes)));
    this.#single = Buffer.allocUnsafeSlow(recordBytes);
  }

  /** The bytes of one record, valid until the next is asked for. */
  record(split: SplitName, shardNumber: number, place: number): Uint8Array {
    const shard = this.#shard(split, shardNumber);
    const { bytes } = this.#index.record;
    const pageCount = Math.ceil(shard.examples / this.#pageRecords);
    if (pageCount > this.#pagesKept) {
      this.#fill(shard, this.#single, bytes, place * bytes);
      return this.#single;
    }
    const page = Math.floor(place / this.#pageRecords);
    const kept = this.#page(split, shardNumber, page);
    const start = (place - page * this.#pageRecords) * bytes;
    return kept.subarray(start, start + bytes);
  }

  /** What to throw for a label that no class has. */
  badLabel(split: SplitName, shardNumber: number, place: number, label: number) {
    const path = join(this.#folder, this.#shard(split, shardNumber).file);
    const { classes } = this.#index;
    const finding = `has label ${label} in record ${place} where 0 to ${classes - 1} are allowed`;
    return dataError(path, `${finding}; pack the set again`);
  }

  /** Closes what is open and forgets what was read; reading opens it again. */
  close(): void {
    for (const descriptor of this.#open.values()) closeSync(descriptor);
    this.#open.clear();
    this.#pages.clear();
  }

  #shard(split: SplitName, shardNumber: number): ShardEntry {
    return this.#index[split].shards[shardNumber] as ShardEntry;
  }

  #page(split: SplitName, shardNumber: number, page: number): Buffer {
    const number = (2 * shardNumber + (split === "train" ? 0 : 1)) * pagesMax + page;
    const known = this.#pages.get(number);
    if (known !== undefined) {
      this.#pages.delete(number);
      this.#pages.set(number, known);
      return known;
    }
    const shard = this.#shard(split, shardNumber);
    const { bytes } = this.#index.record;
    const first = page * this.#pageRecords;
    const records = Math.min(this.#pageRecords, shard.examples - first);
    const buffer = this.#freeBuffer();
    this.#fill(shard, buffer, records * bytes, first * bytes);
    this.#pages.set(number, buffer);
    return buffer;
  }

  /** A page's worth of memory: that of the page unused for longest once there may be no more. */
  #freeBuffer(): Buffer {
    if (this.#pages.size < this.#pagesKept) {
      return Buffer.allocUnsafeSlow(this.#pageRecords * this.#index.record.bytes);
    }
    const [oldest, buffer] = this.#pages.entries().next().value as [number, Buffer];
    this.#pages.delete(oldest);
    return buffer;
  }

  #fill(shard: ShardEntry, into: Buffer, bytes: number, position: number): void {
    const path = join(this.#folder, shard.file);
    let done = 0;
    try {
      const descriptor = this.#descriptor(shard, path);
      while (done < bytes) {
        this.calls.reads++;
        const count = readSync(descriptor, into, done, bytes - done, position + done);
        if (count === 0) break;
        done += count;
      }
    } catch (cause) {
      throw unreadable(path, cause);
    }
    if (done === bytes) return;
    const finding = `ends at byte ${position + done} where ${indexName} says ${shard.bytes} bytes`;
    throw dataError(path, `${finding}; copy it again or pack the set again`);
  }

  #descriptor(shard: ShardEntry, path: string): number {
    let descriptor = this.#open.get(shard.file);
    this.#open.delete(shard.file);
    if (descriptor === undefined) {
      this.calls.opens++;
      descriptor = openSync(path, "r");
    }
    this.#open.set(shard.file, descriptor);
    if (this.#open.size > openFilesMax) {
      const [oldest, unused] = this.#open.entries().next().value as [string, number];
      this.#open.delete(oldest);
      closeSync(unused);
    }
    return descriptor;
  }
}
