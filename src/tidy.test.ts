/**
 * Style as a test: reads our own sources and fails with file, line and remedy. The rooms and what
 * each may import come from the table in ARCHITECTURE.md. Each rule is a function over one parsed
 * file and is itself tested on small strings below, so that a rule that can't fail is noticed.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const fileLinesMax = 500;
const functionLinesMax = 70;
const lineCharactersMax = 100;
const roomFilesMax = 15;
const freeForAll = ["assert", "errors", "random", "suggest"];
const topFiles = [...freeForAll, "index", "suggest.test", "tidy.test"];
const entries = ["src/index.ts", "src/cli/main.ts"];
const pureRooms = ["contract", "core", "dealing", "coordinator"];
const roomsWithHeaders = [...pureRooms, "codec", "wire", "nn", "engine"];
const forbiddenNames = ["util", "utils", "helper", "helpers", "type", "types", "manager", "common"];
const impureNames = ["process", "performance", "setTimeout", "setInterval", "setImmediate"];
const impureCalls = ["Date.now", "Math.random", "crypto.randomUUID"];

interface Source {
  /** From the repository's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
}

interface Finding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

type ImportTable = ReadonlyMap<string, ReadonlyMap<string, "values" | "types">>;
type Rule = (source: Source, rooms: ImportTable) => Finding[];

function parse(path: string, text: string): Source {
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  return { path, text, tree };
}

const isTest = (path: string) => path.endsWith(".test.ts");
const isGenerated = (path: string) => /\/generated-[^/]*$/.test(path);

function roomOf(path: string): string | null {
  const parts = path.split("/");
  return parts[0] === "src" && parts.length > 2 ? parts[1]! : null;
}

function at(source: Source, position: ts.Node | number, message: string): Finding {
  const offset = typeof position === "number" ? position : position.getStart(source.tree);
  const line = source.tree.getLineAndCharacterOfPosition(offset).line + 1;
  return { path: source.path, line, message };
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

function nodes(source: Source): ts.Node[] {
  const all: ts.Node[] = [];
  walk(source.tree, (node) => all.push(node));
  return all;
}

/** Reads "| `room` | holds | core (types), wire |" rows. */
function readImportTable(markdown: string): ImportTable {
  const table = new Map<string, Map<string, "values" | "types">>();
  for (const [, room, imports] of markdown.matchAll(/^\| `([a-z]+)` \|[^|]*\|([^|]*)\|$/gm)) {
    const allowed = new Map<string, "values" | "types">();
    for (const [, name, types] of imports!.matchAll(/([a-z]+)( \(types\))?/g)) {
      allowed.set(name!, types === undefined ? "values" : "types");
    }
    table.set(room!, allowed);
  }
  return table;
}

interface Reference {
  readonly node: ts.Node;
  readonly specifier: string;
  readonly typesOnly: boolean;
}

function references(source: Source): Reference[] {
  const found: Reference[] = [];
  const add = (node: ts.Node, literal: ts.Node | undefined, typesOnly: boolean) => {
    if (literal !== undefined && ts.isStringLiteralLike(literal))
      found.push({ node, specifier: literal.text, typesOnly });
  };
  for (const node of nodes(source)) {
    if (ts.isImportDeclaration(node))
      add(node, node.moduleSpecifier, node.importClause?.isTypeOnly ?? false);
    else if (ts.isExportDeclaration(node)) add(node, node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node))
      add(node, (node.argument as ts.LiteralTypeNode).literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node, node.arguments[0], false);
    else if (ts.isNewExpression(node) && node.expression.getText() === "URL")
      add(node, node.arguments?.[0], false);
  }
  return found;
}

