import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TableOfRuns } from "../cli/commands/experiments-suite.js";
import type { Environment } from "../options/option-row.js";
import { type Cell, type Expansion, expandMatrix } from "./cells.js";
import { readMatrixText } from "./matrix.js";

const base = "base: {model: logistic, data: mnist-parity}\n";

function expand(text: string, environment: Environment = {}): Expansion {
  const options = new TableOfRuns(environment);
  return expandMatrix(readMatrixText(text, "m.yaml", options), options);
}

const names = ({ cells }: Expansion) => cells.map(({ name }) => name);
const cellOf = ({ cells }: Expansion, name: string) =>
  cells.find((cell) => cell.name === name) as Cell;

describe("the cells of a matrix", () => {
  const cases: readonly (readonly [what: string, text: string, cells: readonly string[]])[] = [
    [
      "are the product of the axes, the last running fastest",
      "axes: {workers: [1, 4], mode: [sync, async]}",
      ["sync_1workers", "async_1workers", "sync_4workers", "async_4workers"],
    ],
    [
      "have a mode's parameters in their names",
      'axes: {mode: [bsp, "quorum:2,grace=5ms", "ssp:1"]}',
      ["sync_4workers", "quorum-2-grace-5ms_4workers", "ssp-1_4workers"],
    ],
    ["without axes are one, of the defaults", "", ["sync_4workers"]],
    [
      "have a suffix for each option that varies beside mode and workers",
      "axes: {servers: [1, 2], seed: [1, 2], lr: [0.1]}",
      [
        "sync_4workers_servers1_seed1",
        "sync_4workers_servers1_seed2",
        "sync_4workers_servers2_seed1",
        "sync_4workers_servers2_seed2",
      ],
    ],
    [
      "bear other words than sync and async where the mode has another name",
      "axes: {mode: [ssp]}",
      ["ssp_4workers"],
    ],
    [
      "have values in their names that a file's name can hold",
      'axes: {inject: [none, "kill:worker=1,at=50"]}',
      ["sync_4workers_injectnone", "sync_4workers_injectkill-worker-1-at-50"],
    ],
    [
      "may have lists for values",
      "axes: {lr-schedule: [step], lr-milestones: [[0.5, 0.75], 0.3]}",
      ["sync_4workers_lr-milestones0.5-0.75", "sync_4workers_lr-milestones0.3"],
    ],
    [
      "may lose workers, down to a minimum that the name tells",
      "axes: {workers: [4, '2:4']}",
      ["sync_4workers", "sync_4workers_min2"],
    ],
    [
      "lack those excluded",
      "axes: {workers: [1, 2, 4], mode: [bsp, asp]}\nexclude: [{mode: async, workers: [1, 4]}]",
      ["sync_1workers", "sync_2workers", "async_2workers", "sync_4workers"],
    ],
    [
      "have those included, with defaults for what they don't say",
      "axes: {servers: [1, 2]}\ninclude: [{workers: 8}]",
      ["sync_4workers_servers1", "sync_4workers_servers2", "sync_8workers_servers1"],
    ],
    ["may be those included alone", "include: [{workers: 8}]", ["sync_8workers"]],
    [
      "are repeated",
      "axes: {workers: [1, 2]}\nrepeats: 2",
      ["sync_1workers_run1", "sync_1workers_run2", "sync_2workers_run1", "sync_2workers_run2"],
    ],
  ];
  for (const [what, text, cells] of cases) {
    test(what, () => assert.deepEqual(names(expand(`${base}${text}`)), cells));
  }

  test("have a seed for each repeat, counted from their own", () => {
    const { cells } = expand(`${base}axes: {workers: [1, 2]}
when: [{match: {workers: 2}, set: {seed: 7}}]
repeats: 2`);
    assert.deepEqual(
      cells.map(({ facts, run }) => [facts.seed, run]),
      [
        [1, 1],
        [2, 2],
        [7, 1],
        [8, 2],
      ],
    );
    assert.deepEqual(
      cells.map(({ group }) => group),
      ["sync_1workers", "sync_1workers", "sync_2workers", "sync_2workers"],
    );
  });

  test("keep their seeds where seeds are an axis, and are a group over them", () => {
    const { cells } = expand(`${base}axes: {seed: [5, 6]}\nrepeats: 2`);
    assert.deepEqual(
      cells.map(({ name, group, facts }) => [name, group, facts.seed]),
      [
        ["sync_4workers_seed5_run1", "sync_4workers", 5],
        ["sync_4workers_seed5_run2", "sync_4workers", 5],
        ["sync_4workers_seed6_run1", "sync_4workers", 6],
        ["sync_4workers_seed6_run2", "sync_4workers", 6],
      ],
    );
  });

  test("get what a rule under when gives them, unless they say it themselves", () => {
    const expansion = expand(`${base}axes: {mode: [sync, async]}
include: [{mode: async, workers: 1, lr: 3}]
when: [{match: {mode: async}, set: {staleness-rule: scale, lr: 0.5}}]`);
    const lr = (name: string) => cellOf(expansion, name).facts.print("lr");
    assert.equal(lr("sync_4workers_lr0.1"), "0.1");
    assert.equal(lr("async_4workers_lr0.5"), "0.5");
    assert.equal(lr("async_1workers_lr3"), "3");
  });

  test("are matched by a mode, and by a mode with parameters, however either is written", () => {
    const expansion = expand(`${base}axes: {mode: [bsp, "ssp:1", "ssp:2", "quorum:2,grace=5ms"]}
include: [{mode: ssp, staleness: 4}]
exclude: [{mode: "ssp:1"}]
when:
  - {match: {mode: ssp}, set: {lr: 0.5}}
  - {match: {mode: ["ssp:4", "quorum:2"]}, set: {batch-size: 8}}
priority: [{match: {mode: "ssp:2"}, priority: high}]`);
    const shown = expansion.cells.map(({ facts, priority }) => {
      const of = (name: string) => facts.print(name);
      return [of("mode"), of("staleness"), of("lr"), of("batch-size"), priority].join(" ");
    });
    assert.deepEqual(expansion.warnings, []);
    assert.deepEqual(shown, [
      "bsp 3 0.1 64 medium",
      "ssp 2 0.5 64 high",
      "quorum 3 0.1 8 medium",
      "ssp 4 0.5 8 medium",
    ]);
  });

  test("have the priority of the first rule that they match, else medium", () => {
    const { cells, warnings } = expand(`${base}axes: {workers: [1, 2, 4]}
priority:
  - {match: {workers: 4}, priority: high}
  - {match: {workers: [1, 4]}, priority: optional}
  - {match: {workers: 3}, priority: high}`);
    assert.deepEqual(
      cells.map(({ priority }) => priority),
      ["optional", "medium", "high"],
    );
    assert.deepEqual(warnings, ["m.yaml line 6, priority.3 matches no cell of the matrix"]);
  });

  test("end in a checksum where their names would be too long", () => {
    const faults = Array.from({ length: 12 }, (_, index) => `kill:worker=${index},at=${index + 5}`);
    const expansion = expand(`${base}axes: {inject: [none, "${faults.join(";")}"]}`);
    const [, long] = names(expansion);
    assert.match(long!, /^sync_4workers_injectkill-worker-0-.*_[0-9a-f]{8}$/);
    assert.equal(long!.length, 90);
  });
});

