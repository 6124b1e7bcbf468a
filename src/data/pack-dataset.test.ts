import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { inspectDataset, loadDataset } from "./dataset.js";
import { findOwn, verifyOwn } from "./own-dataset.js";
import { packDataset } from "./pack-dataset.js";
import type { Split } from "./split.js";
import { writeSampleCifar, writeSampleMnist, writeSamplePictures } from "./testing/sample-files.js";

let dataDir = "";
let out = "";

before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "paceline-pack-"));
  out = join(dataDir, "packed");
  await mkdir(out);
  await writeSampleMnist(dataDir, { train: 150, test: 40, seed: 2 });
  await writeSampleCifar(dataDir, { kind: "cifar10", train: 25, test: 10, seed: 2 });
  await writeSamplePictures(dataDir, "bars", { train: 70, test: 12, seed: 2 });
});

after(() => rm(dataDir, { recursive: true, force: true }));

function everything(split: Split, valueCount: number) {
  const indices = Array.from({ length: split.count }, (_, index) => index);
  const pixels = new Uint8Array(split.count * valueCount);
  const labels = new Int32Array(split.count);
  split.read(indices, 0, split.count, pixels, labels);
  return { pixels, labels };
}

for (const name of ["mnist", "mnist-parity", "cifar10", "bars"]) {
  test(`${name} keeps its examples, their order and its facts when it is packed`, async () => {
    const lines: string[] = [];
    const log = (line: string) => lines.push(line);
    const place = { dataDir, log };
    const target = join(out, `my-${name}`);
    const index = await packDataset(name, { ...place, out: target, shardExamples: 20 });
    const [facts, packed] = [
      await inspectDataset(name, place),
      await inspectDataset(`my-${name}`, { dataDir: out }),
    ];
    assert.deepEqual(packed, { ...facts, blockExamples: 20 });
    assert.equal(index.train.shards.length, Math.ceil(facts.train / 20));
    assert.equal(index.classNames.length, facts.classes);
    const before = await loadDataset(name, place);
    const after = await loadDataset(`my-${name}`, { dataDir: out });
    const valueCount = facts.shape.reduce((product, extent) => product * extent, 1);
    for (const split of ["train", "test"] as const) {
      assert.deepEqual(everything(after[split], valueCount), everything(before[split], valueCount));
    }
    const own = await findOwn(`my-${name}`, { dataDir: out }, []);
    const { files, problem } = await verifyOwn(own);
    assert.equal(problem, null);
    assert.ok(files.length > 2 && files.every((file) => file.problem === null));
    after.close?.();
  });
}

test("a packed set can be packed again with other shards, and a part of it", async () => {
  await packDataset("bars", { dataDir, out: join(out, "first"), shardExamples: 7 });
  const target = join(out, "second");
  const options = { dataDir: out, out: target, shardExamples: null, trainLimit: 30, testLimit: 5 };
  const index = await packDataset("first", options);
  assert.deepEqual([index.train.examples, index.test.examples], [30, 5]);
  assert.equal(index.train.shards.length, 1);
  const first = await loadDataset("first", { dataDir: out, trainLimit: 30 });
  const second = await loadDataset("second", { dataDir: out });
  assert.deepEqual(everything(second.train, 144), everything(first.train, 144));
});

test("a broken source, or a stop, leaves nothing behind", async () => {
  await writeSamplePictures(dataDir, "worn", { train: 9, test: 3, seed: 1 });
  await truncate(join(dataDir, "worn", "test", "top", "0002.png"), 60);
  const place = join(dataDir, "empty");
  const worn = packDataset("worn", { dataDir, out: join(place, "worn"), shardExamples: 2 });
  await assert.rejects(worn, { code: "data", message: /0002\.png is a broken PNG/ });
  assert.deepEqual(await readdir(place), []);
  const stopped = packDataset("bars", {
    dataDir,
    out: join(place, "bars"),
    shardExamples: 2,
    signal: AbortSignal.abort(),
  });
  await assert.rejects(stopped, { message: /bars was not finished: stopped/ });
  assert.deepEqual(await readdir(place), []);
});

test("unknown sets and targets that exist are refused", async () => {
  const options = { dataDir, out: join(dataDir, "bars"), shardExamples: null };
  await assert.rejects(packDataset("bras", options), {
    code: "usage",
    message: /did you mean bars/,
  });
  await assert.rejects(packDataset("bars", options), { code: "usage", message: /exists already/ });
});
