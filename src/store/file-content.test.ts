import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { readUnpacked } from "./file-content.js";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-content-"));
});
after(() => rm(folder, { recursive: true, force: true }));

const content = Uint8Array.of(0, 9, 3, 1);

test("a file reads the same plain and gzipped, whatever its name", async () => {
  await writeFile(join(folder, "plain"), content);
  await writeFile(join(folder, "packed"), gzipSync(content));
  assert.deepEqual(Buffer.from(await readUnpacked(join(folder, "plain"))), Buffer.from(content));
  assert.deepEqual(Buffer.from(await readUnpacked(join(folder, "packed"))), Buffer.from(content));
});

test("a missing file and broken gzip are data errors that name the file", async () => {
  const broken = join(folder, "broken.gz");
  await writeFile(broken, gzipSync(content).subarray(0, 20));
  await assert.rejects(readUnpacked(broken), {
    code: "data",
    message: /broken\.gz is corrupt gzip/,
  });
  const missing = join(folder, "absent");
  await assert.rejects(readUnpacked(missing), { code: "data", message: /absent can't be read/ });
});
