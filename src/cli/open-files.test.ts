import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openFilesLimit, openFilesProblem } from "./open-files.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-limits-"));
after(() => rmSync(folder, { recursive: true }));

test("the soft limit is the one that holds", () => {
  const rows: readonly (readonly [string, number | null])[] = [
    ["Max open files            60                   4096                 files\n", 60],
    ["Max open files            unlimited            unlimited            files\n", null],
    ["Max cpu time              1                    2                    seconds\n", null],
  ];
  for (const [text, limit] of rows) {
    const path = join(folder, "limits");
    writeFileSync(path, text);
    assert.equal(openFilesLimit(path), limit);
  }
  assert.equal(openFilesLimit(join(folder, "none")), null);
});

test("a limit that is too low is told with the remedy", () => {
  assert.equal(openFilesProblem(256, 256), null);
  assert.equal(openFilesProblem(256, null), null);
  const sentence = "this process may have 60 files open and needs about 256";
  assert.equal(openFilesProblem(256, 60), `${sentence}; raise the limit with ulimit -n 1024`);
});
