import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { Scratch } from "../download/scratch.js";
import { type SampleServer, startSampleServer } from "../testing/sample-server.js";
import { fetchShardIndex, fetchShards } from "./fetch-shards.js";
import { verifyShards } from "./shard-index.js";
import { ShardWriter } from "./shard-writer.js";

let parent = "";
let server: SampleServer;
let content: Map<string, Buffer>;
let runs = 0;

before(async () => {
  parent = await mkdtemp(join(tmpdir(), "paceline-fetch-"));
  const facts = { classNames: ["a", "b"], shape: [1, 40, 40] as const, shardExamples: 4 };
  const writer = await ShardWriter.begin(join(parent, "set"), facts);
  for (let i = 0; i < 10; i++) await writer.add("train", i % 2, new Uint8Array(1600).fill(i));
  for (let i = 0; i < 4; i++) await writer.add("test", i % 2, new Uint8Array(1600).fill(i));
  await writer.finish({ mean: [0.5], std: [1] });
  const names = await readdir(join(parent, "set"));
  content = new Map(
    await Promise.all(
      names.map(async (name) => {
        return [`data/set/${name}`, await readFile(join(parent, "set", name))] as const;
      }),
    ),
  );
  server = await startSampleServer([]);
});

after(async () => {
  await server.close();
  await rm(parent, { recursive: true, force: true });
});

beforeEach(() => {
  server.site.files = new Map(content);
  server.requests.length = 0;
});

function remote() {
  const lines: string[] = [];
  const cache = join(parent, `cache-${runs++}`);
  const set = {
    place: `${server.url}data`,
    name: "set",
    folder: join(cache, "set"),
    log: (line: string) => lines.push(line),
  };
  return { set, cache, lines };
}

test("a sharded set comes whole and right, and nothing else is left", async () => {
  const { set, cache } = remote();
  assert.equal((await fetchShardIndex(set)).train.examples, 10);
  await fetchShards(set);
  assert.deepEqual(await readdir(cache), ["set"]);
  assert.equal((await readdir(set.folder)).length, 5);
  assert.ok((await verifyShards(set.folder)).every(({ problem }) => problem === null));
});

test("what an earlier fetch brought is not fetched again", async () => {
  const { set } = remote();
  server.site.files.delete("data/set/test-00000.bin");
  const message = /test-00000\.bin.* is not there/;
  await assert.rejects(fetchShards(set), { code: "data", message });
  server.site.files = new Map(content);
  server.requests.length = 0;
  await fetchShards(set);
  const asked = server.requests.map(({ path }) => path);
  assert.deepEqual(asked, ["data/set/dataset.json", "data/set/test-00000.bin"]);
});

test("a shard that lies is refused, and fetched again the next time", async () => {
  const { set, cache } = remote();
  const path = "data/set/train-00001.bin";
  const lie = Buffer.from(content.get(path)!);
  lie[7]! ^= 1;
  server.site.files.set(path, lie);
  const message =
    /127\.0\.0\.1.*data has a set\/train-00001\.bin that is not what its dataset\.json/;
  await assert.rejects(fetchShards(set), { code: "data", message });
  assert.deepEqual(await readdir(cache), [".incoming-set"]);
  server.site.files = new Map(content);
  await fetchShards(set);
  assert.deepEqual(await readdir(cache), ["set"]);
});

test("two that fetch the same set at once both find it", async () => {
  const { set, cache } = remote();
  await Promise.all([fetchShards(set), fetchShards(set)]);
  assert.deepEqual(await readdir(cache), ["set"]);
  assert.ok((await verifyShards(set.folder)).every(({ problem }) => problem === null));
});

test("files of an earlier set are fetched again, all at once, and blamed on nobody", async () => {
  const { set, cache } = remote();
  server.site.files.delete("data/set/test-00000.bin");
  await assert.rejects(fetchShards(set), { code: "data" });
  for (const name of ["train-00000.bin", "train-00002.bin"]) {
    const path = join(cache, ".incoming-set", "set", name);
    await writeFile(path, new Uint8Array((await readFile(path)).length));
  }
  server.site.files = new Map(content);
  await fetchShards(set);
  assert.ok((await verifyShards(set.folder)).every(({ problem }) => problem === null));
});

test("a fetch that is under way is left alone by another that ends", async () => {
  const { set, cache } = remote();
  const other = await Scratch.open(join(cache, ".incoming-set"));
  await fetchShards(set);
  assert.deepEqual(await readdir(other.path), []);
  await assert.rejects(fetchShardIndex({ ...set, name: "none" }), { code: "data" });
  assert.deepEqual(await readdir(other.path), []);
  await other.close();
  server.requests.length = 0;
  await fetchShards(set);
  assert.deepEqual(server.requests, [], "it is here");
  assert.deepEqual(await readdir(cache), ["set"]);
});

test("a set that is not there leaves nothing behind", async () => {
  const { set, cache } = remote();
  server.site.files.clear();
  await assert.rejects(fetchShardIndex(set), { code: "data", message: /is not there/ });
  assert.deepEqual(await readdir(cache), []);
});
