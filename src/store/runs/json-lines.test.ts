import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileError } from "../file-errors.js";
import { aroundFiles, diskFiles, type Files } from "../files.js";
import { JsonLinesWriter, readJsonLines } from "./json-lines.js";

let folder = "";
let path = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-lines-"));
  path = join(folder, "events.jsonl");
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function allLines(broken: string[] = []): Promise<unknown[]> {
  const lines: unknown[] = [];
  for await (const line of readJsonLines(path, (told) => broken.push(told))) lines.push(line);
  return lines;
}

test("lines come back in the order in which they were appended", async () => {
  const writer = await JsonLinesWriter.open(path);
  const expected: object[] = [];
  for (let step = 0; step < 5000; step++) {
    const line = { step, text: 'a "quoted"\nline é' };
    writer.append(line);
    expected.push(line);
    if (step % 1000 === 0) await writer.flush();
  }
  await writer.close();
  assert.deepEqual(await allLines(), expected);
});

test("after a flush every line is in the file, and lines of one moment share a write", async () => {
  let writes = 0;
  const files = aroundFiles(diskFiles, (verb, _, action) => {
    if (verb === "write") writes += 1;
    return action();
  });
  const writer = await JsonLinesWriter.open(path, files);
  for (let step = 0; step < 100; step++) writer.append({ step });
  await writer.flush();
  assert.equal((await allLines()).length, 100);
  assert.equal(writes, 1);
  await writer.close();
});

test("a torn last line is left out on reading and cut off on opening", async () => {
  await writeFile(path, '{"a":1}\n{"b":');
  assert.deepEqual(await allLines(), [{ a: 1 }]);
  const writer = await JsonLinesWriter.open(path);
  writer.append({ c: 3 });
  await writer.close();
  assert.equal(await readFile(path, "utf8"), '{"a":1}\n{"c":3}\n');
});

test("a torn line longer than a piece is cut off whole", async () => {
  await writeFile(path, `{"a":1}\n{"b":"${"x".repeat(300_000)}`);
  await (await JsonLinesWriter.open(path)).close();
  assert.equal(await readFile(path, "utf8"), '{"a":1}\n');
  await writeFile(path, `{"b":"${"x".repeat(300_000)}`);
  await (await JsonLinesWriter.open(path)).close();
  assert.equal(await readFile(path, "utf8"), "");
});

test("lines that span the reader's pieces are whole", async () => {
  const texts = Array.from({ length: 30 }, (_, index) => "é".repeat(index * 1500));
  for (const text of texts) await appendFile(path, `${JSON.stringify({ text })}\n`);
  assert.deepEqual(
    await allLines(),
    texts.map((text) => ({ text })),
  );
});

test("a missing file has no lines, a line of garbage is left out and named", async () => {
  const broken: string[] = [];
  assert.deepEqual(await allLines(broken), []);
  await writeFile(path, '{"a":1}\n{"to{"b":2}\n\0\0\n{"c":3}\n{"d":');
  assert.deepEqual(await allLines(broken), [{ a: 1 }, { c: 3 }]);
  assert.equal(broken.length, 2);
  assert.match(broken[0]!, /^line 2 of .*events\.jsonl is not JSON and is left out$/);
  assert.match(broken[1]!, /^line 3 /);
});

/** A disk that takes only so many bytes at first. */
function smallDisk(bytes: number) {
  const disk = { room: bytes };
  const files: Files = {
    ...diskFiles,
    append: async (where, from) => {
      const file = await diskFiles.append(where, from);
      const write = async (given: Uint8Array) => {
        const fits = Math.min(given.length, disk.room);
        disk.room -= fits;
        await file.write(given.subarray(0, fits));
        if (fits === given.length) return;
        throw fileError(Object.assign(new Error("full"), { code: "ENOSPC" }), "write", where);
      };
      return { ...file, write };
    },
  };
  return { disk, files };
}

test("a full disk is told once, and lines that wait are written when there is room", async () => {
  const { disk, files } = smallDisk(12);
  const troubles: string[] = [];
  const writer = await JsonLinesWriter.open(path, files);
  writer.onTrouble = ({ message }) => troubles.push(message);
  writer.append({ a: 1 });
  assert.equal(await writer.flush(), null);
  writer.append({ b: 2 });
  const lost = await writer.flush();
  assert.equal(lost?.lines, 1);
  assert.match(lost?.reason ?? "", /can't write .*events.jsonl: the disk is full/);
  writer.append({ c: 3 });
  assert.equal((await writer.flush())?.lines, 2);
  assert.equal(troubles.length, 1);
  disk.room = 1000;
  writer.append({ d: 4 });
  assert.equal(await writer.close(), null);
  assert.equal(await readFile(path, "utf8"), '{"a":1}\n{"b":2}\n{"c":3}\n{"d":4}\n');
});

test("a file that is removed is told once, and written anew when its folder is back", async () => {
  const troubles: string[] = [];
  const writer = await JsonLinesWriter.open(path);
  writer.onTrouble = ({ message }) => troubles.push(message);
  writer.append({ a: 1 });
  writer.append({ b: 2 });
  assert.equal(await writer.flush(), null);
  await rm(folder, { recursive: true });
  for (const line of [{ c: 3 }, { d: 4 }]) {
    writer.append(line);
    const lost = await writer.flush();
    assert.ok(lost !== null && lost.lines >= 3, "two are gone, others wait");
  }
  assert.equal(troubles.length, 1);
  assert.match(
    troubles[0]!,
    /events\.jsonl was removed while it was written; lines until then are/,
  );
  await mkdir(folder);
  writer.append({ e: 5 });
  const lost = await writer.close();
  assert.equal(await readFile(path, "utf8"), '{"c":3}\n{"d":4}\n{"e":5}\n');
  assert.equal(lost?.lines, 2);
  assert.match(lost?.reason ?? "", /was removed/);
});

test("what could never be written is counted at the end, and what waits has a bound", async () => {
  const { files } = smallDisk(4);
  const writer = await JsonLinesWriter.open(path, files);
  const text = "x".repeat(1024 * 1024);
  for (let number = 0; number < 9; number++) {
    writer.append({ number, text });
    await writer.flush();
  }
  const lost = await writer.close();
  assert.equal(lost?.lines, 9);
  assert.match(lost?.reason ?? "", /the disk is full/);
});
