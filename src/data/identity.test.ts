import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { identifyDataset, inspectDataset, loadDataset } from "./dataset.js";
import { classesDifference, type DataIdentity, identityDifference } from "./identity.js";
import { packDataset } from "./pack-dataset.js";
import { writeSampleCifar, writeSampleMnist, writeSamplePictures } from "./testing/sample-files.js";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-identity-"));
});
after(() => rm(folder, { recursive: true, force: true }));

const sizes = { train: 24, test: 9, seed: 3 };
let made = 0;

/** A data folder of its own with a folder of pictures in it. */
async function withPictures(): Promise<{ dataDir: string; path: (...parts: string[]) => string }> {
  const dataDir = join(folder, `pictures-${++made}`);
  await writeSamplePictures(dataDir, "bars", sizes);
  return { dataDir, path: (...parts) => join(dataDir, "bars", ...parts) };
}

const bars = (dataDir: string) => identifyDataset("bars", { dataDir });

test("pictures keep their identity where they are copied to, and whenever", async () => {
  const { dataDir } = await withPictures();
  const identity = await bars(dataDir);
  assert.deepEqual(identity.classNames, ["bottom", "middle", "top"]);
  const copy = join(folder, "copied");
  await cp(dataDir, copy, { recursive: true });
  await utimes(join(copy, "bars", "train", "top", "0002.png"), 1, 1);
  assert.deepEqual(await bars(copy), identity);
  assert.notEqual(identity.trainFingerprint, identity.testFingerprint);
  const { identity: loaded } = await loadDataset("bars", { dataDir, identify: true });
  assert.deepEqual(loaded, identity);
  assert.equal((await loadDataset("bars", { dataDir })).identity, undefined);
});

test("a class that is renamed permutes labels, and is another identity", async () => {
  const { dataDir, path } = await withPictures();
  const before = await bars(dataDir);
  const facts = await inspectDataset("bars", { dataDir });
  for (const split of ["train", "test"]) await rename(path(split, "bottom"), path(split, "zebra"));
  const renamed = await bars(dataDir);
  assert.deepEqual(renamed.classNames, ["middle", "top", "zebra"]);
  assert.notEqual(renamed.trainFingerprint, before.trainFingerprint);
  assert.notEqual(renamed.testFingerprint, before.testFingerprint);
  assert.deepEqual(await inspectDataset("bars", { dataDir }), facts, "by counts they are the same");
});

const changes: [string, (path: (...parts: string[]) => string) => Promise<void>][] = [
  [
    "a picture in another class",
    (path) => rename(path("train/top/0002.png"), path("train/middle/0002.png")),
  ],
  [
    "two pictures that change places",
    async (path) => {
      await rename(path("train/top/0002.png"), path("swap.png"));
      await rename(path("train/top/0005.png"), path("train/top/0002.png"));
      await rename(path("swap.png"), path("train/top/0005.png"));
    },
  ],
  [
    "one picture with other pixels",
    async (path) => {
      await cp(path("train/top/0005.png"), path("train/top/0002.png"));
    },
  ],
];
for (const [what, change] of changes) {
  test(`${what} is another fingerprint of the training split alone`, async () => {
    const { dataDir, path } = await withPictures();
    const before = await bars(dataDir);
    await change(path);
    const found = await bars(dataDir);
    assert.notEqual(found.trainFingerprint, before.trainFingerprint);
    assert.deepEqual(found, { ...before, trainFingerprint: found.trainFingerprint });
    assert.equal(identityDifference(found, before, ["test"]), null);
    assert.match(
      identityDifference(found, before) ?? "",
      /^training examples of fingerprint [0-9a-f]{16}, not [0-9a-f]{16}$/,
    );
  });
}

test("built-in sets have the identity of their content, packed or not", async () => {
  const dataDir = join(folder, "built-in");
  await writeSampleMnist(dataDir, sizes);
  await cp(join(dataDir, "mnist"), join(dataDir, "fashion-mnist"), { recursive: true });
  const packed = join(folder, "packed");
  await writeSampleMnist(packed, { ...sizes, packed: true });
  const other = join(folder, "other-seed");
  await writeSampleMnist(other, { ...sizes, seed: 4 });
  const mnist = await identifyDataset("mnist", { dataDir });
  assert.deepEqual(await identifyDataset("mnist", { dataDir: packed }), mnist);
  // The limits are counts of their own.
  const limited = await loadDataset("mnist", { dataDir, identify: true, trainLimit: 5 });
  assert.deepEqual(limited.identity, mnist);
  const found: DataIdentity[] = [mnist, await identifyDataset("mnist", { dataDir: other })];
  for (const name of ["fashion-mnist", "mnist-parity"]) {
    found.push(await identifyDataset(name, { dataDir }));
  }
  // What is not here is the official one.
  found.push(await identifyDataset("mnist", {}));
  for (const key of ["trainFingerprint", "testFingerprint"] as const) {
    assert.equal(new Set(found.map((one) => one[key])).size, found.length, key);
  }
});

test("a label that is permuted in a packed file is another fingerprint", async () => {
  const dataDir = join(folder, "permuted");
  await writeSampleMnist(dataDir, { ...sizes, packed: true });
  const before = await identifyDataset("mnist", { dataDir });
  const path = join(dataDir, "mnist", "train-labels-idx1-ubyte.gz");
  const labels = gunzipSync(await readFile(path));
  await writeFile(
    path,
    gzipSync(Buffer.concat([labels.subarray(0, 8), labels.subarray(8).reverse()])),
  );
  const found = await identifyDataset("mnist", { dataDir });
  assert.notEqual(found.trainFingerprint, before.trainFingerprint);
  assert.equal(found.testFingerprint, before.testFingerprint);
});

test("coarse and fine labels of the same files are two identities", async () => {
  const dataDir = join(folder, "cifar");
  await writeSampleCifar(dataDir, { ...sizes, kind: "cifar100" });
  const [fine, coarse] = [
    await identifyDataset("cifar100", { dataDir }),
    await identifyDataset("cifar100-coarse", { dataDir }),
  ];
  assert.notEqual(fine.trainFingerprint, coarse.trainFingerprint);
  assert.equal(classesDifference(coarse.classNames, fine.classNames), "20 classes, not 100");
});

test("a sharded set has the identity of its shards and of their classes", async () => {
  const { dataDir } = await withPictures();
  const pack = (out: string, shardExamples: number, from = dataDir) =>
    packDataset("bars", { dataDir: from, out: join(dataDir, out), shardExamples });
  await pack("a", 10);
  await pack("b", 10);
  await pack("c", 7);
  const [a, b, c] = [
    await identifyDataset("a", { dataDir }),
    await identifyDataset("b", { dataDir }),
    await identifyDataset("c", { dataDir }),
  ];
  assert.deepEqual(a, b);
  assert.deepEqual(a.classNames, ["bottom", "middle", "top"]);
  // They are dealt in another order.
  assert.notEqual(a.trainFingerprint, c.trainFingerprint);
  const path = join(dataDir, "b", "dataset.json");
  await writeFile(path, (await readFile(path, "utf8")).replace('"bottom"', '"zebra"'));
  const renamed = await identifyDataset("b", { dataDir });
  const difference = 'label 0 for "zebra", not for "bottom"';
  assert.equal(identityDifference(renamed, a), difference);
});
