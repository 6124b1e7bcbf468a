/**
 * Style as a test: reads our own sources and fails with file, line and remedy. The rooms, their
 * wings and what each may import come from the table in ARCHITECTURE.md.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { modes } from "../../dist/core/sync/modes.js";
import { codecs } from "../../dist/protocol/compression.js";
import { updateRuleNames } from "../../dist/protocol/update-rules.js";
import { branchesOnModes, comparedNames } from "./listed-names.js";
import { arrowsUp, crowdedFolders, deadFiles, unusedPermissions } from "./plan.js";
import { check } from "./rules.js";
import { type Finding, readRooms, readSources, repositoryRoot } from "./sources.js";

const root = repositoryRoot();
const rooms = readRooms(readFileSync(join(root, "ARCHITECTURE.md"), "utf8"));
const sources = readSources(root);
const code = sources.filter(({ path }) => /\.(ts|mjs)$/.test(path));

function demandNone(findings: readonly Finding[]): void {
  const lines = findings.map(({ path, line, message }) => `${path}:${line}: ${message}`);
  if (lines.length > 0) assert.fail([`${lines.length} findings`, ...lines].join("\n"));
}

test("ARCHITECTURE.md's table names the rooms", () => {
  assert.deepEqual(rooms.get("protocol")?.wings, ["placement", "plan", "local"]);
  assert.equal(rooms.get("options")?.imports.get("kernels"), "types");
  assert.ok(rooms.size >= 12, `${rooms.size} rooms`);
});
test("every file keeps every rule", () => {
  demandNone(sources.flatMap((source) => check(source, rooms)));
});
test("no file is dead", () => {
  demandNone(deadFiles(code));
});
test("no folder is crowded", () => {
  demandNone(crowdedFolders(sources.map(({ path }) => path)));
});
test("every permission and every wing of the table is used", () => {
  demandNone(unusedPermissions(code, rooms));
});
test("what tells update rules and codecs apart stands in their lists alone", () => {
  // Two words of the list of codecs say other things, too: no codec, and a type of numbers.
  const codecNames = codecs.map(({ name }) => name).filter((name) => !/^(none|bf16)$/.test(name));
  const names = [...updateRuleNames, ...codecNames];
  assert.ok(names.length >= 10, `${names.length} names`);
  demandNone(code.flatMap((source) => comparedNames(source, names)));
});
test("what tells modes apart stands in src/core/sync alone", () => {
  const names = modes().map(({ name }) => name);
  assert.ok(names.length >= 3, `${names.length} modes`);
  // One is a word that says other things, too, as a key; nobody compares with it.
  const [word] = names.splice(names.indexOf("group"), 1);
  assert.equal(word, "group");
  demandNone(code.flatMap((source) => branchesOnModes(source, names)));
  demandNone(code.flatMap((source) => comparedNames(source, [word])));
});
test("no import goes up the table", () => {
  demandNone(arrowsUp(rooms));
});
