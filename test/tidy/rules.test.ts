/** Each rule of tidiness on small strings: what it refuses, and what it lets through. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { branchesOnModes, comparedNames } from "./listed-names.js";
import { arrowsUp, crowdedFolders, deadFiles, folderFilesMax, unusedPermissions } from "./plan.js";
import { check, fileLinesMax, functionLinesMax, lineCharactersMax } from "./rules.js";
import { type Finding, parse, readRooms } from "./sources.js";

/** Apart from their call, so that no search for such tests finds these strings. */
const [skip, only] = ["skip", "only"];

function shown(findings: readonly Finding[]): string {
  return findings.map(({ path, line, message }) => `${path}:${line}: ${message}`).join("\n");
}

describe("each rule refuses what it is there for", () => {
  const rooms = readRooms(
    "| `core` | `server` | machines | |\n| `wire` | | bytes | core (types) |\n" +
      "| `host` | | loop | core, wire |\n",
  );
  const top = "/**\n * What this is and why it is\n * so, in short.\n */\n";
  const long = "  f();\n".repeat(functionLinesMax);
  const refused: readonly (readonly [path: string, text: string, message: string])[] = [
    ["src/core/a.ts", `${top}import "../wire/b.js";`, "core may not import wire"],
    ["src/core/a.ts", `${top}import fs from "node:fs";`, 'core imports "node:fs"; it is pure'],
    ["src/core/a.ts", `${top}import { pino } from "pino";`, 'core imports "pino"; it is pure'],
    ["src/core/a.ts", `${top}import "@noble/hashes/utils";`, 'hashes/utils"; it is pure'],
    ["src/wire/a.ts", `${top}import { b } from "../core/b.js";`, "types only of core"],
    ["src/wire/a.ts", `${top}const b = await import("../core/b.js");`, "types only of core"],
    ["src/wire/a.ts", `${top}import { b } from "../index.js";`, "are free for all"],
    ["src/core/a.ts", `${top}const t = Date.now();`, "core reaches Date.now"],
    ["src/core/a.ts", `${top}const t = new Date();`, "core reaches new Date()"],
    ["src/core/a.ts", `${top}const t = Math.random();`, "core reaches Math.random"],
    ["src/core/server/a.ts", `${top}const t = Date.now();`, "core reaches Date.now"],
    ["src/wire/a.ts", `${top}import { b } from "../host/testing/b.js";`, "is for tests"],
    ["src/wire/a.ts", `${top}import { b } from "./b.test.js";`, "is for tests"],
    ["src/core/a.ts", `${top}setTimeout(() => {}, 1);`, "core reaches setTimeout"],
    ["src/core/a.ts", `${top}process.exit(1);`, "core reaches process"],
    ["src/core/a.ts", `${top}globalThis.performance.now();`, "core reaches globalThis"],
    ["src/core/a.ts", "const a = 1;", "opens with 0 lines of comment"],
    ["src/core/server/deep/a.ts", top, "lies too deep"],
    ["src/core/client/a.ts", top, '"client" is no wing of core'],
    ["src/attic/a.ts", "", '"attic" is no room'],
    ["src/stray.ts", "", "belongs in a room"],
    ["src/host/shardLoop.ts", "", "kebab-case"],
    ["src/host/shard-utils.ts", "", '"utils" says nothing'],
    ["src/host/a.ts", "const home = process.env.HOME;", "process.env is read in"],
    ["src/host/a.ts", "const a = b as any;", 'cast to "any"'],
    ["src/host/a.ts", "mkdirSync(path, { recursive: true });", "may never end"],
    ["src/host/a.ts", "await fs.mkdir(path, { recursive: true });", "may never end"],
    ["src/host/a.test.ts", `test.${skip}('a', () => {});`, "every test runs"],
    ["src/host/a.test.ts", `describe.${only}('a', () => {});`, "every test runs"],
    ["src/host/a.test.ts", `test('a', { ${skip}: true }, () => {});`, "every test runs"],
    ["src/host/a.ts", "\n".repeat(fileLinesMax + 1), "split at 500 by idea"],
    ["src/host/a.ts", `function f() {\n${long}}`, "72 lines of function"],
    ["src/host/a.ts", `const a = "${"x".repeat(lineCharactersMax)}";`, "break the line at 100"],
    ["src/host/a.ts", "export const a = 1;", "export a has no doc sentence"],
    ["src/host/a.ts", "/** A. */\nexport function a() {}", "export a has no doc sentence"],
    ["src/host/a.ts", "/** The loop itself. */\nexport default class A {}", "default export"],
    ["src/host/a.ts", 'export { b } from "./b.js";', "the only barrel"],
    ["src/host/a.ts", `const a = "/${"home"}/ann/run";`, "path of one machine"],
    ["docs/a.md", `cd /${"Users"}/ann`, "path of one machine"],
    ["src/host/a.ts", `// ${"TO"}DO later`, "marks something unfinished"],
    ["docs/a.md", `Told to ${"who"}ever asks.`, "is hard to read"],
    ["src/host/a.ts", `/**\n * Not ${"to"}\n * be had.\n */`, "write available"],
  ];
  for (const [path, text, message] of refused) {
    test(`${path} with ${JSON.stringify(text.replace(top, "")).slice(0, 50)}`, () => {
      const found = shown(check(parse(path, text), rooms));
      assert.ok(found.includes(message), `wanted "${message}", found "${found}"`);
    });
  }

  test("a finding names file and line", () => {
    const source = parse("src/host/a.ts", "\n\nconst a = b as any;");
    assert.match(shown(check(source, rooms)), /^src\/host\/a\.ts:3: /);
  });
});

