import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readShardIndex, verifyShards } from "./shard-index.js";
import { type ShardFile, ShardWriter } from "./shard-writer.js";

const facts = { classNames: ["a", "b"], shape: [3, 1, 2] as const, shardExamples: 4 };
let parent = "";
let copies = 0;

before(async () => {
  parent = await mkdtemp(join(tmpdir(), "paceline-index-"));
  const writer = await ShardWriter.begin(join(parent, "set"), facts);
  for (let i = 0; i < 10; i++) await writer.add("train", i % 2, new Uint8Array(6).fill(i));
  for (let i = 0; i < 4; i++) await writer.add("test", i % 2, new Uint8Array(6).fill(i));
  await writer.finish({ mean: [0.1, 0.2, 0.3], std: [1, 1, 1] });
});

after(() => rm(parent, { recursive: true, force: true }));

async function copy(): Promise<string> {
  const folder = join(parent, `copy-${copies++}`);
  await cp(join(parent, "set"), folder, { recursive: true });
  return folder;
}

test("a written set describes itself: shards, bytes, sums, order of the bytes", async () => {
  const folder = join(parent, "set");
  const index = await readShardIndex(folder);
  assert.deepEqual(index.classNames, ["a", "b"]);
  assert.deepEqual(index.record, { bytes: 8, label: "u16le", pixels: "u8" });
  assert.deepEqual([index.train.examples, index.train.shardExamples], [10, 4]);
  const shards = index.train.shards.map(({ file, examples, bytes }) => [file, examples, bytes]);
  assert.deepEqual(shards, [
    ["train-00000.bin", 4, 32],
    ["train-00001.bin", 4, 32],
    ["train-00002.bin", 2, 16],
  ]);
  const last = await readFile(join(folder, "train-00002.bin"));
  assert.equal(last.toString("hex"), "0000080808080808" + "0100090909090909");
  const sum = createHash("sha256").update(last).digest("hex");
  assert.equal(index.train.shards[2]!.sha256, sum);
  const names = ["dataset.json", "test-00000.bin", ...shards.map(([name]) => name)];
  assert.deepEqual((await readdir(folder)).sort(), names.sort());
  assert.deepEqual(
    (await verifyShards(folder)).map(({ problem }) => problem),
    [null, null, null, null],
  );
});

type Content = Record<string, unknown> & {
  train: { shards: Record<string, unknown>[] } & Record<string, unknown>;
};

const lies: readonly [string, (content: Content) => void, RegExp][] = [
  ["another version", (c) => (c.version = 2), /version/],
  ["another format", (c) => (c.format = "tar"), /format/],
  ["a field unknown", (c) => (c.colour = 1), /colour/],
  ["one class", (c) => (c.classes = 1), /classes/],
  ["a name too few", (c) => (c.classNames = ["a"]), /2 classes, 1 names/],
  ["too few means", (c) => (c.mean = [0]), /3 channels, 1 means/],
  ["a deviation of zero", (c) => (c.std = [1, 0, 1]), /std\.1/],
  ["a flat shape", (c) => (c.shape = [3, 0, 2]), /shape\.1/],
  [
    "another shape",
    (c) => (c.shape = [3, 2, 2]),
    /records of 8 bytes, pixels of 3 x 2 x 2 need 14/,
  ],
  ["a path that leaves", (c) => (c.train.shards[0]!.file = "../a.bin"), /is not a plain file name/],
  [
    "an absolute path",
    (c) => (c.train.shards[0]!.file = "/etc/passwd"),
    /is not a plain file name/,
  ],
  ["a shard twice", (c) => (c.train.shards[1]!.file = "train-00000.bin"), /is named twice/],
  ["a short shard", (c) => (c.train.shards[1]!.examples = 3), /00001\.bin has 3 examples where 4/],
  ["a count too high", (c) => (c.train.examples = 12), /00002\.bin has 2 examples where 4 are due/],
  ["a long last one", (c) => (c.train.shards.length = 2), /00001\.bin has 4 examples where 6/],
  ["wrong bytes", (c) => (c.train.shards[0]!.bytes = 33), /has 33 bytes for 4 records of 8/],
  ["a sum that is none", (c) => (c.train.shards[0]!.sha256 = "0"), /is not a SHA-256/],
  ["no shards", (c) => (c.train.shards = []), /train\.shards/],
];

