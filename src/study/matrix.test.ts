import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { TableOfRuns } from "../cli/commands/experiments-suite.js";
import { expandMatrix } from "./cells.js";
import { readMatrixFile, readMatrixText } from "./matrix.js";

const options = new TableOfRuns({});
const read = (text: string) => readMatrixText(text, "m.yaml", options);

describe("a matrix file", () => {
  test("may leave nearly everything out", () => {
    const file = read("base: {model: mlp, training: {lr: 0.50}}");
    assert.equal(file.resultsDir, "experiment_results");
    assert.equal(file.question, null);
    assert.equal(file.repeats, 1);
    assert.deepEqual(
      [...file.base],
      [
        ["model", "mlp"],
        ["lr", "0.5"],
      ],
    );
  });

  const refused: readonly (readonly [text: string, message: string])[] = [
    ["- 1", "m.yaml is not a mapping; write base: and axes: with options under them"],
    ["a: [", "m.yaml line 1 is not YAML"],
    [
      "question: why\nbse: {}",
      '"bse" in m.yaml line 2, bse is not part of a matrix (did you mean base?); it has ' +
        "question, " +
        "results-dir, repeats, base, axes, when, include, exclude, priority",
    ],
    [
      "base:\n  lr: 1\n  wrokers: 1",
      '"wrokers" in m.yaml line 3, base.wrokers is not an option (did you mean workers?); ' +
        "see paceline config schema",
    ],
    ["base:\n  lr: 1\n  training: {lr: 2}", "appears twice in m.yaml line 3, base.training"],
    [
      "axes:\n  workers: 4",
      '"4" in m.yaml line 2, axes.workers does not fit; write lines such as workers: [1, 2, 4]',
    ],
    [
      "axes:\n  workers: []",
      "[] in m.yaml line 2, axes.workers has no value; write lines such as workers: [1, 2, 4]",
    ],
    [
      "axes:\n  workers:\n    - 1\n    - 0",
      "workers: 0 in m.yaml line 4, axes.workers.2 is below 1; write a whole number from 1 to " +
        "1024, or two such as 2:8",
    ],
    ["axes:\n  mode: [sync, bsp]", "bsp appears twice in m.yaml line 2, axes.mode; keep one"],
    [
      "axes:\n  mode: [sync, bps]",
      "mode: bps in m.yaml line 2, axes.mode.2 is unknown (did you mean bsp?)",
    ],
    ["axes:\n  flavour: [sweet]", '"flavour" in m.yaml line 2, axes.flavour.1 is not an option'],
    ["axes:\n  training: [{lr: 1}]", "is a group; write the name of an option"],
    ["axes:\n  lr: [[1, 2]]", '"lr" in m.yaml line 2, axes.lr.1 is a list or mapping'],
    ["axes: {staleness-bound: [5, 5]}", "5 appears twice in m.yaml line 1, axes.staleness-max"],
    ["axes: {staleness-bound: [1], staleness-max: [2]}", "appears twice in m.yaml line 1, axes."],
    ["axes: {training: [x]}", "is a group; write its options under it"],
    ['results-dir: "a\\0b"', "in m.yaml line 1, results-dir has a zero byte"],
    ["base: {when: []}", '"when" in m.yaml line 1, base.when has no effect there; write it at'],
    ["base: {name: a}", '"name" in m.yaml line 1, base.name is given by the suite itself'],
    ["base: {as-workers: 2}", "is not an option of paceline train; leave it out"],
    [
      "repeats: 0",
      '"0" in m.yaml line 1, repeats does not fit; write a whole number from 1 to 1000',
    ],
    [
      "priority:\n  - {match: {workers: 1}, priority: hihg}",
      '"hihg" in m.yaml line 2, priority.1.priority does not fit; write items such as ' +
        "{match: {workers: 4}, priority: high}, of high, medium, optional",
    ],
    [
      "priority:\n  - {mtch: {workers: 1}, priority: high}",
      '"mtch" in m.yaml line 2, priority.1.mtch is not part of a matrix (did you mean ' +
        "match?); it " +
        "has match, priority",
    ],
    ["exclude:\n  - {workers: many}", "workers: many in m.yaml line 2, exclude.1.workers is not"],
  ];
  for (const [text, message] of refused) {
    test(`is refused: ${message}`, () => {
      assert.throws(
        () => read(text),
        (error: { code?: string; message: string }) =>
          error.code === "usage" && error.message.includes(message),
      );
    });
  }

  test("may call an option by any of its names", () => {
    const { axes, exclude } = read("axes: {num-worker: [1, 2]}\nexclude: [{num-worker: 2}]");
    assert.deepEqual([...axes], [["workers", ["1", "2"]]]);
    assert.deepEqual([...exclude[0]!.value], [["workers", ["2"]]]);
  });

  test("that is not there is refused with its path", async () => {
    await assert.rejects(readMatrixFile("nowhere/m.yaml", options), {
      code: "usage",
      message:
        "the matrix nowhere/m.yaml can't be read (there is no such file or folder); " +
        "give the path of a YAML file",
    });
  });
});

let root = dirname(fileURLToPath(import.meta.url));
while (!existsSync(join(root, "ARCHITECTURE.md"))) root = dirname(root);

test("the matrix that the documents show is one", () => {
  const page = readFileSync(join(root, "docs", "experiments", "README.md"), "utf8");
  const [, text = ""] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  const { cells, warnings } = expandMatrix(read(text), options);
  assert.deepEqual(warnings, []);
  const names = new Set(cells.map(({ group }) => group));
  assert.equal(names.size, 11);
  assert.equal(cells.length, 33);
});

describe("the matrices that ship", () => {
  const expand = async (name: string) => {
    const file = await readMatrixFile(join(root, "configs", name), options);
    return expandMatrix(file, options);
  };

  for (const name of readdirSync(join(root, "configs")).filter((one) =>
    one.startsWith("experiments-"),
  )) {
    test(`${name} has cells, and no rule without effect`, async () => {
      const { cells, warnings } = await expand(name);
      assert.ok(cells.length > 1);
      assert.deepEqual(warnings, []);
    });
  }

  test("experiments-ecs.yaml has the published suite's cells and priorities", async () => {
    const { cells } = await expand("experiments-ecs.yaml");
    const told = cells.map(({ name, priority }) => `${name} ${priority}`);
    const workers = [1, 2, 4, 8, 16, 32];
    const priority = (count: number) =>
      count === 4 ? "high" : count === 2 || count === 8 ? "medium" : "optional";
    const wanted = workers.flatMap((count) =>
      ["sync", "async"].map((mode) => `${mode}_${count}workers ${priority(count)}`),
    );
    assert.deepEqual(told, wanted);
  });

  test("experiments-quick.yaml has two modes with one, two and four workers", async () => {
    const { cells } = await expand("experiments-quick.yaml");
    assert.deepEqual(cells.map(({ name }) => name).sort(), [
      "async_1workers",
      "async_2workers",
      "async_4workers",
      "sync_1workers",
      "sync_2workers",
      "sync_4workers",
    ]);
  });
});
