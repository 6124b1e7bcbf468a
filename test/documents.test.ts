import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { fromJson } from "@bufbuild/protobuf";
import { commandPlans } from "../dist/cli/commands.js";
import { keysOf, rowOf } from "../dist/options/options.js";
import * as coordinator from "../dist/transport/wire/generated-coordinator.js";
import * as parameterServer from "../dist/transport/wire/generated-parameter-server.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const pages = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "docs"), { recursive: true })
    .map((name) => join("docs", String(name)))
    .filter((name) => name.endsWith(".md")),
];

describe("documents", () => {
  for (const page of pages) {
    const text = readFileSync(join(root, page), "utf8");

    test(`${page} links only to files that are there`, () => {
      for (const [, target] of text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
        if (/^https?:/.test(target!)) continue;
        const path = join(root, dirname(page), target!);
        assert.ok(existsSync(path), `${page} links to ${relative(root, path)}`);
      }
    });
    test(`${page} shows only commands and options that there are`, () => {
      for (const [, line] of text.matchAll(/^\s*(?:\$ )?paceline ([^\n]+)$/gm)) {
        const [name, ...words] = line!.replace(/\s{2,}.*$/, "").split(/\s+/);
        if (name!.startsWith("-")) continue;
        const plan = commandPlans.find((one) => one.name === name);
        assert.ok(plan !== undefined, `${page}: paceline ${name}`);
        const known = keysOf(plan.options).flatMap((key) => {
          const { name: long, short } = rowOf(key);
          return [`--${long}`, `--no-${long}`, ...(short === undefined ? [] : [`-${short}`])];
        });
        const extra = (plan.extra ?? []).flatMap(({ flags }) => flags.match(/--?[a-z-]+/g) ?? []);
        for (const word of words.filter((one) => /^--?[a-z]/.test(one))) {
          const flag = word.replace(/=.*$/, "");
          const isKnown = [...known, ...extra, "--set", "--help"].includes(flag);
          assert.ok(isKnown, `${page}: paceline ${name} ${flag}`);
        }
      }
    });
  }
});

test("protocol.md's conversation consists of messages of the proto files", () => {
  const text = readFileSync(join(root, "docs", "protocol.md"), "utf8");
  const lines = [...text.matchAll(/^[<>] (\w+) (\w+) (\{.*\})$/gm)];
  assert.ok(lines.length >= 30, `${lines.length} lines`);
  const schemas = { ...coordinator, ...parameterServer } as Record<string, unknown>;
  for (const [line, , type, json] of lines) {
    const schema = schemas[`${type}Schema`] as typeof coordinator.RegisterRequestSchema;
    assert.ok(schema !== undefined, `there is no message ${type}`);
    assert.doesNotThrow(() => fromJson(schema, JSON.parse(json!)), line);
  }
});
