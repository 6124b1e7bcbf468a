import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { startSampleServer, untilPartHas } from "../testing/sample-server.js";
import { encodeTar } from "../testing/sample-tar.js";
import { ensureArchive, type FileArchive, inspectArchive, locateArchive } from "./archive.js";
import { fetchRemoteFiles } from "./fetch-files.js";
import { npmSource } from "./npm-source.js";
import {
  archiveSource,
  folderSource,
  installedPackageSource,
  type Source,
  webSource,
} from "./sources.js";

const contents = new Map([
  ["one", Buffer.from("the first file ".repeat(2000))],
  ["two", Buffer.from("the second file ".repeat(500))],
]);
const files = [...contents].map(([name, bytes]) => ({
  name,
  md5: createHash("md5").update(bytes).digest("hex"),
  bytes: bytes.length,
}));

let cacheDir = "";
let folder = "";
const servers: Server[] = [];
let lines: string[] = [];
const log = (line: string) => lines.push(line);

beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "paceline-archive-"));
  folder = join(cacheDir, "set");
  lines = [];
});

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await rm(cacheDir, { recursive: true, force: true });
});

const archiveOf = (...sources: Source[]): FileArchive => ({ folder: "set", files, sources });

type Answer = (name: string, response: ServerResponse) => void;

const rightAnswer: Answer = (name, response) => {
  const bytes = contents.get(name.replace(/\.gz$/, ""));
  if (bytes === undefined) response.writeHead(404).end();
  else response.end(gzipSync(bytes));
};

