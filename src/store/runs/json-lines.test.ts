import assert from "node:assert/strict";
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { PacelineError } from "../../errors.js";
import { fileError } from "../file-errors.js";
import { aroundFiles, diskFiles } from "../files.js";
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

async function allLines(): Promise<unknown[]> {
  const lines: unknown[] = [];
  for await (const line of readJsonLines(path)) lines.push(line);
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

test("a missing file has no lines, a line of garbage is named by its number", async () => {
  assert.deepEqual(await allLines(), []);
  await writeFile(path, '{"a":1}\ngarbage\n{"b":2}\n');
  await assert.rejects(allLines(), (thrown) => {
    assert.ok(thrown instanceof PacelineError && thrown.code === "storage");
    assert.match(thrown.message, /^line 2 of .*events\.jsonl is not JSON: remove that line$/);
    return true;
  });
});

test("a failed write is told by flush and by close", async () => {
  const files = aroundFiles(diskFiles, async (verb, where, action) => {
    if (verb !== "write") return action();
    throw fileError(Object.assign(new Error("full"), { code: "ENOSPC" }), verb, where);
  });
  const writer = await JsonLinesWriter.open(path, files);
  writer.append({ a: 1 });
  await assert.rejects(writer.flush(), /can't write .*events.jsonl: the disk is full/);
  writer.append({ b: 2 });
  await assert.rejects(writer.close(), /the disk is full/);
  assert.deepEqual(await allLines(), []);
});
