import assert from "node:assert/strict";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PacelineError } from "../../errors.js";
import { aroundFiles, diskFiles } from "../../store/files.js";
import { readEventsPart } from "./job-events.js";

test("events are told of a file that a longer one replaces meanwhile", async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "paceline-events-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "events.jsonl");
  await writeFile(path, "one\ntwo\n");
  let replacements = 2;
  const files = aroundFiles(diskFiles, async (verb, _path, action) => {
    if (verb !== "read" || replacements-- <= 0) return action();
    await appendFile(path, "more\n");
    // What a bucket says of an object that is another by now.
    throw new PacelineError("storage", "it was replaced", { details: { errno: "ESTALE" } });
  });
  assert.deepEqual(await readEventsPart(folder, 4, files), { text: "two\n", next: 8 });
  const rest = await readEventsPart(folder, 8, files);
  assert.deepEqual(rest, { text: "more\nmore\n", next: 18 });
});
