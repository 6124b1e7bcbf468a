/**
 * What one addition takes. ARCHITECTURE.md says for each kind how many files are edited by hand;
 * here one that is there already is looked for in all our sources, as a word of the program: the
 * files that know it are those that have to be edited to add another one.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import ts from "typescript";
import {
  isGenerated,
  isTest,
  nodes,
  readSources,
  repositoryRoot,
  type Source,
} from "./tidy/sources.js";

const root = repositoryRoot();
const sources = readSources(root).filter(
  ({ path }) => /^(src|assembly|proto)\//.test(path) && !isTest(path) && !isGenerated(path),
);
/** What at most one addition may take, by the words of the table's first column. */
const limits: Readonly<Record<string, number>> = {
  "a layer": 6,
  "a codec": 3,
  "an update rule": 4,
  "a mode": 2,
  "an option of a run": 3,
  "a session message": 5,
  "a benchmark": 2,
};
const rows = readRows(readFileSync(join(root, "ARCHITECTURE.md"), "utf8"));

interface Row {
  readonly files: number;
  /** As they are written, with placeholders such as <codec>. */
  readonly paths: readonly string[];
  /** Places that the row tells in words. */
  readonly others: number;
}

/** The rows of the form "| a codec | 3 | `src/...`, `src/...` |" under their heading. */
function readRows(markdown: string): ReadonlyMap<string, Row> {
  const section = markdown.split("## A stranger adds")[1] ?? "";
  const found = section.matchAll(/^\| (an? [^|]+|another [^|]+) \| (\d+) \| ([^|]+) \|$/gm);
  return new Map(
    [...found].map(([, name, files, which]) => {
      const paths = [...which!.matchAll(/`((?:src|proto|assembly)\/[^`]+)`/g)];
      const others = which!.match(/where it is used|who says it|who hears it/g) ?? [];
      const row = { files: Number(files), paths: paths.map(([, path]) => path!) };
      return [name!, { ...row, others: others.length }];
    }),
  );
}

/** The files that have a word as a name, a key or a text. */
function filesThatKnow(word: string): string[] {
  // What the simulator draws its moments from is a choice of messages, which needs no further one.
  const counted = sources.filter(({ path }) => !path.startsWith("src/sim/"));
  return counted.filter((source) => knows(source, word)).map(({ path }) => path);
}

function knows(source: Source, word: string): boolean {
  if (source.path.endsWith(".proto")) {
    const snake = word.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return new RegExp(`\\b${snake} = \\d+;`).test(source.text);
  }
  return nodes(source).some(
    (node) => (ts.isIdentifier(node) || ts.isStringLiteral(node)) && node.text === word,
  );
}

describe("the table tells the truth", () => {
  for (const [kind, limit] of Object.entries(limits)) {
    test(`${kind} takes at most ${limit} files`, () => {
      const row = rows.get(kind);
      assert.ok(row !== undefined, "it has a row");
      assert.ok(row.files <= limit, `${row.files} files`);
    });
  }
  for (const [kind, { files, paths, others }] of rows) {
    test(`${kind} takes as many files as its row names, and they are there`, () => {
      assert.equal(paths.length + others, files);
      // The ways to keep pace have a test of their own.
      const fixed = paths.filter((path) => !path.includes("<") && kind !== "a mode");
      assert.deepEqual(
        fixed.filter((path) => !existsSync(join(root, path))),
        [],
      );
    });
  }
});

describe("what is there is known to no more files than the table says", () => {
  // Such as have no use besides: a layer of the residual networks is known to these as well.
  const probes: readonly (readonly [kind: string, ...words: string[]])[] = [
    ["a layer", "avg-pool"],
    ["a codec", "randomk", "onebit"],
    ["an update rule", "adam", "adamw"],
    ["an option of a run", "gamma", "bufferMomentum"],
    ["a session message", "pausing", "pauseAt"],
    ["a benchmark", "codecBench", "kernelsBench"],
    ["a schedule", "onecycle"],
    ["a data set", "fashionMnistArchive"],
  ];
  for (const [kind, ...words] of probes) {
    for (const word of words) {
      test(`${kind}: ${word}`, () => {
        const found = filesThatKnow(word);
        assert.ok(found.length >= 2, `known to ${found.join(", ")}`);
        const { files } = rows.get(kind)!;
        assert.ok(found.length <= files, `${found.length} files know it: ${found.join(", ")}`);
      });
    }
  }
});
