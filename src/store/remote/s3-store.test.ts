import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { ensureArchive, type FileArchive } from "../../data/download/archive.js";
import {
  type SampleServer,
  startSampleServer,
  untilPartHas,
} from "../../data/testing/sample-server.js";
import { s3Files } from "./s3-files.js";
import { s3Store } from "./s3-store.js";

const content = randomBytes(200_000);
const md5 = createHash("md5").update(content).digest("hex");
const archive: FileArchive = {
  folder: "set",
  files: [{ name: "big", md5, bytes: content.length }],
  sources: [],
};

const kept = { ...process.env };
let cacheDir = "";
let server: SampleServer;
let lines: string[] = [];
const dataDir = "s3://some-bucket/some/prefix/";

before(() => {
  for (const name of Object.keys(process.env)) if (/^AWS_/.test(name)) delete process.env[name];
  process.env.AWS_EC2_METADATA_DISABLED = "true";
  process.env.AWS_CONFIG_FILE = join(tmpdir(), "paceline-no-such-file");
  process.env.AWS_SHARED_CREDENTIALS_FILE = process.env.AWS_CONFIG_FILE;
});
after(() => {
  process.env = kept;
});

beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "paceline-s3-"));
  server = await startSampleServer([["some-bucket/some/prefix/set/big", content]]);
  server.site.beforeCut = untilAllCame;
  process.env.AWS_ENDPOINT_URL = server.url;
  lines = [];
});
afterEach(async () => {
  await server.close();
  await rm(cacheDir, { recursive: true, force: true });
});

const fetchSet = () =>
  ensureArchive(archive, { dataDir, cacheDir, log: (line) => lines.push(line) });

async function assertWhole(): Promise<void> {
  assert.ok((await readFile(join(cacheDir, "set", "big"))).equals(content));
}

/** Bytes that are still on their way when a connection breaks may be lost. */
const untilAllCame = (bytes: number) => untilPartHas(cacheDir, bytes);

test("without credentials requests go unsigned", async () => {
  await fetchSet();
  await assertWhole();
  assert.equal(server.requests.length, 1);
  assert.equal(server.requests[0]?.headers.authorization, undefined);
  assert.equal(lines[0], "set: fetching 1 file (0.2 MB) from s3://some-bucket/some/prefix/");
});

test("with credentials they are signed for the region", async () => {
  process.env.AWS_ACCESS_KEY_ID = "some-key";
  process.env.AWS_SECRET_ACCESS_KEY = "some-secret";
  process.env.AWS_REGION = "eu-west-3";
  try {
    await fetchSet();
  } finally {
    delete process.env.AWS_ACCESS_KEY_ID;
    delete process.env.AWS_SECRET_ACCESS_KEY;
    delete process.env.AWS_REGION;
  }
  const { authorization } = server.requests[0]?.headers ?? {};
  assert.match(authorization ?? "", /^AWS4-HMAC-SHA256 Credential=some-key\/.*\/eu-west-3\/s3\//);
  await assertWhole();
});

test("credentials that can't be read at first are read again when S3 wants them", async () => {
  server.site.refuses = ({ authorization }) => authorization === undefined;
  const store = s3Store("s3://some-bucket/some/prefix");
  const request = { path: "set/big", from: 0, validator: null, signal: AbortSignal.timeout(9000) };
  const reason = /AccessDenied, 403: .*not signed: no credentials .*Could not load credentials/;
  await assert.rejects(store.open(request), { code: "unavailable", message: reason });
  const folder = s3Files();
  await assert.rejects(folder.claimFile("s3://some-bucket/some/lock", "mine"), {
    message: /denied \(AccessDenied, 403; .*not signed: no credentials .*\): check the cred/,
  });
  process.env.AWS_ACCESS_KEY_ID = "some-key";
  process.env.AWS_SECRET_ACCESS_KEY = "some-secret";
  try {
    assert.equal((await store.open(request))?.totalBytes, content.length);
    server.requests.length = 0;
    await store.open(request);
    assert.deepEqual(
      server.requests.map(({ headers }) => headers.authorization !== undefined),
      [true],
    );
  } finally {
    delete process.env.AWS_ACCESS_KEY_ID;
    delete process.env.AWS_SECRET_ACCESS_KEY;
  }
});

test("a download whose connection breaks is continued", async () => {
  server.site.cuts = [70_000];
  await fetchSet();
  await assertWhole();
  const [, second] = server.requests;
  assert.equal(second?.headers.range, "bytes=70000-");
  assert.match(second?.headers["if-match"] ?? "", /^"\d+"$/);
});

test("an object that changed meanwhile starts over", async () => {
  const path = "some-bucket/some/prefix/set/big";
  server.site.files.set(path, randomBytes(200_000));
  server.site.cuts = [70_000, 0, 0, 0];
  await assert.rejects(fetchSet(), { code: "data", message: /big (broke off|could not be read)/ });
  server.site.cuts = [];
  server.site.files.set(path, content);
  server.requests.length = 0;
  await fetchSet();
  await assertWhole();
  const asked = server.requests.map(({ headers }) => headers.range ?? null);
  assert.deepEqual(asked, ["bytes=70000-", null]);
});

test("an object may be gzipped, and one that is not there is told with the bucket", async () => {
  server.site.files.clear();
  server.site.files.set("some-bucket/some/prefix/set/big.gz", gzipSync(content));
  await fetchSet();
  await assertWhole();
  await rm(join(cacheDir, "set"), { recursive: true });
  server.site.files.clear();
  await assert.rejects(fetchSet(), {
    code: "data",
    message: /s3:\/\/some-bucket\/some\/prefix\/: set\/big or set\/big\.gz is not there/,
  });
});

test("without the SDK a place on S3 is a usage error with the command that mends it", async () => {
  const missing = Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
  const store = s3Store("s3://some-bucket", () => Promise.reject(missing));
  const request = { path: "set/big", from: 0, validator: null, signal: AbortSignal.timeout(5000) };
  await assert.rejects(store.open(request), {
    code: "usage",
    message: /@aws-sdk\/client-s3, which is not installed: npm install @aws-sdk\/client-s3$/,
  });
});

test("a place without a bucket is a usage error", async () => {
  await assert.rejects(ensureArchive(archive, { dataDir: "s3:///set", cacheDir }), {
    message: /s3:\/\/\/set names no bucket; write s3:\/\/bucket\/prefix/,
  });
  await assert.rejects(ensureArchive(archive, { dataDir: "ftp://host/set", cacheDir }), {
    message: /ftp:\/\/host\/set is not a source of data; give a folder, an https/,
  });
});