/** The source file that a relative specifier names, from the root; null for a package. */
function resolveSpecifier(path: string, specifier: string): string | null {
  if (!specifier.startsWith(".") || !specifier.endsWith(".js")) return null;
  const joined = join(dirname(path), specifier).split(sep).join("/");
  return joined.replace(/^dist\//, "src/").replace(/\.js$/, ".ts");
}

const importsBetweenRooms: Rule = (source, rooms) => {
  const room = roomOf(source.path);
  if (room === null || isTest(source.path)) return [];
  const findings: Finding[] = [];
  const refuse = (node: ts.Node, message: string) => findings.push(at(source, node, message));
  for (const { node, specifier, typesOnly } of references(source)) {
    const target = resolveSpecifier(source.path, specifier);
    if (target === null) {
      if (pureRooms.includes(room)) refuse(node, `${room} imports "${specifier}"; it is pure`);
      continue;
    }
    const other = roomOf(target);
    if (other === room) continue;
    if (other === null) {
      const name = target.replace(/^src\/|\.ts$/g, "");
      if (!freeForAll.includes(name))
        refuse(node, `${room} imports ${target}; only ${freeForAll.join(", ")} are free for all`);
      continue;
    }
    const allowed = rooms.get(room)?.get(other);
    if (allowed === undefined)
      refuse(node, `${room} may not import ${other}; see the table in ARCHITECTURE.md`);
    else if (allowed === "types" && !typesOnly)
      refuse(node, `${room} may import types only of ${other}; write "import type"`);
  }
  return findings;
};

const placeAndName: Rule = ({ path }, rooms) => {
  const parts = path.split("/");
  if (parts[0] !== "src") return [];
  const finding = (message: string) => [{ path, line: 1, message }];
  const stem = parts.at(-1)!.replace(/\.ts$/, "");
  if (parts.length > 3) return finding("lies too deep; files are src/<room>/<file>.ts");
  if (parts.length === 2 && !topFiles.includes(stem)) return finding("belongs in a room of src/");
  if (parts.length === 3 && !rooms.has(parts[1]!))
    return finding(`"${parts[1]}" is no room; add it to the table in ARCHITECTURE.md`);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?$/.test(stem)) return finding("name it in kebab-case");
  const vague = stem.split(/[-.]/).find((word) => forbiddenNames.includes(word));
  return vague === undefined ? [] : finding(`"${vague}" says nothing; name it after its idea`);
};

const pureCore: Rule = (source) => {
  const room = roomOf(source.path);
  if (room === null || !pureRooms.includes(room) || isTest(source.path)) return [];
  const findings: Finding[] = [];
  for (const node of nodes(source)) {
    const call = ts.isPropertyAccessExpression(node) && impureCalls.includes(node.getText());
    const bareDate =
      ts.isNewExpression(node) && node.expression.getText() === "Date" && !node.arguments?.length;
    const parent = node.parent;
    const isName =
      ts.isIdentifier(node) &&
      impureNames.includes(node.text) &&
      !(ts.isPropertyAccessExpression(parent) && parent.name === node) &&
      !(ts.isPropertyAssignment(parent) && parent.name === node) &&
      !ts.isPropertySignature(parent) &&
      !ts.isMethodDeclaration(parent);
    if (call || bareDate || isName)
      findings.push(at(source, node, `${room} reaches ${node.getText()}; have it passed in`));
  }
  return findings;
};

