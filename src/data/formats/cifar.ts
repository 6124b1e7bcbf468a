/**
 * CIFAR-10 and CIFAR-100 in their binary versions: the files, their checksums and where they can be
 * had, and how they become splits. A file is records and nothing else: one label byte (CIFAR-10) or
 * the coarse and the fine label (CIFAR-100), then 1,024 bytes each of red, green and blue, row by
 * row of 32 x 32.
 * Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
 */

import { dataError, streamUnpacked, unpackedBytes } from "../../store/file-content.js";
import type { FileArchive, FilePaths } from "../download/archive.js";
import { archiveSource, type PackedArchive, type Source } from "../download/sources.js";

/** (C, H, W) of every image. */
export const cifarShape = [3, 32, 32] as const;
const imageBytes = 3 * 32 * 32;

/** One of the label bytes at the front of a record. */
export interface CifarLabel {
  readonly name: string;
  /** Labels in the files are 0 to classes - 1. */
  readonly classes: number;
}

/** An archive of record files. */
export interface CifarArchive extends FileArchive {
  readonly train: readonly string[];
  readonly test: readonly string[];
  /** The label bytes, in order. */
  readonly labels: readonly CifarLabel[];
}

const home = "https://www.cs.toronto.edu/~kriz/";
/** Where the home redirects requests for the files. */
const movedHome = "https://cave.cs.toronto.edu/kriz/";
const copyOfHome = "https://storage.googleapis.com/mirror.tensorflow.org/www.cs.toronto.edu/~kriz/";
/** These hosts answer slowly, and after a redirection. */
const patience = { answerTimeoutMs: 10_000, pauseTimeoutMs: 30_000 };

const cifar10Packed: PackedArchive = {
  path: "cifar-10-binary.tar.gz",
  md5: "c32a1d4ab5d03f1284b67883e8d87530",
  folder: "cifar-10-batches-bin",
};

const cifar100Packed: PackedArchive = {
  path: "cifar-100-binary.tar.gz",
  md5: "03b5dce01913d631647c71ecec9e9cb8",
  folder: "cifar-100-binary",
};

/** CIFAR-10: 50,000 and 10,000 images of 10 classes. */
export const cifar10Archive: CifarArchive = {
  folder: "cifar10",
  otherFolders: [cifar10Packed.folder],
  train: [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`),
  test: ["test_batch.bin"],
  labels: [{ name: "label", classes: 10 }],
  files: [
    file("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25", 10_000, 1),
    file("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692", 10_000, 1),
    file("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421", 10_000, 1),
    file("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb", 10_000, 1),
    file("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d", 10_000, 1),
    file("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d", 10_000, 1),
  ],
  sources: from(cifar10Packed, [home, movedHome, copyOfHome]),
};

/** CIFAR-100: 50,000 and 10,000 images of 100 classes in 20 superclasses. */
export const cifar100Archive: CifarArchive = {
  folder: "cifar100",
  otherFolders: [cifar100Packed.folder],
  train: ["train.bin"],
  test: ["test.bin"],
  labels: [
    { name: "coarse label", classes: 20 },
    { name: "fine label", classes: 100 },
  ],
  files: [
    file("train.bin", "6172c7755cfe09b2fe270c85cebc1b15", 50_000, 2),
    file("test.bin", "4499cfba6c016c1be1438163640a0898", 10_000, 2),
  ],
  sources: from(cifar100Packed, [home, movedHome]),
};

/**
 * Pixels of shape (count, 3, 32, 32) and labels of some record files, one after the other.
 * @param label which of the label bytes; all are checked.
 */
export async function readCifar(
  archive: CifarArchive,
  paths: FilePaths,
  names: readonly string[],
  label: number,
): Promise<{ pixels: Uint8Array; labels: Uint8Array }> {
  const count = await countCifar(archive, paths, names);
  const recordBytes = archive.labels.length + imageBytes;
  // Records are closed up where they lie, so that the bytes are in memory once.
  const records = new Uint8Array(count * recordBytes);
  const labels = new Uint8Array(count);
  let end = 0;
  for (const name of names) {
    const path = paths.get(name) as string;
    const start = end;
    for await (const piece of streamUnpacked(path)) {
      if (end + piece.length > records.length) {
        throw dataError(path, "holds more than its size tells; fetch it again");
      }
      records.set(piece, end);
      end += piece.length;
    }
    checkLength(path, end - start, recordBytes);
    checkLabels(archive, path, records.subarray(start, end));
  }
  for (let index = 0; index < count; index++) {
    const record = index * recordBytes;
    labels[index] = records[record + label] as number;
    const image = record + archive.labels.length;
    records.copyWithin(index * imageBytes, image, image + imageBytes);
  }
  return { pixels: records.subarray(0, count * imageBytes), labels };
}

/** The number of examples in some record files, from their sizes alone; official without files. */
export async function countCifar(
  archive: CifarArchive,
  paths: FilePaths | null,
  names: readonly string[],
): Promise<number> {
  const recordBytes = archive.labels.length + imageBytes;
  let count = 0;
  for (const name of names) {
    const path = paths?.get(name);
    const official = archive.files.find((found) => found.name === name);
    const bytes = path === undefined ? (official?.bytes as number) : await unpackedBytes(path);
    if (path !== undefined) checkLength(path, bytes, recordBytes);
    count += bytes / recordBytes;
  }
  return count;
}

function checkLength(path: string, bytes: number, recordBytes: number): void {
  if (bytes > 0 && bytes % recordBytes === 0) return;
  const finding = `has ${bytes} bytes, no whole number of records of ${recordBytes} bytes`;
  throw dataError(path, `${finding}; fetch it again`);
}

function checkLabels(archive: CifarArchive, path: string, records: Uint8Array): void {
  const recordBytes = archive.labels.length + imageBytes;
  for (const [place, { name, classes }] of archive.labels.entries()) {
    for (let offset = place; offset < records.length; offset += recordBytes) {
      const found = records[offset] as number;
      if (found < classes) continue;
      const record = Math.floor(offset / recordBytes);
      const finding = `has ${name} ${found} in record ${record}`;
      throw dataError(path, `${finding} where 0 to ${classes - 1} are allowed; fetch it again`);
    }
  }
}

function file(name: string, md5: string, records: number, labelBytes: number) {
  return { name, md5, bytes: records * (labelBytes + imageBytes) };
}

function from(packed: PackedArchive, bases: readonly string[]): Source[] {
  return bases.map((base) => archiveSource(base, packed, patience));
}
