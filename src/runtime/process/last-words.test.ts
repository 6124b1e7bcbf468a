import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { lastWordsIn } from "./last-words.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-words-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, "server-0.log");

test("the sentence that a command ends with is found, and nothing else is taken for one", () => {
  const long = "x".repeat(20_000);
  for (const [log, words] of [
    [
      "server listens\npaceline: port 1 is in use; choose another\n",
      "port 1 is in use; choose another",
    ],
    [`${long}\npaceline: it is so`, "it is so"],
    ["paceline: once\nand then it went on\n", ""],
    [`paceline: ${long}\n`, ""],
    ["", ""],
    ["\n\n", ""],
  ] as const) {
    writeFileSync(path, log);
    assert.equal(lastWordsIn(path), words);
  }
  assert.equal(lastWordsIn(join(folder, "none.log")), "");
});
