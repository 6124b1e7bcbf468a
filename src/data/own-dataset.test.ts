import assert from "node:assert/strict";
import { existsSync, renameSync } from "node:fs";
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  classNamesOf,
  datasetIsHere,
  datasetNames,
  inspectDataset,
  loadDataset,
  prepareDataset,
} from "./dataset.js";
import { describeOwn, findOwn, listOwn, verifyOwn } from "./own-dataset.js";
import { ShardWriter } from "./shards/shard-writer.js";
import { writeSampleMnist, writeSamplePictures } from "./testing/sample-files.js";
import { type SampleServer, startSampleServer } from "./testing/sample-server.js";

let dataDir = "";
let cacheDir = "";

before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "paceline-own-"));
  cacheDir = await mkdtemp(join(tmpdir(), "paceline-own-cache-"));
  await writeSamplePictures(dataDir, "bars", { train: 30, test: 9, seed: 1 });
  await writeSampleMnist(dataDir, { train: 20, test: 10, seed: 1 });
  await mkdir(join(dataDir, "notes"));
  await writeShards("flags");
});

after(async () => {
  await rm(dataDir, { recursive: true, force: true });
  await rm(cacheDir, { recursive: true, force: true });
});

async function writeShards(name: string): Promise<string> {
  const facts = { classNames: ["red", "blue"], shape: [3, 2, 2] as const, shardExamples: 8 };
  const folder = join(cacheDir, name);
  const writer = await ShardWriter.begin(folder, facts);
  for (let i = 0; i < 20; i++) await writer.add("train", i % 2, new Uint8Array(12).fill(i));
  for (let i = 0; i < 10; i++) await writer.add("test", i % 2, new Uint8Array(12).fill(i));
  await writer.finish({ mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6] });
  return folder;
}

test("a folder of pictures is a data set by its name", async () => {
  const facts = await inspectDataset("bars", { dataDir, cacheDir, trainLimit: 12 });
  const { mean, std, ...rest } = facts;
  assert.deepEqual(rest, { classes: 3, shape: [1, 12, 12], blockExamples: 0, train: 12, test: 9 });
  assert.ok(mean[0]! > 0.2 && mean[0]! < 0.4 && std[0]! > 0.1, `${mean} ${std}`);
  const { train, test: tests, ...set } = await loadDataset("bars", { dataDir, trainLimit: 12 });
  assert.deepEqual(set, { name: "bars", classes: 3, shape: [1, 12, 12] });
  assert.deepEqual([train.count, tests.count], [12, 9]);
  assert.deepEqual(await classNamesOf("bars", { dataDir }), ["bottom", "middle", "top"]);
  const again = await inspectDataset("bars", { dataDir, trainLimit: 12 });
  assert.deepEqual([again.mean, again.std], [mean, std]);
});

test("a sharded folder is one too, in the cache folder as well", async () => {
  const options = { dataDir, cacheDir, trainLimit: 11 };
  assert.deepEqual(await inspectDataset("flags", options), {
    classes: 2,
    shape: [3, 2, 2],
    mean: [0.1, 0.2, 0.3],
    std: [0.4, 0.5, 0.6],
    blockExamples: 8,
    train: 11,
    test: 10,
  });
  const { train, test: tests, close, ...set } = await loadDataset("flags", options);
  assert.deepEqual(set, { name: "flags", classes: 2, shape: [3, 2, 2] });
  assert.deepEqual([train.count, tests.count], [11, 10]);
  const pixels = new Uint8Array(12);
  train.read([9], 0, 1, pixels, new Int32Array(1));
  assert.equal(pixels[11], 9);
  close?.();
  train.read([10], 0, 1, pixels, new Int32Array(1));
  assert.equal(pixels[11], 10);
  close?.();
  assert.deepEqual(await classNamesOf("flags", { cacheDir }), ["red", "blue"]);
});

test("own sets are listed with their kind; built-in ones and other folders are not", async () => {
  const sets = await listOwn({ dataDir, cacheDir }, datasetNames);
  assert.deepEqual(
    sets.map(({ name, kind }) => [name, kind]),
    [
      ["bars", "pictures"],
      ["flags", "shards"],
    ],
  );
  assert.deepEqual(await listOwn({ dataDir: "https://example.org/data" }, datasetNames), []);
});

