/** Events are given in whole lines, from where the part before ended. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { appendFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readEventsPart } from "./job-events.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-job-events-"));
const path = join(folder, "events.jsonl");
after(() => rm(folder, { recursive: true }));

test("a line that is being written is left for the next part", async () => {
  assert.deepEqual(await readEventsPart(folder, 0), { text: "", next: 0 });
  await writeFile(path, '{"a":1}\n{"b":');
  assert.deepEqual(await readEventsPart(folder, 0), { text: '{"a":1}\n', next: 8 });
  assert.deepEqual(await readEventsPart(folder, 8), { text: "", next: 8 });
  await appendFile(path, "2}\n");
  assert.deepEqual(await readEventsPart(folder, 8), { text: '{"b":2}\n', next: 16 });
  assert.deepEqual(await readEventsPart(folder, 99), { text: "", next: 99 });
});

test("a long file comes in parts that follow each other", async () => {
  const line = `${JSON.stringify({ text: "x".repeat(1000) })}\n`;
  const count = 2000;
  await writeFile(path, line.repeat(count));
  let [text, from] = ["", 0];
  for (let parts = 0; parts < 9; parts++) {
    const part = await readEventsPart(folder, from);
    assert.ok(part.text.length <= 512 * 1024);
    [text, from] = [text + part.text, part.next];
  }
  assert.equal(text, line.repeat(count));
});
