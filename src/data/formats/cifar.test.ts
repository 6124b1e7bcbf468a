import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { appendFile, cp, mkdtemp, open, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ensureArchive, verifyFile } from "../download/archive.js";
import { writeSampleCifar } from "../testing/sample-files.js";
import {
  type CifarArchive,
  cifar10Archive,
  cifar100Archive,
  countCifar,
  readCifar,
} from "./cifar.js";

let folder = "";
let dataDir = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-cifar-"));
  dataDir = join(folder, "data");
  await writeSampleCifar(dataDir, { kind: "cifar10", train: 203, test: 100, seed: 5 });
  await writeSampleCifar(dataDir, { kind: "cifar100", train: 40, test: 20, seed: 5 });
});
after(() => rm(folder, { recursive: true, force: true }));

async function read(archive: CifarArchive, place: string, split: "train" | "test", label = 0) {
  const paths = await ensureArchive(archive, { dataDir: place });
  return readCifar(archive, paths, archive[split], label);
}

test("records of five files follow one another, pixels in planes as they lie", async () => {
  const { pixels, labels } = await read(cifar10Archive, dataDir, "train");
  assert.equal(labels.length, 203);
  assert.equal(pixels.length, 203 * 3072);
  const file = await open(join(dataDir, "cifar10", "data_batch_5.bin"));
  const last = Buffer.alloc(3073);
  await file.read(last, 0, 3073, (41 - 1) * 3073);
  await file.close();
  assert.equal(labels[202], last[0]);
  assert.ok(last.subarray(1).equals(pixels.subarray(202 * 3072)));
});

test("of CIFAR-100 either label is given with the same pixels", async () => {
  const coarse = await read(cifar100Archive, dataDir, "train", 0);
  const fine = await read(cifar100Archive, dataDir, "train", 1);
  assert.deepEqual(coarse.pixels, fine.pixels);
  assert.deepEqual(
    coarse.labels,
    fine.labels.map((label) => Math.floor(label / 5)),
  );
  assert.ok(new Set(fine.labels).size > 10);
});

test("examples are counted from sizes, plain, gzipped, or official without files", async () => {
  const packed = join(folder, "packed");
  const options = { kind: "cifar10", train: 203, test: 100, seed: 5, packed: true } as const;
  await writeSampleCifar(packed, options);
  for (const place of [dataDir, packed]) {
    const paths = await ensureArchive(cifar10Archive, { dataDir: place });
    assert.equal(await countCifar(cifar10Archive, paths, cifar10Archive.train), 203);
  }
  assert.equal(await countCifar(cifar10Archive, null, cifar10Archive.train), 50_000);
  assert.equal(await countCifar(cifar100Archive, null, cifar100Archive.test), 10_000);
  const plain = await read(cifar10Archive, dataDir, "test");
  assert.deepEqual(await read(cifar10Archive, packed, "test"), plain);
});

const faults: {
  name: string;
  archive: CifarArchive;
  file: string;
  change: (path: string) => Promise<void>;
  says: RegExp;
}[] = [
  {
    name: "a file cut inside a record",
    archive: cifar10Archive,
    file: "test_batch.bin",
    change: (path) => truncate(path, 100 * 3073 - 1),
    says: /test_batch\.bin has 307299 bytes, no whole number of records of 3073 bytes; fetch/,
  },
  {
    name: "a file with a byte too many",
    archive: cifar100Archive,
    file: "test.bin",
    change: (path) => appendFile(path, "x"),
    says: /test\.bin has 61481 bytes, no whole number of records of 3074/,
  },
  {
    name: "an empty file",
    archive: cifar100Archive,
    file: "test.bin",
    change: (path) => truncate(path, 0),
    says: /test\.bin has 0 bytes/,
  },
  {
    name: "a label out of range",
    archive: cifar10Archive,
    file: "test_batch.bin",
    change: (path) => poke(path, 7 * 3073, 10),
    says: /test_batch\.bin has label 10 in record 7 where 0 to 9 are allowed; fetch it again/,
  },
  {
    name: "a coarse label out of range",
    archive: cifar100Archive,
    file: "test.bin",
    change: (path) => poke(path, 3 * 3074, 20),
    says: /test\.bin has coarse label 20 in record 3 where 0 to 19 are allowed/,
  },
  {
    name: "a fine label out of range",
    archive: cifar100Archive,
    file: "test.bin",
    change: (path) => poke(path, 19 * 3074 + 1, 255),
    says: /test\.bin has fine label 255 in record 19 where 0 to 99 are allowed/,
  },
  {
    name: "a file of the official size with another sum",
    archive: cifar10Archive,
    file: "test_batch.bin",
    change: (path) => truncate(path, 30_730_000),
    says: /test_batch\.bin has the official size but MD5 \w{32}, not 803d5f7f4d78ea53de84/,
  },
];