describe("a fingerprint", () => {
  const of = (text: string) => expand(`${base}${text}`).cells[0]!.fingerprint;
  for (const [what, left, right] of [
    ["the order of options", "axes: {lr: [1], seed: [2]}", "axes: {seed: [2], lr: [1]}"],
    ["how a value is written", "axes: {mode: [sync]}", "axes: {mode: [bsp]}"],
    ["where an option stands", "axes: {lr: [1]}", "include: [{lr: 1}]"],
    ["checkpoints", "axes: {lr: [1]}", "axes: {lr: [1], checkpoint-every: [1e]}"],
  ] as const) {
    test(`is not changed by ${what}`, () => assert.equal(of(left), of(right)));
  }
  for (const [what, left, right] of [
    ["a learning rate", "axes: {lr: [1]}", "axes: {lr: [2]}"],
    ["a fault", "axes: {inject: [none]}", "axes: {inject: ['kill:server=0,at=1']}"],
    ["a folder of data", "axes: {data-dir: [a]}", "axes: {data-dir: [b]}"],
  ] as const) {
    test(`is changed by ${what}`, () => assert.notEqual(of(left), of(right)));
  }
});

describe("the environment", () => {
  test("gives options that the matrix leaves open, and they count", () => {
    const [plain] = expand(base).cells;
    const [other] = expand(base, { PACELINE_LR: "0.50" }).cells;
    assert.equal(other!.values.get("lr"), "0.5");
    assert.notEqual(other!.fingerprint, plain!.fingerprint);
  });
  test("says where data lies, which is no part of the experiment", () => {
    const [plain] = expand(base).cells;
    const [other] = expand(base, { PACELINE_DATA_DIR: "elsewhere" }).cells;
    assert.equal(other!.fingerprint, plain!.fingerprint);
    assert.equal(other!.values.has("data-dir"), false);
  });
});

describe("a matrix is refused", () => {
  const cases: readonly (readonly [text: string, message: string, environment?: Environment])[] = [
    [
      "axes: {workers: [1, 2]}\ninclude: [{workers: 2}]",
      "two cells of m.yaml have the name sync_2workers: (model=logistic, data=mnist-parity, " +
        "workers=2) and (model=logistic, data=mnist-parity, workers=2); remove one",
    ],
    [
      "axes: {workers: [1, 2]}\nexclude: [{workers: [1, 2]}]",
      "m.yaml has no cell left; remove an exclude",
    ],
    [
      "axes: {staleness-rule: [none, scale]}",
      "staleness-rule in m.yaml, axes (staleness-rule=none) has no effect with --mode bsp; leave " +
        "it out or set --mode asp or --mode local-async, or give it to some cells by a rule " +
        "under when:",
    ],
    [
      "axes: {workers: [1]}\nwhen: [{match: {}, set: {workers: 2}}]",
      "m.yaml line 3, when.1 sets workers, which is an axis; leave it out",
    ],
    [
      "axes: {workers: [1]}",
      "WORLD_SIZE=3 in the environment would override workers of m.yaml; unset it",
      { WORLD_SIZE: "3" },
    ],
    [
      "axes: {data-dir: [a]}",
      "PACELINE_DATA_DIR=b in the environment would override data-dir of m.yaml; unset it",
      { PACELINE_DATA_DIR: "b" },
    ],
    [
      "",
      "lr: x in the environment (PACELINE_LR) is not a number; write a number from 0 to 1000000",
      { PACELINE_LR: "x" },
    ],
  ];
  for (const [text, message, environment] of cases) {
    test(message, () => {
      assert.throws(() => expand(`${base}${text}`, environment), { code: "usage", message });
    });
  }
  test("that names no model", () => {
    assert.throws(() => expand("axes: {workers: [1]}"), {
      code: "usage",
      message: "m.yaml, axes (workers=1) has no model; write model: under base",
    });
  });
  test("that has too many cells", () => {
    const many = Array.from({ length: 101 }, (_, index) => index).join(", ");
    assert.throws(() => expand(`${base}axes: {seed: [${many}], lr: [${many}]}`), {
      code: "usage",
      message: "m.yaml has 10201 cells; at most 10000 are allowed",
    });
  });
});