async function serve(answer: Answer = rightAnswer): Promise<{ base: string; requests: string[] }> {
  const requests: string[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    const name = (request.url as string).slice("/set/".length);
    requests.push(name);
    answer(name, response);
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { base: `http://127.0.0.1:${port}/set/`, requests };
}

async function assertComplete(): Promise<void> {
  assert.deepEqual((await readdir(folder)).sort(), ["one", "two"]);
  for (const [name, bytes] of contents) {
    assert.ok((await readFile(join(folder, name))).equals(bytes), name);
  }
}

async function assertRefused(archive: FileArchive, says: RegExp): Promise<void> {
  await assert.rejects(ensureArchive(archive, { cacheDir, log }), (error: Error) => {
    assert.equal((error as Error & { code: string }).code, "data");
    assert.match(error.message, says);
    assert.match(error.message, /^no source gave .*; put the files in <data-dir>\/set/);
    return true;
  });
}

test("files are fetched once, then found in the cache without a request", async () => {
  const { base, requests } = await serve();
  const archive = archiveOf(webSource(base));
  const paths = await ensureArchive(archive, { cacheDir, log });
  assert.equal(paths.get("one"), join(folder, "one"));
  assert.deepEqual(requests, ["one.gz", "two.gz"]);
  await ensureArchive(archive, { cacheDir, log });
  assert.equal(requests.length, 2);
  await assertComplete();
  assert.deepEqual(lines, [
    `set: fetching 2 files (0.0 MB) from ${base}`,
    `set: complete in ${folder}`,
  ]);
});

test("a cached file that was damaged or lost is fetched again, alone", async () => {
  const { base, requests } = await serve();
  const archive = archiveOf(webSource(base));
  await ensureArchive(archive, { cacheDir });
  const damaged = Buffer.from(contents.get("two") as Buffer);
  damaged[100] = 0;
  await writeFile(join(folder, "two"), damaged);
  await ensureArchive(archive, { cacheDir, log });
  assert.match(lines[0] as string, /two has MD5 [0-9a-f]{32}, not/);
  await rm(join(folder, "one"));
  await ensureArchive(archive, { cacheDir });
  assert.deepEqual(requests, ["one.gz", "two.gz", "two.gz", "one.gz"]);
  await assertComplete();
});

test("files in the user's folder are used as they are, plain or gzipped", async () => {
  const { base, requests } = await serve();
  const dataDir = join(cacheDir, "own");
  await mkdir(join(dataDir, "set"), { recursive: true });
  await writeFile(join(dataDir, "set", "one"), "of another size");
  await writeFile(join(dataDir, "set", "two.gz"), gzipSync("packed"));
  const paths = await ensureArchive(archiveOf(webSource(base)), { dataDir, cacheDir });
  assert.equal(paths.get("two"), join(dataDir, "set", "two.gz"));
  assert.equal(requests.length, 0);
});

test("a file of the user's that has the official size must be the official one", async () => {
  const { base } = await serve();
  const archive = archiveOf(webSource(base));
  const dataDir = join(cacheDir, "own");
  await mkdir(join(dataDir, "set"), { recursive: true });
  await writeFile(join(dataDir, "set", "two"), "smaller, so somebody's own");
  const damaged = Buffer.from(contents.get("one") as Buffer);
  damaged[7] = 0;
  for (const [name, bytes] of [
    ["one", damaged],
    ["one.gz", gzipSync(damaged)],
  ] as const) {
    await writeFile(join(dataDir, "set", name), bytes);
    await assert.rejects(ensureArchive(archive, { dataDir, cacheDir }), {
      code: "data",
      message: /one(\.gz)? has the official size but MD5 \w+, not \w+; it is damaged: remove it/,
    });
    await rm(join(dataDir, "set", name));
  }
});

test("a folder of the name that the official archive unpacks to is found as well", async () => {
  const dataDir = join(cacheDir, "own");
  await mkdir(join(dataDir, "set-bin"), { recursive: true });
  for (const [name, bytes] of contents) await writeFile(join(dataDir, "set-bin", name), bytes);
  const archive = { ...archiveOf(), otherFolders: ["set-bin"] };
  const paths = await locateArchive(archive, { dataDir });
  assert.equal(paths?.get("one"), join(dataDir, "set-bin", "one"));
  const { folder, files } = await inspectArchive(archive, { dataDir, cacheDir });
  assert.equal(folder, join(dataDir, "set-bin"));
  assert.deepEqual(
    files.map(({ bytes }) => bytes),
    [30_000, 8_000],
  );
});

test("a data folder at a URL is fetched into the cache, once, from nowhere else", async () => {
  const packed = contents.get("two") as Buffer;
  const server = await startSampleServer([
    ["base/set/one", contents.get("one") as Buffer],
    ["base/set/two.gz", gzipSync(packed)],
  ]);
  try {
    const elsewhere = await serve();
    const archive = archiveOf(webSource(elsewhere.base));
    const dataDir = `${server.url}base`;
    assert.equal(await locateArchive(archive, { dataDir, cacheDir }), null);
    const paths = await ensureArchive(archive, { dataDir, cacheDir, log });
    assert.equal(paths.get("two"), join(folder, "two"));
    await assertComplete();
    const asked = server.requests.map(({ path }) => path);
    assert.deepEqual(asked, ["base/set/one", "base/set/two", "base/set/two.gz"]);
    await ensureArchive(archive, { dataDir, cacheDir });
    assert.equal(server.requests.length, 3);
    server.site.files.clear();
    await rm(join(folder, "two"));
    const says = /two or set\/two\.gz is not there\); put the files in http.*base, below set\//;
    await assert.rejects(ensureArchive(archive, { dataDir, cacheDir }), says);
    assert.deepEqual(elsewhere.requests, []);
  } finally {
    await server.close();
  }
});

test("an archive is unpacked as it streams, and refused when its sum is wrong", async () => {
  const entries = [...contents].map(([name, bytes]) => ({ path: `set-bin/${name}`, bytes }));
  const tar = gzipSync(
    encodeTar([...entries, { path: "set-bin/other", bytes: randomBytes(200_000) }]),
  );
  const server = await startSampleServer([["set.tar.gz", tar]]);
  try {
    const md5 = createHash("md5").update(tar).digest("hex");
    const packed = { path: "set.tar.gz", md5, folder: "set-bin" };
    server.site.cuts = [100_000];
    server.site.beforeCut = (bytes) => untilPartHas(folder, bytes);
    await ensureArchive(archiveOf(archiveSource(server.url, packed)), { cacheDir });
    assert.equal(server.requests[1]?.headers.range, "bytes=100000-");
    await assertComplete();
    await rm(folder, { recursive: true });
    const wrong = archiveSource(server.url, { ...packed, md5: "0".repeat(32) });
    await assertRefused(archiveOf(wrong), /set\.tar\.gz has MD5 \w+, not 0{32}/);
    assert.deepEqual(await readdir(folder), []);
    const lacking = archiveSource(server.url, { ...packed, folder: "elsewhere" });
    await assertRefused(archiveOf(lacking), /set\.tar\.gz: lacks 2 files/);
  } finally {
    await server.close();
  }
});

