import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Cell, CellFacts } from "./cells.js";
import {
  type CellRecord,
  type CellTraces,
  decide,
  durationText,
  estimateSeconds,
  isCrowded,
  type Measured,
  orderCells,
  remainingSeconds,
} from "./suite-plan.js";

const record: CellRecord = {
  state: "done",
  fingerprint: "same",
  attempts: 1,
  seconds: 10,
  runFolder: "runs/a",
  crowded: false,
  resumed: false,
  error: null,
  lastLines: [],
  pid: null,
  job: null,
  startedAt: null,
};
const nothing: CellTraces = {
  record: null,
  result: { kind: "none" },
  run: { exists: false, outcome: null, checkpointStep: null, pid: null },
};
const file = (fingerprint: string | null, outcome: string | null = "done") =>
  ({ kind: "file", fingerprint, outcome }) as const;
const run = (changes: Partial<CellTraces["run"]>) => ({
  ...nothing.run,
  exists: true,
  ...changes,
});
const unreadable = { kind: "unreadable", reason: "no JSON" } as const;

describe("the decision about a cell", () => {
  const cases: readonly (readonly [
    what: string,
    traces: Partial<CellTraces>,
    decision: string,
    retryFailed?: boolean,
  ])[] = [
    ["of which there is nothing", {}, "begin: waiting"],
    ["that is finished", { record, result: file("same") }, "skip: finished"],
    ["whose result alone is left", { result: file("same") }, "skip: finished"],
    [
      "that is finished with other options",
      { record: { ...record, fingerprint: "other" }, result: file("other") },
      "begin: finished with other options: runs again",
    ],
    [
      "that was stopped at a checkpoint, with a result of earlier options",
      {
        record: { ...record, state: "interrupted" },
        result: file("other"),
        run: run({ checkpointStep: 40 }),
      },
      "resume: half-finished: continues from step 40",
    ],
    [
      "that trained to its end, with a result of earlier options",
      {
        record: { ...record, state: "running", pid: 7 },
        result: file("other"),
        run: run({ outcome: "done" }),
      },
      "collect: trained, its file is of other options",
    ],
    [
      "that failed, with a result of earlier options",
      {
        record: { ...record, state: "failed", error: "exit code 5" },
        result: file("other"),
        run: run({}),
      },
      "leave: failed: exit code 5",
    ],
    [
      "whose file somebody else wrote",
      { result: file(null, null) },
      "blocked: its file was not written by a suite: move it or choose another results-dir",
    ],
    [
      "whose file is damaged",
      { record: { ...record }, result: unreadable, run: run({ outcome: null }) },
      "begin: its file can't be read (no JSON): runs again",
    ],
    [
      "whose file is damaged, and whose run is there",
      { record, result: unreadable, run: run({ outcome: "done" }) },
      "collect: trained, its file is missing",
    ],
    [
      "that trained to its end while the suite was gone",
      { record: { ...record, state: "running", pid: 7 }, run: run({ outcome: "done" }) },
      "collect: trained, its file is missing",
    ],
    [
      "that trains",
      { record: { ...record, state: "running", pid: 7 }, run: run({ pid: 7 }) },
      "blocked: process 7 still trains it: end it or wait",
    ],
    [
      "that was stopped at a checkpoint",
      { record: { ...record, state: "interrupted" }, run: run({ checkpointStep: 40 }) },
      "resume: half-finished: continues from step 40",
    ],
    [
      "that broke off at a checkpoint",
      { record: { ...record, state: "running", pid: 7 }, run: run({ checkpointStep: 40 }) },
      "resume: half-finished: continues from step 40",
    ],
    [
      "that was stopped without a checkpoint",
      { record: { ...record, state: "interrupted" }, run: run({}) },
      "begin: half-finished without a checkpoint: starts over",
    ],
    [
      "that was stopped with other options",
      {
        record: { ...record, state: "interrupted", fingerprint: "other" },
        run: run({ checkpointStep: 40 }),
      },
      "begin: started with other options: runs again",
    ],
    [
      "whose run nobody has recorded",
      { run: run({ checkpointStep: 40, outcome: "done" }) },
      "begin: waiting",
    ],
    [
      "that failed",
      { record: { ...record, state: "failed", error: "exit code 5" }, run: run({}) },
      "leave: failed: exit code 5",
    ],
    [
      "that failed and is wanted again",
      { record: { ...record, state: "failed" }, run: run({ checkpointStep: 40 }) },
      "begin: failed: runs again",
      true,
    ],
    [
      "that failed with other options",
      { record: { ...record, state: "failed", fingerprint: "other" }, run: run({}) },
      "begin: started with other options: runs again",
    ],
    ["that was finished, and removed by hand", { record }, "begin: waiting"],
  ];
  for (const [what, traces, wanted, retryFailed = false] of cases) {
    test(what, () => {
      const decision = decide({ fingerprint: "same" }, { ...nothing, ...traces }, retryFailed);
      assert.equal(`${decision.kind}: ${decision.reason}`, wanted);
    });
  }
});

