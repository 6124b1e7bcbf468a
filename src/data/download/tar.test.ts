import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeTar } from "../testing/sample-tar.js";
import { readTar } from "./tar.js";

const files = [
  { path: "package/empty", bytes: new Uint8Array(0) },
  { path: "package/data/one", bytes: Uint8Array.from({ length: 512 }, (_, index) => index) },
  { path: `${"deep/".repeat(20)}file`, bytes: Uint8Array.of(7) },
];

async function* inPieces(bytes: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += pieceBytes) {
    yield bytes.subarray(from, from + pieceBytes);
  }
}

async function readAll(archive: Uint8Array, pieceBytes: number) {
  const read: { path: string; bytes: number[] }[] = [];
  for await (const { path, content } of readTar(inPieces(archive, pieceBytes))) {
    const bytes: number[] = [];
    for await (const piece of content) bytes.push(...piece);
    read.push({ path, bytes });
  }
  return read;
}

for (const pieceBytes of [1, 511, 512, 700, 1 << 20]) {
  test(`in pieces of ${pieceBytes} an archive gives its files with whole paths`, async () => {
    const folder = { path: "package/", bytes: new Uint8Array(0), kind: "5" };
    const archive = encodeTar([folder, ...files]);
    assert.deepEqual(
      await readAll(archive, pieceBytes),
      files.map(({ path, bytes }) => ({ path, bytes: [...bytes] })),
    );
  });
}

test("files whose content nobody reads, or only in part, are passed over", async () => {
  const paths: string[] = [];
  for await (const { path, content } of readTar(inPieces(encodeTar(files), 100))) {
    paths.push(path);
    if (path === "package/data/one") for await (const _ of content) break;
  }
  assert.deepEqual(
    paths,
    files.map(({ path }) => path),
  );
});

const broken: { name: string; archive: Uint8Array; says: RegExp }[] = [
  {
    name: "cut inside a file",
    archive: encodeTar(files).subarray(0, 512 + 512 + 100),
    says: /ends inside package\/data\/one/,
  },
  {
    name: "cut between two files",
    archive: encodeTar(files).subarray(0, 512 + 512 + 512),
    says: /ends at byte 1536 without its closing block/,
  },
  {
    name: "with a damaged header",
    archive: encodeTar(files).fill(0x41, 3, 4),
    says: /can't be read \(Invalid tar header/,
  },
  {
    name: "with one byte of its second header wrong",
    archive: encodeTar(files).fill(0x41, 512 + 130, 512 + 131),
    says: /can't be read \(Invalid tar header/,
  },
  {
    name: "cut inside a header",
    archive: encodeTar(files).subarray(0, 512 + 100),
    says: /ends within a header/,
  },
  { name: "of nothing", archive: new Uint8Array(0), says: /ends at byte 0/ },
];

for (const { name, archive, says } of broken) {
  test(`an archive ${name} is refused`, async () => {
    await assert.rejects(readAll(archive, 300), { code: "data", message: says });
  });
}

test("a long path of an extended header is the file's, and its size as well", async () => {
  const path = `${"folder of a long name/".repeat(12)}file`;
  const record = (text: string) => `${text.length + 5} ${text}\n`;
  const pax = Buffer.from(record(`path=${path}`));
  const archive = encodeTar([
    { path: "pax", bytes: pax, kind: "x" },
    { path: "short", bytes: Uint8Array.of(1, 2) },
    { path: "link", bytes: new Uint8Array(0), kind: "2" },
  ]);
  assert.deepEqual(await readAll(archive, 300), [{ path, bytes: [1, 2] }]);
});

test("an archive whose stream fails gives the stream's own error", async () => {
  const failing = (async function* () {
    yield encodeTar(files).subarray(0, 700);
    throw new RangeError("the disk is gone");
  })();
  const read = async () => {
    for await (const { content } of readTar(failing)) for await (const _ of content);
  };
  await assert.rejects(read, { name: "RangeError", message: "the disk is gone" });
});

test("a reader that stops early releases the archive's stream", async () => {
  let released = false;
  const watched = (async function* () {
    try {
      yield* inPieces(encodeTar(files), 100);
    } finally {
      released = true;
    }
  })();
  for await (const _ of readTar(watched)) break;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(released, true);
});