const environmentInOnePlace: Rule = (source) => {
  if (!/^(src|bench)\//.test(source.path) || isTest(source.path)) return [];
  if (/^src\/options\/options[a-z-]*\.ts$/.test(source.path)) return [];
  return nodes(source)
    .filter((node) => ts.isPropertyAccessExpression(node) && node.getText() === "process.env")
    .map((node) => at(source, node, "process.env is read in src/options/options.ts only"));
};

const noAny: Rule = (source) =>
  nodes(source)
    .filter(
      (node) =>
        (ts.isAsExpression(node) || ts.isTypeAssertionExpression(node)) &&
        node.type.kind === ts.SyntaxKind.AnyKeyword,
    )
    .map((node) => at(source, node, 'a cast to "any" hides a mistake; use unknown and narrow it'));

const noSkippedTests: Rule = (source) => {
  if (!isTest(source.path)) return [];
  const words = ["skip", "only", "todo"];
  return nodes(source)
    .filter((node) => {
      if (ts.isPropertyAccessExpression(node))
        return (
          words.includes(node.name.text) &&
          /^(test|it|describe|suite|t)$/.test(node.expression.getText())
        );
      return (
        ts.isPropertyAssignment(node) &&
        words.includes(node.name.getText()) &&
        ts.isCallExpression(node.parent.parent) &&
        /^(test|it|describe|suite)$/.test(node.parent.parent.expression.getText())
      );
    })
    .map((node) => at(source, node, "every test runs; mend it or remove it"));
};

const lengths: Rule = (source) => {
  const findings: Finding[] = [];
  const lines = source.text.replace(/\n$/, "").split("\n");
  if (lines.length > fileLinesMax)
    findings.push(at(source, 0, `${lines.length} lines; split at ${fileLinesMax} by idea`));
  lines.forEach((line, index) => {
    if (line.length > lineCharactersMax && !/https?:\/\/\S{60,}/.test(line)) {
      const message = `${line.length} characters; break the line at ${lineCharactersMax}`;
      findings.push({ path: source.path, line: index + 1, message });
    }
  });
  if (isTest(source.path)) return findings;
  for (const node of nodes(source)) {
    if (!ts.isFunctionLike(node) || !("body" in node) || node.body === undefined) continue;
    const first = source.tree.getLineAndCharacterOfPosition(node.getStart()).line;
    const count = source.tree.getLineAndCharacterOfPosition(node.end).line - first + 1;
    if (count > functionLinesMax)
      findings.push(at(source, node, `${count} lines of function; split at ${functionLinesMax}`));
  }
  return findings;
};

const documentedExports: Rule = (source) => {
  if (!source.path.startsWith("src/") || isTest(source.path)) return [];
  const documented = new Set<string>();
  const findings: Finding[] = [];
  for (const statement of source.tree.statements) {
    if (!ts.canHaveModifiers(statement)) continue;
    const words = ts.getModifiers(statement)?.map((modifier) => modifier.kind) ?? [];
    if (!words.includes(ts.SyntaxKind.ExportKeyword)) continue;
    const name = exportName(statement);
    const doc = ts.getJSDocCommentsAndTags(statement).find(ts.isJSDoc);
    const sentence = ts.getTextOfJSDocComment(doc?.comment) ?? "";
    if (sentence.trim().split(/\s+/).length >= 2) documented.add(name);
    else if (!documented.has(name))
      findings.push(
        at(source, statement, `export ${name} has no doc sentence; write one above it`),
      );
  }
  return findings;
};

function exportName(statement: ts.Statement): string {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations[0]!.name.getText();
  return (statement as ts.Statement & { name?: ts.Identifier }).name?.text ?? "default";
}

const namedExports: Rule = (source) => {
  const findings: Finding[] = [];
  for (const statement of source.tree.statements) {
    const isDefault =
      ts.isExportAssignment(statement) ||
      (ts.canHaveModifiers(statement) &&
        ts.getModifiers(statement)?.some((m) => m.kind === ts.SyntaxKind.DefaultKeyword));
    if (isDefault) findings.push(at(source, statement, "default export; give it a name"));
    const reexport = ts.isExportDeclaration(statement) && statement.moduleSpecifier !== undefined;
    if (reexport && source.path !== "src/index.ts")
      findings.push(at(source, statement, "re-export; src/index.ts is the only barrel"));
  }
  return findings;
};

const header: Rule = (source) => {
  const room = roomOf(source.path);
  if (room === null || !roomsWithHeaders.includes(room) || isTest(source.path)) return [];
  const [comment] = ts.getLeadingCommentRanges(source.text, 0) ?? [];
  const text = comment === undefined ? "" : source.text.slice(comment.pos, comment.end);
  const lines = text.split("\n").filter((line) => /[a-z]/i.test(line)).length;
  if (comment?.pos === 0 && lines >= 2 && text.split("\n").length >= 3 && lines <= 15) return [];
  const wanted = "what it is, the idea, the invariant, the source";
  return [at(source, 0, `opens with ${lines} lines of comment; write 3 to 15: ${wanted}`)];
};

const cleanText: Rule = (source) => {
  const machinePath = /(^|[\s"'`(=:])\/(home|Users|root|work)\/\w/;
  const unfinished = /(\/\/|\*|#).*\b(TO[D]O|FI[X]ME|XX[X])\b/;
  return source.text.split("\n").flatMap((line, index) => {
    const finding = (message: string) => [{ path: source.path, line: index + 1, message }];
    if (machinePath.test(line)) return finding("names a path of one machine; make it relative");
    if (unfinished.test(line)) return finding("marks something unfinished; finish it or drop it");
    return [];
  });
};

const codeRules: readonly Rule[] = [
  importsBetweenRooms,
  placeAndName,
  pureCore,
  environmentInOnePlace,
  noAny,
  noSkippedTests,
  lengths,
  documentedExports,
  namedExports,
  header,
  cleanText,
];

function check(source: Source, rooms: ImportTable): Finding[] {
  if (isGenerated(source.path)) return [];
  const rules = source.path.endsWith(".ts") ? codeRules : [cleanText];
  return rules.flatMap((rule) => rule(source, rooms));
}

/** Files that nobody but their own test refers to. */
function deadFiles(sources: readonly Source[]): Finding[] {
  const alive = new Set(entries);
  for (const source of sources) {
    const named = source.text.matchAll(/["/]([a-z]+\/[a-z0-9-]+)\.js"/g);
    if (!source.path.startsWith("src/")) for (const [, stem] of named) alive.add(`src/${stem}.ts`);
    for (const { specifier } of references(source)) {
      const target = resolveSpecifier(source.path, specifier);
      if (target !== null && source.path !== target.replace(/\.ts$/, ".test.ts")) alive.add(target);
    }
  }
  return sources
    .filter(({ path }) => path.startsWith("src/") && !isTest(path) && !alive.has(path))
    .map(({ path }) => ({
      path,
      line: 1,
      message: "nobody imports this file; use it or remove it",
    }));
}

function crowdedRooms(paths: readonly string[]): Finding[] {
  const counts = new Map<string, number>();
  for (const path of paths) {
    const room = roomOf(path);
    if (room !== null && !isTest(path) && !isGenerated(path))
      counts.set(room, (counts.get(room) ?? 0) + 1);
  }
  return [...counts]
    .filter(([, count]) => count > roomFilesMax)
    .map(([room, count]) => {
      const message = `${count} files in one room; split it by idea at ${roomFilesMax}`;
      return { path: `src/${room}`, line: 1, message };
    });
}

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "ARCHITECTURE.md"))) folder = dirname(folder);
  return folder;
}

function readSources(root: string): Source[] {
  const found: Source[] = [];
  const read = (path: string) => found.push(parse(path, readFileSync(join(root, path), "utf8")));
  for (const folder of "src assembly test bench scripts configs docs proto".split(" ")) {
    if (!existsSync(join(root, folder))) continue;
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      const path = relative(root, join(entry.parentPath ?? entry.path, entry.name));
      if (entry.isFile() && /\.(ts|mjs|md|ya?ml|proto|py)$/.test(path))
        read(path.split(sep).join("/"));
    }
  }
  for (const name of readdirSync(root)) if (/\.md$|^Makefile$/.test(name)) read(name);
  return found;
}

