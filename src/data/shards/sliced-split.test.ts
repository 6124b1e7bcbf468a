import assert from "node:assert/strict";
import { mkdtemp, open, rename, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { epochOrder, workerRanges } from "../partition.js";
import { readShardIndex } from "./shard-index.js";
import { ShardWriter } from "./shard-writer.js";
import { cacheBytesMax, openShards } from "./sliced-split.js";

const shape = [1, 2, 2] as const;
const classNames = ["left", "right", "up"];

/** Example i of a split has label i % 3 and pixels i, ..., i, i + 1, as far as a byte goes. */
function pixelsOf(index: number, valueCount = 4): Uint8Array {
  const pixels = new Uint8Array(valueCount).fill(index);
  pixels[valueCount - 1] = index + 1;
  return pixels;
}

async function writeSet(
  context: TestContext,
  { train = 25, test: tests = 7, shardExamples = 10 as number | null, side = 2 } = {},
): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), "paceline-shards-"));
  context.after(() => rm(parent, { recursive: true, force: true }));
  const folder = join(parent, "set");
  const facts = { classNames, shape: [1, side, side] as const, shardExamples };
  const writer = await ShardWriter.begin(folder, facts);
  for (const [split, count] of [
    ["train", train],
    ["test", tests],
  ] as const) {
    for (let i = 0; i < count; i++) await writer.add(split, i % 3, pixelsOf(i, side * side));
  }
  await writer.finish({ mean: [0.5], std: [0.25] });
  return folder;
}

test("examples come back as they were written, in any order, across shards", async (context) => {
  const folder = await writeSet(context);
  const { train, test: tests } = openShards(folder, await readShardIndex(folder));
  assert.deepEqual([train.count, tests.count], [25, 7]);
  const pixels = new Uint8Array(20).fill(99);
  const labels = new Int32Array(5).fill(-1);
  train.read([0, 24, 9, 10, 3], 1, 5, pixels, labels);
  assert.deepEqual([...labels], [0, 0, 1, 0, -1]);
  const wanted = [24, 9, 10, 3].flatMap((index) => [...pixelsOf(index)]);
  assert.deepEqual([...pixels], [...wanted, 99, 99, 99, 99]);
  tests.read([6], 0, 1, pixels, labels);
  assert.deepEqual([...pixels.subarray(0, 4)], [6, 6, 6, 7]);
});

test("a limited split ends earlier and refuses what lies behind", async (context) => {
  const folder = await writeSet(context);
  const { train } = openShards(folder, await readShardIndex(folder));
  const few = train.limitedTo(12);
  assert.equal(few.count, 12);
  assert.equal(train.limitedTo(1000).count, 25);
  few.read([11], 0, 1, new Uint8Array(4), new Int32Array(1));
  assert.throws(() => few.read([12], 0, 1, new Uint8Array(4), new Int32Array(1)), /example index/);
});

test("a worker's range of an epoch touches its own shards only", async (context) => {
  const folder = await writeSet(context, { train: 95 });
  const facts = { count: 95, blockExamples: 10, seed: 4, epoch: 1 };
  const order = epochOrder(facts);
  for (const { start, end } of workerRanges(95, 3)) {
    const own = new Set([...order.indices(start, end)].map((index) => Math.floor(index / 10)));
    assert.ok(own.size <= 5, `${own.size} of 10 shards`);
    // Only what belongs to the worker is on the disk.
    const others = Array.from({ length: 10 }, (_, shard) => shard).filter((one) => !own.has(one));
    const index = await readShardIndex(folder);
    const moved = others.map((one) => join(folder, index.train.shards[one]!.file));
    for (const path of moved) await rename(path, `${path}.away`);
    const { train, files } = openShards(folder, index);
    const pixels = new Uint8Array(4 * 8);
    const labels = new Int32Array(8);
    for (let at = start; at < end; at += 8) {
      const batch = order.indices(at, Math.min(end, at + 8));
      train.read(batch, 0, batch.length, pixels, labels);
      batch.forEach((example, place) => {
        const found = pixels.subarray(4 * place, 4 * place + 4);
        assert.deepEqual([labels[place], ...found], [example % 3, ...pixelsOf(example)]);
      });
    }
    assert.deepEqual(files.calls, { opens: own.size, reads: own.size });
    files.close();
    for (const path of moved) await rename(`${path}.away`, path);
  }
});