const facts: CellFacts = {
  mode: "bsp",
  workers: 1,
  workersMin: 1,
  workersAtStart: 1,
  servers: 1,
  seed: 1,
  model: "mlp",
  data: "mnist",
  epochs: 3,
  maxSteps: null,
  batchSize: 10,
  trainLimit: null,
  print: () => "",
};

test("cells run in the order of priorities, then of the matrix", () => {
  const cells = (
    [
      ["a", "optional"],
      ["b", "medium"],
      ["c", "high"],
      ["d", "medium"],
      ["e", "high"],
    ] as const
  ).map(([name, priority]) => ({ name, priority }) as Cell);
  const order = (least: Parameters<typeof orderCells>[1]) =>
    orderCells(cells, least)
      .map(({ name }) => name)
      .join("");
  assert.equal(order(null), "cebda");
  assert.equal(order("optional"), "cebda");
  assert.equal(order("medium"), "cebd");
  assert.equal(order("high"), "ce");
});

test("a cell is crowded when its workers outnumber the cores", () => {
  assert.equal(isCrowded({ workers: 4 }, 4), false);
  assert.equal(isCrowded({ workers: 5 }, 4), true);
});

describe("an estimate", () => {
  const measured = (changes: Partial<CellFacts>, seconds: number): Measured => ({
    facts: { ...facts, ...changes },
    seconds,
    epochExamples: 1000,
  });
  const cases: readonly (readonly [
    what: string,
    wanted: Partial<CellFacts>,
    measured: readonly Measured[],
    seconds: number | null,
  ])[] = [
    ["is not made up", {}, [], null],
    ["is what the same cell took", {}, [measured({}, 30)], 30],
    ["is the mean of its repeats", {}, [measured({}, 30), measured({ seed: 2 }, 40)], 35],
    ["follows the epochs", { epochs: 6 }, [measured({}, 30)], 60],
    ["follows the examples", { trainLimit: 500 }, [measured({}, 30)], 15],
    ["ends with the steps", { maxSteps: 100 }, [measured({}, 30)], 10],
    ["counts a step of all workers in step", { maxSteps: 100, workers: 2 }, [measured({}, 30)], 20],
    [
      "counts single steps else",
      { maxSteps: 100, workers: 2, mode: "asp" },
      [measured({}, 30)],
      10,
    ],
    [
      "looks at as many workers before it looks at the mode",
      { workers: 4, mode: "asp" },
      [measured({ workers: 4 }, 50), measured({ mode: "asp" }, 20)],
      50,
    ],
    [
      "looks at the same model and data only",
      { model: "cnn6" },
      [measured({ model: "cnn6", workers: 9 }, 50), measured({}, 20)],
      50,
    ],
    [
      "is the mean of all where nothing is alike",
      { model: "cnn6" },
      [measured({}, 20), measured({ workers: 4 }, 40)],
      30,
    ],
    [
      "takes seconds as they are where the work is not known",
      { epochs: 6 },
      [{ ...measured({}, 30), epochExamples: null }],
      30,
    ],
  ];
  for (const [what, changes, others, seconds] of cases) {
    test(what, () => assert.equal(estimateSeconds({ ...facts, ...changes }, others), seconds));
  }

  test("of what is left sums cells up and takes off what they have had", () => {
    const others = [measured({}, 30)];
    assert.equal(remainingSeconds([{ facts }, { facts, elapsedSeconds: 10 }], others), 50);
    assert.equal(remainingSeconds([{ facts, elapsedSeconds: 99 }], others), 0);
    assert.equal(remainingSeconds([{ facts }], []), null);
    assert.equal(remainingSeconds([], []), 0);
  });
});

for (const [seconds, text] of [
  [0.44, "0.4 s"],
  [45.4, "45 s"],
  [99.4, "99 s"],
  [200, "3 min 20 s"],
  [7500, "2 h 5 min"],
  [7199, "2 h 0 min"],
] as const) {
  test(`${seconds} s are told as ${text}`, () => assert.equal(durationText(seconds), text));
}
