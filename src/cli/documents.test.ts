import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { keysOf, optionNames, rowOf } from "../options/options.js";
import { commandPlans } from "./commands.js";
import { commandHelp, documents } from "./documents.js";

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

describe("help", () => {
  for (const plan of commandPlans) {
    test(`paceline ${plan.name} --help has every option and an example`, () => {
      const text = commandHelp(plan);
      for (const key of keysOf(plan.options)) {
        const { name, default: value } = rowOf(key);
        assert.ok(text.includes(value === true ? `--no-${name}` : `--${name}`), name);
      }
      assert.match(text, new RegExp(`Examples:\n {2}paceline ${plan.name}`));
    });
  }
});
