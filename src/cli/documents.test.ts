import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { optionNames } from "../options/options.js";
import { documents } from "./documents.js";

function docsFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "ARCHITECTURE.md"))) folder = dirname(folder);
  return join(folder, "docs");
}

describe("generated documents", () => {
  for (const [name, write] of Object.entries(documents)) {
    test(`docs/${name} is what the table says; run make docs`, () => {
      assert.ok(
        readFileSync(join(docsFolder(), name), "utf8") === write(),
        `docs/${name} is stale`,
      );
    });
  }
  test("docs/config.md has a row for every option", () => {
    const text = documents["config.md"]!();
    for (const name of optionNames) assert.match(text, new RegExp(`\`(-\\w, )?--${name}\``), name);
  });
  test("docs/errors.md tells the exit codes of usage and data", () => {
    const text = documents["errors.md"]!();
    assert.match(text, /\| `usage` \| 2 \|/);
    assert.match(text, /\| `data` \| 7 \|/);
  });
});