test("a folder of this machine serves, one that is not there is passed over", async () => {
  const shared = join(cacheDir, "shared");
  await mkdir(shared);
  await writeFile(join(shared, "one"), contents.get("one") as Buffer);
  await writeFile(join(shared, "two.gz"), gzipSync(contents.get("two") as Buffer));
  const absent = folderSource(join(cacheDir, "absent"));
  await ensureArchive(archiveOf(absent, folderSource(shared)), { cacheDir, log });
  await assertComplete();
  assert.equal(lines.length, 2);
});

test("named files of any place are fetched, those that leave the folder are not", async () => {
  const server = await startSampleServer([["own/a/one", contents.get("one") as Buffer]]);
  try {
    const place = `${server.url}own`;
    const target = join(cacheDir, "target");
    const file = { name: "a/one", bytesMax: 1 << 20 };
    const paths = await fetchRemoteFiles(place, [file], { folder: target });
    assert.equal(paths.get("a/one"), join(target, "a", "one"));
    assert.ok((await readFile(join(target, "a", "one"))).equals(contents.get("one") as Buffer));
    const wrong = { ...file, md5: "0".repeat(32) };
    await assert.rejects(fetchRemoteFiles(place, [wrong], { folder: target }), {
      code: "data",
      message: /a\/one has MD5 \w+, not 0{32}\); check the URL/,
    });
    for (const name of ["../one", "/one", "a//one", "a\\one"]) {
      await assert.rejects(fetchRemoteFiles(place, [{ ...file, name }], { folder: target }), {
        code: "data",
        message: /does not lie below it/,
      });
    }
  } finally {
    await server.close();
  }
});

test("a wrong checksum leaves no file behind and the next source serves", async () => {
  const wrong = await serve((name, response) => {
    const bytes = Buffer.from(contents.get(name.replace(/\.gz$/, "")) as Buffer);
    bytes[0] = 0;
    response.end(gzipSync(bytes));
  });
  await assertRefused(
    archiveOf(webSource(wrong.base)),
    /one has MD5 [0-9a-f]{32}, not [0-9a-f]{32}/,
  );
  assert.deepEqual(await readdir(folder), []);
  const right = await serve();
  await ensureArchive(archiveOf(webSource(wrong.base), webSource(right.base)), { cacheDir, log });
  assert.deepEqual(right.requests, ["one.gz", "two.gz"]);
  await assertComplete();
});

test("what one source delivered is not asked of the next", async () => {
  const half = await serve((name, response) =>
    name === "one.gz" ? rightAnswer(name, response) : response.writeHead(503).end(),
  );
  const right = await serve();
  await ensureArchive(archiveOf(webSource(half.base), webSource(right.base)), { cacheDir, log });
  assert.deepEqual(right.requests, ["two.gz"]);
  assert.ok(lines.some((line) => /answered 503/.test(line)));
  await assertComplete();
});

test("a download that breaks off is refused, told length or not", async () => {
  const told = await serve((name, response) => {
    const packed = gzipSync(contents.get(name.replace(/\.gz$/, "")) as Buffer);
    response.writeHead(200, { "content-length": packed.length });
    response.write(packed.subarray(0, 40), () => response.socket?.destroySoon());
  });
  await assertRefused(archiveOf(webSource(told.base)), /one\.gz broke off/);
  const untold = await serve((name, response) => {
    const packed = gzipSync(contents.get(name.replace(/\.gz$/, "")) as Buffer);
    response.end(packed.subarray(0, 40));
  });
  await assertRefused(archiveOf(webSource(untold.base)), /one\.gz is corrupt gzip/);
  const names = (await readdir(folder)).filter((name) => name !== ".parts");
  assert.deepEqual(names, []);
});