test("an unknown name is told with what is near, what there is and where to put it", async () => {
  await assert.rejects(inspectDataset("bras", { dataDir, cacheDir }), (error: Error) => {
    assert.match(error.message, /"bras" is unknown \(did you mean bars\?\); choose one of mnist, /);
    const places = `put your own in ${join(dataDir, "bras")} or ${join(cacheDir, "bras")}`;
    assert.ok(error.message.endsWith(`bars, flags, or ${places}`), error.message);
    return true;
  });
  const near = { code: "usage", message: /\(did you mean mnist\?\).*put your own in <data-dir>/ };
  await assert.rejects(loadDataset("mnits", {}), near);
  await assert.rejects(prepareDataset("mnits", { dataDir }), { code: "usage" });
  await assert.rejects(datasetIsHere("mnits", { dataDir }), { code: "usage" });
  assert.equal(await classNamesOf("mnits", { dataDir }), null);
});

test("a name that leaves the folder is unknown, whatever lies there", async () => {
  for (const name of ["../bars", "/bars", "..", "", ".hidden", "a/b"]) {
    const options = { dataDir: join(dataDir, "mnist"), cacheDir };
    await assert.rejects(inspectDataset(name, options), { code: "usage" }, name);
  }
});

test("a folder that can't be looked at is no unknown set", async () => {
  const folder = join(dataDir, "looped");
  await mkdir(folder);
  await symlink("train", join(folder, "train"));
  const message = /looped\/train can't be read \(its links lead back to themselves\); check the p/;
  await assert.rejects(inspectDataset("looped", { dataDir }), { code: "data", message });
  assert.ok((await listOwn({ dataDir }, datasetNames)).every(({ name }) => name !== "looped"));
  await rm(folder, { recursive: true });
});

test("a folder that is no data set says what it lacks", async () => {
  const message = /notes holds neither dataset\.json nor a folder train; put pictures there as/;
  await assert.rejects(inspectDataset("notes", { dataDir }), { code: "data", message });
});

test("own sets that are here are said to be", async () => {
  assert.equal(await datasetIsHere("bars", { dataDir }), true);
  await prepareDataset("flags", { cacheDir });
});

async function problemsOf(name: string): Promise<readonly string[]> {
  const own = await findOwn(name, { dataDir, cacheDir }, datasetNames);
  const { files, problem } = await verifyOwn(own);
  return [problem, ...files.map((file) => file.problem)].filter((one) => one !== null);
}

test("sets are described without looking at pixels", async () => {
  const [bars, flags] = await listOwn({ dataDir, cacheDir }, datasetNames);
  const { bytes, ...rest } = await describeOwn(bars!);
  assert.deepEqual(rest, { ...bars, classes: 3, shape: [1, 12, 12], train: 30, test: 9 });
  assert.ok(bytes > 39 * 100, `${bytes}`);
  const { train, test: tests, bytes: flagBytes } = await describeOwn(flags!);
  assert.deepEqual([train, tests, flagBytes], [20, 10, 30 * 14]);
});

test("verifying checks every picture and goes on behind a broken one", async () => {
  await writeSamplePictures(dataDir, "worn", { train: 12, test: 6, seed: 1 });
  for (const name of ["0002.png", "0005.png"]) {
    await truncate(join(dataDir, "worn", "train", "top", name), 60);
  }
  const worn = await findOwn("worn", { dataDir }, datasetNames);
  const { files, problem } = await verifyOwn(worn);
  assert.deepEqual([files.length, problem], [18, null]);
  assert.equal(files[0]!.name, join("test", "bottom", "0000.png"));
  const problems = await problemsOf("worn");
  assert.equal(problems.length, 2);
  assert.match(problems[0]!, /0002\.png is a broken PNG/);
  assert.deepEqual(await problemsOf("bars"), []);
  await rm(join(dataDir, "worn", "test", "top"), { recursive: true });
  await mkdir(join(dataDir, "worn", "test", "top"));
  assert.match((await problemsOf("worn")).join(), /top has no pictures/);
});

test("verifying checks the sum of every shard", async () => {
  const folder = await writeShards("torn");
  assert.deepEqual(await problemsOf("torn"), []);
  const path = join(folder, "train-00001.bin");
  const bytes = await readFile(path);
  bytes[5]! ^= 255;
  await writeFile(path, bytes);
  const own = await findOwn("torn", { cacheDir }, datasetNames);
  assert.equal((await verifyOwn(own)).bytes, 30 * 14);
  const [problem, ...others] = await problemsOf("torn");
  assert.match(problem!, /train-00001\.bin has SHA-256 \w+, not \w+; copy it again/);
  assert.deepEqual(others, []);
  await writeFile(join(folder, "dataset.json"), "{}");
  assert.match((await problemsOf("torn")).join(), /dataset\.json is not that of a sharded set/);
});

