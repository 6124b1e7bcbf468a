/** The list of faults that `make mutants` plants is true of the sources. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(repository, "test", "mutants");

interface Mutant {
  readonly file: string;
  readonly fault: string;
  readonly from: string;
  readonly to: string;
  readonly tests?: readonly string[];
  readonly seeds?: { readonly mode: string | null; readonly from: number; readonly count: number };
}

const listed = readdirSync(folder)
  .sort()
  .flatMap((name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as Mutant[]);

const tests = ["src", "test"]
  .flatMap((root) =>
    readdirSync(join(repository, root), { recursive: true, encoding: "utf8" }).map((name) =>
      join(root === "src" ? "dist" : "dist-test", name),
    ),
  )
  .filter((path) => path.endsWith(".test.ts"));

test("each fault can be planted, in one place, and names tests that there are, or seeds", () => {
  const wrong = listed.flatMap(({ file, fault, from, to, tests: parts = [], seeds }) => {
    const path = join(repository, file);
    const times = existsSync(path) ? readFileSync(path, "utf8").split(from).length - 1 : 0;
    const problems = times === 1 ? [] : [`its text stands ${times} times in ${file}, not once`];
    if (from === to) problems.push("it changes nothing");
    for (const part of parts) {
      if (!tests.some((name) => name.includes(part))) problems.push(`no test matches ${part}`);
    }
    if (parts.length > 0 === (seeds !== undefined)) problems.push("tests or seeds are to be named");
    if (seeds !== undefined && seeds.count > 200) problems.push("more than 200 seeds are named");
    return problems.map((problem) => `${fault}: ${problem}`);
  });
  assert.deepEqual(wrong, []);
});

test("no fault is listed twice, but once for tests and once for seeds", () => {
  const keys = listed.map(
    ({ file, from, to, seeds }) => `${file}\n${from}\n${to}\n${seeds === undefined}`,
  );
  assert.equal(new Set(keys).size, keys.length);
});