test("a shard is read once, page by page, however its examples are shuffled", async (context) => {
  const side = 200;
  const recordBytes = 2 + side * side;
  const folder = await writeSet(context, { train: 120, test: 1, shardExamples: 120, side });
  const { train, files } = openShards(folder, await readShardIndex(folder));
  const order = epochOrder({ count: 120, blockExamples: 120, seed: 1, epoch: 0 });
  const pixels = new Uint8Array(side * side * 8);
  for (let at = 0; at < 120; at += 8) {
    train.read(order.indices(at, at + 8), 0, 8, pixels, new Int32Array(8));
  }
  const pageRecords = Math.floor((1 << 20) / recordBytes);
  assert.deepEqual(files.calls, { opens: 1, reads: Math.ceil(120 / pageRecords) });
});

test("memory stays bounded: pages unused for longest make room", async (context) => {
  // Pages of one record; two shards of which one and a half fit.
  const side = 1100;
  const pageBytes = 2 + side * side;
  const kept = Math.floor(cacheBytesMax / pageBytes);
  const shardExamples = Math.floor(kept / 1.5);
  const folder = await writeSet(context, {
    train: 2 * shardExamples,
    test: 1,
    shardExamples,
    side,
  });
  const { train, files } = openShards(folder, await readShardIndex(folder));
  const pixels = new Uint8Array(side * side);
  const label = new Int32Array(1);
  const before = process.memoryUsage().arrayBuffers;
  for (let pass = 0; pass < 2; pass++) {
    for (let index = 0; index < train.count; index++) {
      train.read([index], 0, 1, pixels, label);
      assert.deepEqual([pixels[0], pixels.at(-1)], [index % 256, (index + 1) % 256]);
    }
  }
  const grownBytes = process.memoryUsage().arrayBuffers - before;
  assert.ok(grownBytes <= cacheBytesMax, `${grownBytes} bytes`);
  assert.deepEqual(files.calls, { opens: 2, reads: 4 * shardExamples });
});

test("a shard larger than the cache is read record by record", async (context) => {
  const side = 1100;
  const shardExamples = Math.ceil(cacheBytesMax / (2 + side * side));
  const folder = await writeSet(context, { train: shardExamples, test: 1, shardExamples, side });
  const { train, files } = openShards(folder, await readShardIndex(folder));
  const pixels = new Uint8Array(side * side);
  for (const index of [0, shardExamples - 1, 0]) {
    train.read([index], 0, 1, pixels, new Int32Array(1));
    assert.deepEqual(pixels, pixelsOf(index, side * side));
  }
  assert.deepEqual(files.calls, { opens: 1, reads: 3 });
});

test("a label that no class has is refused with its file and record", async (context) => {
  const folder = await writeSet(context);
  const index = await readShardIndex(folder);
  const handle = await open(join(folder, "train-00001.bin"), "r+");
  await handle.write(Buffer.from([3, 0]), 0, 2, 6 * 4);
  await handle.close();
  const { train } = openShards(folder, index);
  const read = () => train.read([14], 0, 1, new Uint8Array(4), new Int32Array(1));
  const message = /train-00001\.bin has label 3 in record 4 where 0 to 2 are allowed; pack/;
  assert.throws(read, { code: "data", message });
});

test("shards that shrink or vanish while they are used are named", async (context) => {
  const folder = await writeSet(context);
  const { train } = openShards(folder, await readShardIndex(folder));
  const read = (index: number) => () =>
    train.read([index], 0, 1, new Uint8Array(4), new Int32Array(1));
  await truncate(join(folder, "train-00001.bin"), 20);
  const short = /train-00001\.bin ends at byte 20 where dataset\.json says 60 bytes/;
  assert.throws(read(10), { code: "data", message: short });
  await rm(join(folder, "train-00002.bin"));
  assert.throws(read(24), {
    code: "data",
    message: /train-00002\.bin can't be read \(there is no such file/,
  });
  read(0)();
});

test("labels go up to what two bytes hold", async (context) => {
  const parent = await mkdtemp(join(tmpdir(), "paceline-shards-"));
  context.after(() => rm(parent, { recursive: true, force: true }));
  const names = Array.from({ length: 65_536 }, (_, label) => `${label}`);
  const facts = { classNames: names, shape, shardExamples: null };
  const writer = await ShardWriter.begin(join(parent, "set"), facts);
  await writer.add("train", 65_535, pixelsOf(0));
  await writer.add("test", 256, pixelsOf(0));
  await writer.finish({ mean: [0], std: [1] });
  const sets = openShards(join(parent, "set"), await readShardIndex(join(parent, "set")));
  const labels = new Int32Array(1);
  sets.train.read([0], 0, 1, new Uint8Array(4), labels);
  assert.equal(labels[0], 65_535);
  sets.test.read([0], 0, 1, new Uint8Array(4), labels);
  assert.equal(labels[0], 256);
});
