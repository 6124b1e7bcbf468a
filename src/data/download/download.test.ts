import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { appendFile, mkdtemp, readdir, readFile, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { type SampleServer, startSampleServer, untilPartHas } from "../testing/sample-server.js";
import { ProgressLines } from "./download.js";
import { fetchFiles } from "./fetch-files.js";
import { placeSource } from "./sources.js";

const content = randomBytes(300_000);
const other = randomBytes(300_000);
const md5 = createHash("md5").update(content).digest("hex");
const wanted = [{ name: "big", md5, bytes: content.length, bytesMax: content.length }];
const [first, second] = [100_000, 50_000];

let folder = "";
let server: SampleServer;
let lines: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-download-"));
  server = await startSampleServer([["set/big", content]]);
  server.site.beforeCut = (bytes) => untilPartHas(folder, bytes);
  lines = [];
});

afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

const moduleAt = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);

const fetchBig = (limits = {}) =>
  fetchFiles({
    label: "set",
    folder,
    wanted,
    sources: [placeSource(server.url, "set", limits)],
    log: (line) => lines.push(line),
    remedy: "try again",
  });

const ranges = () => server.requests.map(({ headers }) => headers.range ?? null);

async function assertWhole(): Promise<void> {
  assert.deepEqual(await readdir(folder), ["big"]);
  assert.ok((await readFile(join(folder, "big"))).equals(content));
}

/** Ends a fetch with so many bytes in the pool of parts. */
async function leavePart(bytes: number): Promise<string> {
  server.site.cuts = [bytes, 0];
  await assert.rejects(fetchBig(), /big broke off/);
  const [name] = await readdir(join(folder, ".parts"));
  const path = join(folder, ".parts", name as string, "content");
  assert.equal((await stat(path)).size, bytes);
  server.requests.length = 0;
  return path;
}

for (const marks of ["etag", "date", "none"] as const) {
  test(`a download whose connection breaks twice is continued (mark: ${marks})`, async () => {
    server.site.marks = marks;
    server.site.cuts = [first, second];
    await fetchBig();
    await assertWhole();
    assert.deepEqual(ranges(), [null, `bytes=${first}-`, `bytes=${first + second}-`]);
    const condition = server.requests[1]?.headers["if-range"];
    assert.equal(condition === undefined, marks === "none");
    assert.ok(lines.some((line) => /set: set\/big broke off .* at 0\.1 MB; continuing/.test(line)));
  });
}

test("what an earlier fetch left is continued, and nothing of it stays", async () => {
  await leavePart(first);
  await fetchBig();
  assert.deepEqual(ranges(), [`bytes=${first}-`]);
  await assertWhole();
  assert.ok(lines.includes("set: set/big: continuing from 0.1 MB"));
});

test("a part that lacked only its name needs no byte more", async () => {
  await appendFile(await leavePart(first), content.subarray(first));
  await fetchBig();
  assert.deepEqual(ranges(), [`bytes=${content.length}-`]);
  await assertWhole();
});

test("a server that ignores ranges starts over", async () => {
  await leavePart(first);
  server.site.knowsRanges = false;
  await fetchBig();
  await assertWhole();
  assert.ok(lines.includes("set: set/big: starting over, as the server does not resume downloads"));
});

test("a server that pauses is asked again from there", async () => {
  server.site.cuts = [first];
  server.site.stalls = true;
  await fetchBig({ pauseTimeoutMs: 300 });
  assert.match(ranges()[1] ?? "", /^bytes=[1-9]\d*-$/);
  await assertWhole();
  assert.ok(lines.some((line) => /big paused for 300 ms at 0\.\d MB; continuing/.test(line)));
});

test("a server whose file changed starts over", async () => {
  server.site.files.set("set/big", other);
  await leavePart(first);
  server.site.files.set("set/big", content);
  await fetchBig();
  assert.equal(server.requests.length, 1);
  await assertWhole();
});

test("a changed file that nothing tells of is found by its sum, and fetched whole", async () => {
  server.site.marks = "none";
  server.site.files.set("set/big", other);
  await leavePart(first);
  server.site.files.set("set/big", content);
  await fetchBig();
  assert.deepEqual(ranges(), [`bytes=${first}-`, null]);
  await assertWhole();
  assert.ok(lines.some((line) => /big has MD5 .*: starting over without the part/.test(line)));
});

test("a server that lies is not asked twice, and its part is not kept", async () => {
  server.site.files.set("set/big", other);
  await assert.rejects(fetchBig(), {
    code: "data",
    message: /set.*127\.0\.0\.1.*: big has MD5 [0-9a-f]{32}, not [0-9a-f]{32}\); try again$/,
  });
  assert.equal(server.requests.length, 1);
  assert.deepEqual(await readdir(folder), []);
});

test("a process that was killed leaves a part that the next fetch goes on with", async () => {
  server.site.cuts = [first];
  server.site.stalls = true;
  const job = { label: "set", folder, wanted, remedy: "" };
  const program = `
    const { fetchFiles } = await import(${moduleAt("./fetch-files.js")});
    const { placeSource } = await import(${moduleAt("./sources.js")});
    const sources = [placeSource(${JSON.stringify(server.url)}, "set")];
    await fetchFiles({ ...${JSON.stringify(job)}, sources, log() {} });
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
  try {
    await untilPartHas(folder, first);
  } finally {
    child.kill("SIGKILL");
  }
  await once(child, "exit");
  assert.match((await readdir(folder)).join(), /^\.fetching-[^,]*$/);
  server.requests.length = 0;
  await fetchBig();
  assert.deepEqual(ranges(), [`bytes=${first}-`]);
  await assertWhole();
});

const hasFullDevice = process.platform === "linux" ? {} : { skip: "there is no /dev/full" };
test("a full disk is a storage error that says so", hasFullDevice, async () => {
  const path = await leavePart(first);
  await rm(path);
  await symlink("/dev/full", path);
  await assert.rejects(fetchBig(), {
    code: "storage",
    message: /can't write .* \(the disk is full\); free some space or choose another cache folder/,
  });
});

test("progress is told once a second at most, with the rate since the last line", () => {
  const progress = new ProgressLines("big", 170e6, 10e6, 0);
  assert.equal(progress.next(15e6, 999), null);
  assert.equal(progress.next(30e6, 2000), "big: 30.0 MB of 170.0 MB, 10.0 MB/s");
  assert.equal(progress.next(50e6, 2999), null);
  assert.equal(progress.next(60e6, 3500), "big: 60.0 MB of 170.0 MB, 20.0 MB/s");
  const untold = new ProgressLines("big", null, 0, 0);
  assert.equal(untold.next(5e6, 1000), "big: 5.0 MB, 5.0 MB/s");
});

test("a password of the place is in no line and in no error", async () => {
  const secret = server.url.replace("http://", "http://ada:s3@cret@");
  const sources = [placeSource(secret, "nowhere")];
  const log = (line: string) => lines.push(line);
  const job = { label: "set", folder, wanted, sources, log, remedy: "try again" };
  const error = await fetchFiles(job).then(
    () => "",
    ({ message }: Error) => message,
  );
  assert.match([...lines, error].join("\n"), /fetching 1 file .*from http:\/\/127/);
  assert.doesNotMatch([...lines, error].join("\n"), /ada|cret/);
});