describe("the rules over all files refuse what they are there for", () => {
  test("a file that nobody but its test imports is dead", () => {
    const sources = [
      parse("src/host/a.ts", ""),
      parse("src/host/a.test.ts", 'import "./a.js";'),
      parse("src/host/b.ts", ""),
      parse("src/host/c.ts", 'new URL("./b.js", import.meta.url); import("./c.js");'),
    ];
    assert.deepEqual(
      deadFiles(sources).map(({ path }) => path),
      ["src/host/a.ts"],
    );
  });
  test("thirty files crowd a folder, tests and generated files don't count", () => {
    const paths = Array.from({ length: folderFilesMax }, (_, index) => `src/host/f${index}.ts`);
    paths.push("src/host/a.test.ts", "src/host/generated-a.ts", "src/host/wing/b.ts");
    assert.deepEqual(crowdedFolders(paths), []);
    assert.match(shown(crowdedFolders([...paths, "src/host/g.ts"])), /30 files in one folder/);
    const commands = paths.map((path) => path.replace("host", "cli/commands"));
    assert.deepEqual(crowdedFolders([...commands, "src/cli/commands/g.ts"]), []);
  });
  test("a permission that is not used, too wide, or for a wing that is not there", () => {
    const table = readRooms(
      "| `core` | `server`, `worker` | machines | |\n| `wire` | | bytes | core |\n" +
        "| `host` | | loop | core, wire |\n",
    );
    const sources = [
      parse("src/core/server/a.ts", ""),
      parse("src/wire/a.ts", 'import type { A } from "../core/server/a.js";'),
      parse("src/host/a.ts", 'import { A } from "../core/server/a.js";'),
      parse("src/host/a.test.ts", 'import { A } from "../wire/a.js";'),
    ];
    assert.deepEqual(
      unusedPermissions(sources, table).map(({ message }) => message),
      [
        "core has no wing worker; take it out of the table",
        "wire may import values of core and uses types; narrow it",
        "host may import values of wire and uses nothing; narrow it",
      ],
    );
  });
  test("a comparison with a name of a list, where facts of the list would do", () => {
    const refused = [
      'if (name === "adam") f();',
      'const a = "adam" !== name;',
      'switch (name) { case "adam": f(); }',
      'const a = ["sgd", "adam"].includes(name);',
      'const a = (["adam"] as string[]).includes(name);',
    ];
    for (const text of refused) {
      const found = shown(comparedNames(parse("src/host/a.ts", text), ["adam"]));
      assert.match(found, /^src\/host\/a\.ts:1: compares with "adam", a name of a list; put/, text);
      assert.equal(comparedNames(parse("src/host/a.test.ts", text), ["adam"]).length, 0);
      assert.equal(comparedNames(parse("src/host/a.ts", text), ["lion"]).length, 0);
    }
    const right = 'const a = { name: "adam" }; f("adam"); const b = ["adam"]; // === "adam"';
    assert.deepEqual(comparedNames(parse("src/host/a.ts", right), ["adam"]), []);
  });
  test("a branch on a mode, where its pace would tell", () => {
    const modes = ["bsp", "asp"];
    const found = (path: string, text: string) => shown(branchesOnModes(parse(path, text), modes));
    const refused = [
      'if (spec.protocol.mode === "bsp") f();',
      'const pushes = "asp" !== mode ? 1 : 2;',
      "const isInStep = mode === `bsp`;",
      'switch (mode) { case "asp": f(); }',
      'if (["bsp"].includes(mode)) f();',
      "const pushes = { bsp: 1, other: 2 }[mode];",
      'const pushes = { "asp": 1 }[mode];',
    ];
    for (const text of refused) {
      assert.match(found("src/host/a.ts", text), /branches on the mode .*; ask its pace/, text);
      for (const path of ["src/host/a.test.ts", "src/core/sync/a.ts"]) {
        assert.equal(found(path, text), "", path);
      }
    }
    const right = [
      'const options = { mode: "bsp", words: ["ssp", "asp"] };',
      'const word = asp(f("bsp")) === "sync";',
    ];
    for (const text of right) assert.equal(found("src/host/a.ts", text), "", text);
  });
  test("an arrow up the table", () => {
    const table = readRooms("| `core` | | machines | host (types) |\n| `host` | | loop | core |\n");
    assert.match(shown(arrowsUp(table)), /^ARCHITECTURE.md:1: core imports host, which does not/);
    assert.equal(arrowsUp(table).length, 1);
  });
});