test("a dataset.json that is none, or contradicts itself, is refused", async () => {
  const folder = await copy();
  const path = join(folder, "dataset.json");
  const whole = await readFile(path, "utf8");
  for (const [name, lie, message] of lies) {
    const content = JSON.parse(whole) as Content;
    lie(content);
    await writeFile(path, JSON.stringify(content));
    await assert.rejects(readShardIndex(folder), (error: Error & { code: string }) => {
      assert.equal(error.code, "data", name);
      assert.match(error.message, message, name);
      assert.ok(error.message.startsWith(path) && error.message.endsWith("pack the set again"));
      return true;
    });
  }
  await writeFile(path, whole.slice(0, 40));
  await assert.rejects(readShardIndex(folder), { code: "data", message: /is not JSON/ });
  await rm(path);
  await assert.rejects(readShardIndex(folder), {
    code: "data",
    message: /can't be read \(there is no such file/,
  });
});

test("a shard that is missing or of another length is found before anything is read", async () => {
  const folder = await copy();
  await truncate(join(folder, "train-00001.bin"), 31);
  const short = /train-00001\.bin has 31 bytes where dataset\.json says 32; copy it again/;
  await assert.rejects(readShardIndex(folder), { code: "data", message: short });
  await rm(join(folder, "train-00001.bin"));
  const absent = /train-00001\.bin is missing; copy it again or pack the set again/;
  await assert.rejects(readShardIndex(folder), { code: "data", message: absent });
});

test("verifying finds what lies, in every file, and goes on", async () => {
  const folder = await copy();
  const path = join(folder, "train-00000.bin");
  const bytes = await readFile(path);
  bytes[9]! ^= 1;
  await writeFile(path, bytes);
  await rm(join(folder, "test-00000.bin"));
  const problems = (await verifyShards(folder)).map(({ problem }) => problem);
  assert.match(problems[0]!, /train-00000\.bin has SHA-256 \w{64}, not \w{64}; copy it again/);
  assert.deepEqual(problems.slice(1, 3), [null, null]);
  assert.match(problems[3]!, /test-00000\.bin is missing/);
});

test("an existing target is refused, before and after writing", async () => {
  const begin = ShardWriter.begin(join(parent, "set"), facts);
  const message = /set exists already; remove it or choose another --out/;
  await assert.rejects(begin, { code: "usage", message });
  const target = join(parent, "late");
  const writer = await ShardWriter.begin(target, facts);
  await writer.add("train", 0, new Uint8Array(6));
  await writer.add("test", 0, new Uint8Array(6));
  await writeFile(target, "somebody was faster");
  await assert.rejects(writer.finish({ mean: [0, 0, 0], std: [1, 1, 1] }), { code: "usage" });
  await writer.abandon();
  assert.equal(await readFile(target, "utf8"), "somebody was faster");
});

test("a full disk is told, and nothing is left behind", async () => {
  const target = join(parent, "full", "set");
  const full = async (): Promise<ShardFile> => ({
    writeFile: () => Promise.reject(Object.assign(new Error("no space"), { code: "ENOSPC" })),
    sync: async () => {},
    close: async () => {},
  });
  const writer = await ShardWriter.begin(target, facts, full);
  for (let i = 0; i < 3; i++) await writer.add("train", 0, new Uint8Array(6));
  await assert.rejects(writer.add("train", 0, new Uint8Array(6)), {
    code: "storage",
    message: /can't write .*train-00000\.bin \(the disk is full\); free some space or choose/,
  });
  await writer.abandon();
  assert.deepEqual(await readdir(join(parent, "full")), []);
});

test("a target below a file is refused", async () => {
  await writeFile(join(parent, "file"), "");
  const begin = ShardWriter.begin(join(parent, "file", "set"), facts);
  await assert.rejects(begin, { code: "storage", message: /can't write .*choose another --out/ });
});