function shown(findings: readonly Finding[]): string {
  return findings.map(({ path, line, message }) => `${path}:${line}: ${message}`).join("\n");
}

function demandNone(findings: readonly Finding[]): void {
  if (findings.length > 0) assert.fail(`${findings.length} findings\n${shown(findings)}`);
}

describe("our own sources", () => {
  const root = repositoryRoot();
  const rooms = readImportTable(readFileSync(join(root, "ARCHITECTURE.md"), "utf8"));
  const sources = readSources(root);

  test("ARCHITECTURE.md's table names the rooms", () => {
    assert.deepEqual(rooms.get("contract"), new Map());
    assert.equal(rooms.get("experiment")?.get("contract"), "types");
    assert.ok(rooms.size >= 12, `${rooms.size} rooms`);
  });
  test("every file keeps every rule", () => {
    demandNone(sources.flatMap((source) => check(source, rooms)));
  });
  test("no file is dead", () => {
    demandNone(deadFiles(sources.filter(({ path }) => /\.(ts|mjs)$/.test(path))));
  });
  test("no room is crowded", () => {
    demandNone(crowdedRooms(sources.map(({ path }) => path)));
  });
});

describe("each rule refuses what it is there for", () => {
  const rooms = readImportTable(
    "| `core` | machines | |\n| `wire` | bytes | core (types) |\n| `host` | loop | core, wire |\n",
  );
  const top = "/**\n * What this is and why it is\n * so, in short.\n */\n";
  const long = "  f();\n".repeat(functionLinesMax);
  const refused: readonly (readonly [path: string, text: string, message: string])[] = [
    ["src/core/a.ts", `${top}import "../wire/b.js";`, "core may not import wire"],
    ["src/core/a.ts", `${top}import fs from "node:fs";`, 'core imports "node:fs"; it is pure'],
    ["src/wire/a.ts", `${top}import { b } from "../core/b.js";`, "types only of core"],
    ["src/wire/a.ts", `${top}const b = await import("../core/b.js");`, "types only of core"],
    ["src/wire/a.ts", `${top}import { b } from "../index.js";`, "are free for all"],
    ["src/core/a.ts", `${top}const t = Date.now();`, "core reaches Date.now"],
    ["src/core/a.ts", `${top}const t = new Date();`, "core reaches new Date()"],
    ["src/core/a.ts", `${top}const t = Math.random();`, "core reaches Math.random"],
    ["src/dealing/a.ts", `${top}const t = Date.now();`, "dealing reaches Date.now"],
    ["src/core/a.ts", `${top}setTimeout(() => {}, 1);`, "core reaches setTimeout"],
    ["src/core/a.ts", `${top}process.exit(1);`, "core reaches process"],
    ["src/core/a.ts", "const a = 1;", "opens with 0 lines of comment"],
    ["src/core/deep/a.ts", top, "lies too deep"],
    ["src/attic/a.ts", "", '"attic" is no room'],
    ["src/stray.ts", "", "belongs in a room"],
    ["src/host/shardLoop.ts", "", "kebab-case"],
    ["src/host/shard-utils.ts", "", '"utils" says nothing'],
    ["src/host/a.ts", "const home = process.env.HOME;", "process.env is read in"],
    ["src/host/a.ts", "const a = b as any;", 'cast to "any"'],
    ["src/host/a.test.ts", "test.skip('a', () => {});", "every test runs"],
    ["src/host/a.test.ts", "describe.only('a', () => {});", "every test runs"],
    ["src/host/a.test.ts", "test('a', { skip: true }, () => {});", "every test runs"],
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
  test("a sixteenth file crowds a room, tests and generated files don't", () => {
    const paths = Array.from({ length: 15 }, (_, index) => `src/host/f${index}.ts`);
    paths.push("src/host/a.test.ts", "src/host/generated-a.ts");
    assert.deepEqual(crowdedRooms(paths), []);
    assert.match(shown(crowdedRooms([...paths, "src/host/g.ts"])), /16 files in one room/);
  });
});

describe("each rule lets through what is right", () => {
  const rooms = readImportTable("| `core` | machines | |\n| `wire` | bytes | core (types) |\n");
  const top = "/**\n * What this is and why it is\n * so, in short.\n */\n";
  const right: readonly (readonly [path: string, text: string])[] = [
    ["src/wire/a.ts", `${top}import type { B } from "../core/b.js";`],
    ["src/wire/a.ts", `${top}import { PacelineError } from "../errors.js";`],
    [
      "src/core/a.ts",
      `${top}const process = { exit: 1 }.exit; // Date.now`.replace("process", "p"),
    ],
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