describe("each rule lets through what is right", () => {
  const rooms = readRooms(
    "| `core` | `server`, `sync` | machines | |\n| `wire` | | bytes | core (types) |\n",
  );
  const top = "/**\n * What this is and why it is\n * so, in short.\n */\n";
  const right: readonly (readonly [path: string, text: string])[] = [
    ["src/wire/a.ts", `${top}import type { B } from "../core/b.js";`],
    ["src/wire/a.ts", `${top}import { PacelineError } from "../errors.js";`],
    [
      "src/core/a.ts",
      `${top}const process = { exit: 1 }.exit; // Date.now`.replace("process", "p"),
    ],
    ["src/core/testing/a.ts", 'import { b } from "../../wire/b.js";'],
    ["src/core/server/a.ts", `${top}import { b } from "../worker/b.js";`],
    ["src/core/a.ts", `${top}import { sha256 } from "@noble/hashes/sha2";`],
    ["src/core/a.test.ts", 'import { test } from "node:test"; const t = Date.now();'],
    ["src/core/a.ts", `${top}/** The rank of the worker. */\nexport const rank = 1;`],
    ["src/wire/generated-a.ts", "export default {} as any;"],
    ["src/index.ts", 'export { b } from "./core/b.js";'],
  ];
  for (const [path, text] of right) {
    test(`${path} with ${JSON.stringify(text.replace(top, "")).slice(0, 50)}`, () => {
      assert.equal(shown(check(parse(path, text), rooms)), "");
    });
  }
});
