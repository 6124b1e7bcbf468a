/** Events are given in whole lines, from where the part before ended. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { appendFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PacelineError } from "../../errors.js";
import { jobRecords } from "../../protocol/run-events.js";
import { aroundFiles, diskFiles } from "../../store/files.js";
import { readRecordPart } from "./job-events.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-job-events-"));
const path = join(folder, "events.jsonl");
after(() => rm(folder, { recursive: true }));

test("a line that is being written is left for the next part", async () => {
  assert.deepEqual(await readRecordPart(folder, "events", 0), { text: "", next: 0 });
  await writeFile(path, '{"a":1}\n{"b":');
  assert.deepEqual(await readRecordPart(folder, "events", 0), { text: '{"a":1}\n', next: 8 });
  assert.deepEqual(await readRecordPart(folder, "events", 8), { text: "", next: 8 });
  await appendFile(path, "2}\n");
  assert.deepEqual(await readRecordPart(folder, "events", 8), { text: '{"b":2}\n', next: 16 });
  assert.deepEqual(await readRecordPart(folder, "events", 99), { text: "", next: 99 });
});

test("a long file comes in parts that follow each other", async () => {
  const line = `${JSON.stringify({ text: "x".repeat(1000) })}\n`;
  const count = 2000;
  await writeFile(path, line.repeat(count));
  let [text, from] = ["", 0];
  for (let parts = 0; parts < 9; parts++) {
    const part = await readRecordPart(folder, "events", from);
    assert.ok(part.text.length <= 512 * 1024);
    [text, from] = [text + part.text, part.next];
  }
  assert.equal(text, line.repeat(count));
});

test("each record is a file of the run's folder", async () => {
  const names = {
    ...{ events: "events.jsonl", metrics: "metrics.jsonl" },
    ...{ result: "result.json", config: "config.yaml" },
  };
  for (const name of Object.values(names)) await writeFile(join(folder, name), `of ${name}\n`);
  for (const record of jobRecords) {
    const text = `of ${names[record]}\n`;
    assert.deepEqual(await readRecordPart(folder, record, 0), { text, next: text.length });
  }
});

test("events are told of a file that a longer one replaces meanwhile", async () => {
  await writeFile(path, "one\ntwo\n");
  let replacements = 2;
  const files = aroundFiles(diskFiles, async (verb, _path, action) => {
    if (verb !== "read" || replacements-- <= 0) return action();
    await appendFile(path, "more\n");
    // What a bucket says of an object that is another by now.
    throw new PacelineError("storage", "it was replaced", { details: { errno: "ESTALE" } });
  });
  assert.deepEqual(await readRecordPart(folder, "events", 4, files), { text: "two\n", next: 8 });
  const rest = await readRecordPart(folder, "events", 8, files);
  assert.deepEqual(rest, { text: "more\nmore\n", next: 18 });
});