test("a file that is larger than it may be is not read to its end", async () => {
  const { base } = await serve((_name, response) => {
    response.end(Buffer.alloc(1 << 20, 7));
  });
  await assertRefused(archiveOf(webSource(base)), /one\.gz is larger than 95536 bytes/);
  const bomb = await serve((_name, response) => {
    response.end(gzipSync(Buffer.alloc(1 << 20)));
  });
  await assertRefused(archiveOf(webSource(bomb.base)), /one has more than 30000 bytes/);
});

test("a source that is silent, at once or in mid-file, is given up", async () => {
  const silent = await serve(() => {});
  const limits = { answerTimeoutMs: 40, pauseTimeoutMs: 40 };
  const silence = /one\.gz did not answer within 40 ms/;
  await assertRefused(archiveOf(webSource(silent.base, limits)), silence);
  const pausing = await serve((_name, response) => {
    response.write("x");
  });
  const patient = { answerTimeoutMs: 20_000, pauseTimeoutMs: 40 };
  await assertRefused(archiveOf(webSource(pausing.base, patient)), /one\.gz paused for 40 ms/);
});

test("a source that can't be reached is named with the reason", async () => {
  const { base } = await serve();
  const server = servers.pop() as Server;
  await new Promise((resolve) => server.close(resolve));
  await assertRefused(archiveOf(webSource(base)), /broke off \(nobody listens there\)/);
});

test("three that fetch at the same time all end with whole files", async () => {
  const waiting: (() => void)[] = [];
  const { base, requests } = await serve((name, response) => {
    // Answers are held until all three fetchers are at the same file.
    waiting.push(() => rightAnswer(name, response));
    if (waiting.length === 3) for (const answer of waiting.splice(0)) answer();
  });
  const archive = archiveOf(webSource(base));
  await Promise.all([1, 2, 3].map(() => ensureArchive(archive, { cacheDir })));
  assert.equal(requests.length, 6);
  await assertComplete();
});

test("remains of a fetch that died are cleared away, those of a living one are not", async () => {
  const [old, fresh] = [join(folder, ".fetching-old"), join(folder, ".fetching-fresh")];
  await mkdir(old, { recursive: true });
  await mkdir(fresh);
  const yesterday = Date.now() / 1000 - 86_400;
  await utimes(old, yesterday, yesterday);
  const host = hostname().replace(/[^A-Za-z0-9.]/g, ".");
  const earlierLife = join(folder, `.fetching-${host}-${process.pid}-1000000-x`);
  await mkdir(earlierLife);
  const { base } = await serve();
  await ensureArchive(archiveOf(webSource(base)), { cacheDir });
  assert.deepEqual((await readdir(folder)).sort(), [".fetching-fresh", "one", "two"]);
});

test("a time of day that jumps by hours takes no fetch for one that died", async (context) => {
  let begin: (goOn: () => void) => void = () => {};
  const begun = new Promise<() => void>((resolve) => {
    begin = resolve;
  });
  const { base } = await serve((name, response) => begin(() => rightAnswer(name, response)));
  const archive = { ...archiveOf(webSource(base)), files: files.slice(0, 1) };
  const first = ensureArchive(archive, { cacheDir });
  const goOn = await begun;
  const nowMs = Date.now();
  context.mock.method(Date, "now", () => nowMs + 5 * 3_600_000);
  const other = await serve();
  await ensureArchive(archiveOf(webSource(other.base)), { cacheDir });
  const working = (await readdir(folder)).filter((name) => name.startsWith(".fetching-"));
  assert.equal(working.length, 1, "of the first, which goes on");
  goOn();
  await first;
  await assertComplete();
});

test("a cache folder that can't be written is a storage error", async () => {
  const { base } = await serve();
  const blocked = join(cacheDir, "file");
  await writeFile(blocked, "");
  await assert.rejects(ensureArchive(archiveOf(webSource(base)), { cacheDir: blocked }), {
    code: "storage",
    message: /choose a writable cache folder/,
  });
});

test("without a cache folder nothing is fetched and the flag is named", async () => {
  await assert.rejects(ensureArchive(archiveOf(), { dataDir: cacheDir }), {
    code: "data",
    message: /set is not in \/\S+; give --data-dir/,
  });
});