test("a sharded set below a URL is fetched when it is loaded, not before", async () => {
  const folder = await writeShards("afar");
  const files = await readdir(folder);
  const content = await Promise.all(
    files.map(async (name) => [`sets/afar/${name}`, await readFile(join(folder, name))] as const),
  );
  const server = await startSampleServer(content);
  const place = { dataDir: `${server.url}sets`, cacheDir: join(cacheDir, "empty") };
  try {
    const facts = await inspectDataset("afar", place);
    assert.deepEqual([facts.train, facts.test, facts.blockExamples], [20, 10, 8]);
    assert.equal(await datasetIsHere("afar", place), false);
    assert.ok(server.requests.every(({ path }) => path.endsWith("dataset.json")));
    server.requests.length = 0;
    const { train, close, identity } = await loadDataset("afar", { ...place, identify: true });
    assert.equal(identity?.classNames.length, 2);
    const { length } = server.requests.filter(({ path }) => path.endsWith("dataset.json"));
    assert.equal(length, 2, "once to find it, once to have it");
    assert.deepEqual(await readdir(place.cacheDir), ["afar"]);
    const pixels = new Uint8Array(12);
    train.read([17], 0, 1, pixels, new Int32Array(1));
    assert.equal(pixels[0], 17);
    close?.();
    assert.equal(await datasetIsHere("afar", place), true);
    server.requests.length = 0;
    const lines: string[] = [];
    const asked = { ...place, log: (line: string) => void lines.push(line) };
    await prepareDataset("afar", asked);
    assert.deepEqual(
      server.requests.map(({ path }) => path),
      ["sets/afar/dataset.json"],
      "only to see that it is the same",
    );
    assert.deepEqual(lines, []);
    await demandsTheSame(server, asked, lines);
    const message =
      /"afra" is unknown \(did you mean afar\?\).*sets: afra\/dataset\.json .*not there/;
    await assert.rejects(inspectDataset("afra", place), { code: "usage", message });
  } finally {
    await server.close();
  }
});

/** The set of the cache is refused where the place has another, and taken where it has none. */
async function demandsTheSame(
  { site }: SampleServer,
  place: { readonly dataDir: string; readonly cacheDir: string },
  lines: readonly string[],
): Promise<void> {
  const path = "sets/afar/dataset.json";
  const index = JSON.parse(Buffer.from(site.files.get(path)!).toString());
  index.test.shards[0].sha256 = "0".repeat(64);
  site.files.set(path, Buffer.from(JSON.stringify(index)));
  const message =
    /afar has test examples with fingerprint (\w+), those at --data-dir have (?!\1)\w+; remove/;
  await assert.rejects(loadDataset("afar", place), { code: "data", message });
  site.files.delete(path);
  await prepareDataset("afar", place);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /^afar: takes what is in .*afar, as no source .*json .*not there/);
}

test("a set that another process has brought while this one looked for it is found", async () => {
  const folder = await writeShards("raced");
  const place = { cacheDir: join(cacheDir, "raced-to") };
  await mkdir(place.cacheDir);
  const server = await startSampleServer([]);
  const asked = new Map<string, Uint8Array>();
  asked.get = () => {
    if (existsSync(folder)) renameSync(folder, join(place.cacheDir, "raced"));
    return undefined;
  };
  server.site.files = asked;
  try {
    const own = await findOwn("raced", { ...place, dataDir: `${server.url}sets` }, datasetNames);
    assert.deepEqual(own, { name: "raced", kind: "shards", folder: join(place.cacheDir, "raced") });
  } finally {
    await server.close();
  }
});

test("a place that can't be asked makes no set unknown", async () => {
  const server = await startSampleServer([]);
  const place = { dataDir: `${server.url}sets`, cacheDir: join(cacheDir, "unreached") };
  await server.close();
  const message = new RegExp(`no source gave files \\(${place.dataDir}: .*check the URL`);
  await assert.rejects(findOwn("mine", place, datasetNames), { code: "data", message });
});
