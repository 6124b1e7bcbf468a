/** What of a folder a process changes that may not be the one to lead. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PacelineError } from "../errors.js";
import { diskFiles, readWhole } from "./files.js";
import { ledFiles } from "./led-files.js";

test("one that leads no longer gives no name and takes none away", async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "paceline-led-"));
  context.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "a"), "theirs");
  let isLeader = false;
  const files = ledFiles(diskFiles, async () => {
    if (!isLeader) throw new PacelineError("refused", "another leads");
  });
  const aside = await files.create(join(folder, "aside"));
  await aside.write(Buffer.from("ours"));
  await aside.close();
  const rename = () => files.rename(join(folder, "aside"), join(folder, "a"));
  await assert.rejects(rename(), { code: "refused" });
  await assert.rejects(files.remove(join(folder, "a")), { code: "refused" });
  assert.equal(String(await readWhole(diskFiles, join(folder, "a"), 100)), "theirs");
  isLeader = true;
  await rename();
  assert.equal(String(await readWhole(diskFiles, join(folder, "a"), 100)), "ours");
});

test("where nobody else may lead they are the files themselves", () => {
  assert.equal(ledFiles(diskFiles, undefined), diskFiles);
});