test("a folder that the user names must be there; one without the set is told of", async () => {
  const { base, requests } = await serve();
  const archive = archiveOf(webSource(base));
  const file = join(cacheDir, "file");
  await writeFile(file, "");
  for (const [dataDir, reason] of [
    [join(cacheDir, "mistyped"), "there is no such file or folder"],
    [file, "a part of the path is a file, not a folder"],
  ] as const) {
    const message = new RegExp(
      `^--data-dir ${dataDir} can't be read \\(${reason}\\); give the fold`,
    );
    const refusal = { code: "usage", message };
    await assert.rejects(ensureArchive(archive, { dataDir, cacheDir, log }), refusal);
    await assert.rejects(locateArchive(archive, { dataDir, cacheDir }), refusal);
    await assert.rejects(inspectArchive(archive, { dataDir, cacheDir }), refusal);
  }
  assert.deepEqual([requests, lines], [[], []]);
  const dataDir = join(cacheDir, "own");
  await mkdir(dataDir);
  await ensureArchive(archive, { dataDir, cacheDir, log });
  await assertComplete();
  assert.equal(lines[0], `set is not in ${dataDir}: ${folder} is used`);
});

test("files of the user's that can't be looked at are not taken for absent", async () => {
  const { base, requests } = await serve();
  const own = join(cacheDir, "own", "set");
  await mkdir(own, { recursive: true });
  await symlink("one", join(own, "one"));
  const options = { dataDir: join(cacheDir, "own"), cacheDir, log };
  await assert.rejects(ensureArchive(archiveOf(webSource(base)), options), {
    code: "data",
    message: /own\/set\/one can't be read \(its links lead back to themselves\); check the path/,
  });
  assert.deepEqual(requests, []);
});

/** A program that takes npm's place: it copies an archive to the folder it is told. */
async function fakeNpm(body: string): Promise<string[]> {
  const path = join(cacheDir, "npm.mjs");
  await writeFile(path, body);
  return [process.execPath, path];
}

test("the npm package's files are unpacked, and only those wanted", async () => {
  const entries = [...contents].map(([name, bytes]) => ({ path: `package/data/${name}`, bytes }));
  const other = { path: "package/data/three", bytes: Buffer.from("other") };
  await writeFile(join(cacheDir, "packed"), gzipSync(encodeTar([other, ...entries])));
  const npm = await fakeNpm(`
    import { copyFileSync } from "node:fs";
    const [verb, specifier, flag, folder] = process.argv.slice(2);
    if (verb === "view") process.exit(0);
    if (verb !== "pack" || specifier !== "some-set@1.2.3" || flag !== "--pack-destination")
      throw new Error(process.argv.join(" "));
    copyFileSync(new URL("packed", import.meta.url), folder + "/some-set-1.2.3.tgz");
  `);
  await ensureArchive(archiveOf(npmSource("some-set", "1.2.3", "data", npm)), { cacheDir });
  await assertComplete();
});

test("an npm that fails or is not there is told in its own words", async () => {
  const npm = await fakeNpm(`
    console.error("npm warn something\\nnpm error code ENOTFOUND\\nnpm error network is down");
    process.exit(1);
  `);
  const source = npmSource("some-set", "1.2.3", "data", npm);
  await assertRefused(archiveOf(source), /npm view failed \(code ENOTFOUND, network is down\)/);
  const absent = npmSource("some-set", "1.2.3", "data", [join(cacheDir, "no-npm")]);
  await assertRefused(archiveOf(absent), /npm is not installed/);
});

test("an installed package serves, one that is not installed is passed over", async () => {
  const root = join(cacheDir, "node_modules", "some-set");
  await mkdir(join(root, "data"), { recursive: true });
  await writeFile(join(root, "package.json"), '{"name":"some-set","version":"1.2.3"}');
  for (const [name, bytes] of contents) await writeFile(join(root, "data", name), bytes);
  const from = pathToFileURL(join(cacheDir, "main.js")).href;
  const installed = installedPackageSource("some-set", "data", from);
  const absent = installedPackageSource("other-set", "data", from);
  await ensureArchive(archiveOf(absent, installed), { cacheDir, log });
  await assertComplete();
  assert.equal(lines.length, 2);
  assert.match(lines[0] as string, /from installed package some-set$/);
});
