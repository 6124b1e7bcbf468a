import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  writeSampleCifar,
  writeSampleMnist,
  writeSamplePictures,
} from "../../data/testing/sample-files.js";
import { startSampleServer } from "../../data/testing/sample-server.js";
import {
  fetchData,
  type ListedDataset,
  listData,
  packData,
  type VerifiedDataset,
  verifyData,
} from "./data-command.js";

let folder = "";
let dataDir = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-data-"));
  dataDir = join(folder, "data");
  await writeSampleMnist(dataDir, { train: 40, test: 20, seed: 5 });
  await writeSampleCifar(dataDir, { kind: "cifar100", train: 30, test: 12, seed: 5 });
});
after(() => rm(folder, { recursive: true, force: true }));

interface Given {
  readonly dataDir?: string | null;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

async function call(
  verb: typeof listData | ((options: never, io: never) => Promise<number>),
  { dataDir: place = dataDir, json = false, quiet = false }: Given = {},
) {
  const [out, err]: string[][] = [[], []];
  const io = {
    stdout: { write: (text: string) => out?.push(text) },
    stderr: { write: (text: string) => err?.push(text) },
  };
  const options = { dataDir: place, cacheDir: join(folder, "cache"), json, quiet };
  const exitCode = await (verb as typeof listData)(options, io);
  return { exitCode, out: (out as string[]).join(""), err: (err as string[]).join("") };
}

const fetching =
  (...names: string[]): typeof listData =>
  (options, io) =>
    fetchData(names, options, io);
const verifying =
  (...names: string[]): typeof listData =>
  (options, io) =>
    verifyData(names, options, io);

test("ls shows what is here with its own numbers, the rest with the official ones", async () => {
  const { exitCode, out } = await call(listData);
  assert.equal(exitCode, 0);
  const [titles, ...rows] = out.trimEnd().split("\n");
  assert.match(titles as string, /^Name +Train +Test +Classes +Shape +Size +Where$/);
  assert.match(rows[0] as string, /^mnist +40 +20 +10 +1 x 28 x 28 +0\.0 MB +.*data.mnist$/);
  assert.match(rows[3] as string, /^cifar10 +50000 +10000 +10 +3 x 32 x 32 +184\.4 MB +not here/);
  assert.match(rows[5] as string, /^cifar100-coarse +30 +12 +20 .*data.cifar100$/);
  const { out: json } = await call(listData, { json: true });
  const sets = JSON.parse(json) as ListedDataset[];
  assert.deepEqual(sets[4], {
    name: "cifar100",
    train: 30,
    test: 12,
    classes: 100,
    shape: [3, 32, 32],
    path: join(dataDir, "cifar100"),
    bytes: 42 * 3074,
    problem: null,
  });
  assert.equal(sets[2]?.path, null);
});

test("ls tells of a set that can't be used why, and goes on", async () => {
  const broken = join(folder, "broken");
  await writeSampleCifar(broken, { kind: "cifar10", train: 5, test: 2, seed: 5 });
  await truncate(join(broken, "cifar10", "test_batch.bin"), 100);
  await writeSampleMnist(broken, { train: 4, test: 2, seed: 5 });
  await rm(join(broken, "mnist", "t10k-images-idx3-ubyte"));
  const sets = JSON.parse((await call(listData, { dataDir: broken, json: true })).out);
  const problems = (sets as ListedDataset[]).map(({ path, problem }) => problem ?? path);
  assert.match(problems[0] as string, /mnist lacks t10k-images-idx3-ubyte/);
  assert.match(problems[3] as string, /test_batch\.bin has 100 bytes, no whole number/);
  assert.equal(problems[4], null);
});

test("ls and verify print nothing of a file's name that a terminal would obey", async () => {
  const odd = join(folder, "odd-names");
  const classes = join(odd, "flags", "train");
  await mkdir(join(classes, "a"), { recursive: true });
  await mkdir(join(classes, "b\u001b[31m"), { recursive: true });
  await writeFile(join(classes, "a", "\u001b[2J.txt"), "");
  const given = { dataDir: odd };
  const texts = [(await call(listData, given)).out, (await call(verifying("flags"), given)).out];
  for (const text of texts) {
    assert.match(text, / \[2J\.txt is not named as a picture/);
    assert.doesNotMatch(text.replaceAll("\n", ""), /\p{Cc}/u);
  }
});

test("fetch prints where each set is, and nothing more where all are here", async () => {
  const { exitCode, out, err } = await call(fetching("mnist", "cifar100"));
  assert.equal(exitCode, 0);
  assert.equal(out, `${join(dataDir, "mnist")}\n${join(dataDir, "cifar100")}\n`);
  assert.equal(err, "");
});

test("fetch from a URL that lies ends with what was found and expected", async () => {
  const server = await startSampleServer([["fashion-mnist/train-labels-idx1-ubyte", Buffer.of(1)]]);
  try {
    const fetched = call(fetching("fashion-mnist"), { dataDir: server.url });
    await assert.rejects(fetched, {
      code: "data",
      message:
        /127\.0\.0\.1.*train-labels-idx1-ubyte has 1 bytes, not 60008.*put the files in http/,
    });
    assert.equal(
      existsSync(join(folder, "cache", "fashion-mnist", "train-labels-idx1-ubyte")),
      false,
    );
  } finally {
    await server.close();
  }
});

test("fetch without a name, or with an unknown one, is a usage error before anything", async () => {
  await assert.rejects(call(fetching()), { code: "usage", message: /needs the name .* mnist, / });
  await assert.rejects(call(fetching("mnist", "mnits")), { code: "usage", message: /"mnits"/ });
});

test("verify names each file that is not the official one, with both sums or sizes", async () => {
  const { exitCode, out } = await call(verifying("cifar100"));
  assert.equal(exitCode, 7);
  const [title, train, tests] = out.trimEnd().split("\n");
  assert.equal(title, `cifar100: BROKEN in ${join(dataDir, "cifar100")}`);
  assert.match(train as string, /train\.bin has 92220 bytes, not 153700000; replace it, or remove/);
  assert.match(tests as string, /test\.bin has 36888 bytes, not 30740000/);
});

test("verify tells a wrong sum in the cache, a missing file, and what gets them", async () => {
  const cached = join(folder, "cache", "mnist");
  await mkdir(cached, { recursive: true });
  await writeFile(join(cached, "t10k-labels-idx1-ubyte"), Buffer.alloc(10_008));
  await copyFile(
    join(dataDir, "mnist", "train-labels-idx1-ubyte"),
    join(cached, "train-labels-idx1-ubyte"),
  );
  const { exitCode, out } = await call(verifying("mnist"), { dataDir: null, json: true });
  assert.equal(exitCode, 7);
  const [{ state, files }] = JSON.parse(out) as [VerifiedDataset];
  assert.equal(state, "broken");
  const problems = new Map(files.map(({ name, problem }) => [name, problem]));
  const remedy = "; paceline data fetch mnist gets it again";
  assert.equal(
    problems.get("train-images-idx3-ubyte"),
    `train-images-idx3-ubyte is missing${remedy}`,
  );
  const wrong = problems.get("t10k-labels-idx1-ubyte") as string;
  assert.match(wrong, /has MD5 [0-9a-f]{32}, not 27ae3e4e09519cfbb04c329615203637; paceline data/);
  assert.match(problems.get("train-labels-idx1-ubyte") as string, /has 48 bytes, not 60008/);
});

test("verify of a set that is not here fails; without names it looks at what is", async () => {
  const empty = { dataDir: join(folder, "nothing") };
  await mkdir(empty.dataDir);
  const named = await call(verifying("cifar10"), empty);
  assert.equal(named.exitCode, 7);
  assert.equal(named.out, "cifar10: not here; paceline data fetch cifar10 gets it\n");
  await rm(join(folder, "cache"), { recursive: true, force: true });
  const unnamed = await call(verifying(), empty);
  assert.deepEqual([unnamed.exitCode, unnamed.out], [0, ""]);
  assert.match(unnamed.err, /no data set is here/);
});

const realDir = process.env.PACELINE_DATA_DIR || null;
const hasReal = realDir !== null && existsSync(join(realDir, "cifar10"));
const needsReal = hasReal ? {} : { skip: "PACELINE_DATA_DIR names no folder with CIFAR" };
test("verify finds the official files right", needsReal, async () => {
  const { exitCode, out } = await call(verifying("cifar10"), { dataDir: realDir });
  assert.equal(exitCode, 0);
  assert.match(out, /^cifar10: right, 6 files \(184\.4 MB\) in /);
});

test("sets of one's own are packed, listed, verified, and found by fetch", async () => {
  const own = join(folder, "own");
  await writeSamplePictures(own, "bars", { train: 30, test: 6, seed: 5 });
  const out = join(own, "bars-packed");
  const packing: typeof listData = (options, io) =>
    packData("bars", { out, shardExamples: 8 }, options, io);
  const packed = await call(packing, { dataDir: own });
  assert.equal(packed.out, `${out}\n`);
  assert.equal(packed.err, "bars: 36 examples in 5 shards\n");
  await assert.rejects(call(packing, { dataDir: own }), {
    code: "usage",
    message: /exists already/,
  });

  await mkdir(join(own, "torn", "train"), { recursive: true });
  const sets = JSON.parse((await call(listData, { dataDir: own, json: true })).out);
  const [bars, shards, torn] = (sets as ListedDataset[]).slice(-3);
  const facts = { train: 30, test: 6, classes: 3, shape: [1, 12, 12], problem: null };
  assert.deepEqual(bars, { name: "bars", ...facts, path: join(own, "bars"), bytes: bars!.bytes });
  assert.deepEqual(shards, { name: "bars-packed", ...facts, path: out, bytes: 36 * 146 });
  assert.match(torn!.problem!, /torn.train has 0 classes where 2 or more are needed/);
  const { out: text } = await call(listData, { dataDir: own });
  assert.match(text, /^torn +\? +\? +\? +\? +\? +.*torn.train has 0 classes/m);

  const fetched = await call(fetching("bars-packed", "bars"), { dataDir: own });
  assert.equal(fetched.out, `${out}\n${join(own, "bars")}\n`);

  await truncate(join(own, "bars", "test", "top", "0002.png"), 60);
  const verified = await call(verifying(), { dataDir: own });
  assert.equal(verified.exitCode, 7);
  assert.match(verified.out, /^bars: BROKEN in .*bars\n {2}.*0002\.png is a broken PNG/m);
  assert.match(verified.out, /^bars-packed: right, 5 files \(0\.0 MB\) in .*bars-packed$/m);
  assert.match(verified.out, /^torn: BROKEN/m);
  const named = await call(verifying("bars-packed"), { dataDir: own, json: true });
  assert.equal(named.exitCode, 0);
  const [verdict] = JSON.parse(named.out) as VerifiedDataset[];
  assert.deepEqual(verdict!.files[0], {
    name: "train-00000.bin",
    path: join(out, "train-00000.bin"),
    expectedMd5: null,
    problem: null,
  });
  await assert.rejects(call(verifying("brs"), { dataDir: own }), { code: "usage" });
});