async function poke(path: string, position: number, value: number): Promise<void> {
  const file = await open(path, "r+");
  await file.write(Uint8Array.of(value), 0, 1, position);
  await file.close();
}

for (const { name, archive, file, change, says } of faults) {
  test(`${name} is refused with the path, the value and the remedy`, async () => {
    const changed = await mkdtemp(join(folder, "changed-"));
    await cp(dataDir, changed, { recursive: true });
    await change(join(changed, archive.folder, file));
    // Both labels are checked, whichever is read.
    for (const label of archive.labels.keys()) {
      await assert.rejects(read(archive, changed, "test", label), { code: "data", message: says });
    }
  });
}

test("sample images teach a nearest-mean classifier, and follow from their seed", async () => {
  const { pixels, labels } = await read(cifar10Archive, dataDir, "test");
  const again = join(folder, "again");
  await writeSampleCifar(again, { kind: "cifar10", train: 203, test: 100, seed: 5 });
  assert.deepEqual(await read(cifar10Archive, again, "test"), { pixels, labels });
  const train = await read(cifar10Archive, dataDir, "train");
  const colours = (all: Uint8Array, index: number) =>
    [0, 1, 2].map((channel) => {
      const start = index * 3072 + channel * 1024;
      return all.subarray(start, start + 1024).reduce((sum, pixel) => sum + pixel, 0) / 1024;
    });
  const means = Array.from({ length: 10 }, () => [0, 0, 0, 0]);
  train.labels.forEach((label, index) => {
    const mean = means[label] as number[];
    for (const [channel, value] of colours(train.pixels, index).entries()) mean[channel]! += value;
    mean[3]!++;
  });
  let right = 0;
  labels.forEach((label, index) => {
    const found = colours(pixels, index);
    const distances = means.map((mean) =>
      found.reduce((sum, value, channel) => sum + (value - mean[channel]! / mean[3]!) ** 2, 0),
    );
    if (distances.indexOf(Math.min(...distances)) === label) right++;
  });
  assert.ok(right >= 95, `${right} of 100 right`);
});

const realDir = process.env.PACELINE_DATA_DIR || null;
const hasReal = realDir !== null && existsSync(join(realDir, "cifar10"));
const needsReal = hasReal ? {} : { skip: "PACELINE_DATA_DIR names no folder with CIFAR" };
test(
  "the official files have the sums, sizes and first labels that are known",
  needsReal,
  async () => {
    const real = realDir as string;
    for (const archive of [cifar10Archive, cifar100Archive]) {
      const paths = await ensureArchive(archive, { dataDir: real });
      for (const file of archive.files) {
        assert.equal(await verifyFile(paths.get(file.name) as string, file), null);
      }
    }
    const first = async (archive: CifarArchive, split: "train" | "test", label: number) => {
      const { labels, pixels } = await read(archive, real, split, label);
      assert.equal(labels.length, split === "train" ? 50_000 : 10_000);
      assert.equal(pixels.length, labels.length * 3072);
      return [...labels.subarray(0, 5)];
    };
    assert.deepEqual(await first(cifar10Archive, "train", 0), [6, 9, 9, 4, 1]);
    assert.deepEqual(await first(cifar10Archive, "test", 0), [3, 8, 8, 0, 6]);
    assert.deepEqual(await first(cifar100Archive, "train", 1), [19, 29, 0, 11, 1]);
    assert.deepEqual(await first(cifar100Archive, "train", 0), [11, 15, 4, 14, 1]);
    assert.deepEqual(await first(cifar100Archive, "test", 1), [49, 33, 72, 51, 71]);
  },
);
