import assert from "node:assert/strict";
import { test } from "node:test";
import { describeMachine } from "../../runtime/process/machine.js";
import {
  type BenchmarkCase,
  type BenchmarkReport,
  formatBenchmark,
  median,
  runBenchmark,
} from "./benchmark.js";

/** A contender that gives these values in turn and notes each call. */
function scripted(name: string, values: readonly number[], notes: string[] = []) {
  const left = [...values];
  return {
    name,
    setUp: async () => {
      notes.push(`${name} up`);
    },
    run: () => {
      notes.push(name);
      return left.shift() as number;
    },
    tearDown: async () => {
      notes.push(`${name} down`);
    },
  };
}

function oneCase(
  better: "higher" | "lower",
  values: readonly number[],
  ...peers: { name: string; run: () => number }[]
): BenchmarkCase {
  return { ...scripted("case", values), unit: "ms", better, peers };
}

test("peers are measured in turns, set up before and torn down after", async () => {
  const notes: string[] = [];
  const ours = scripted("A", [1, 1, 1], notes);
  const peers = [scripted("B", [1, 1, 1], notes), scripted("C", [1, 1, 1], notes)];
  const cases: BenchmarkCase[] = [{ ...ours, unit: "ms", better: "lower", peers }];
  await runBenchmark("turns", cases, { peers: true, turns: 2, warmUpTurns: 1 });
  const turns = "A B C A B C A B C".split(" ");
  assert.deepEqual(notes, ["A up", "B up", "C up", ...turns, "A down", "B down", "C down"]);
});

test("the median of the turns counts, the warm-up does not", async () => {
  const lines: string[] = [];
  const options = {
    peers: false,
    turns: 3,
    warmUpTurns: 2,
    log: (line: string) => lines.push(line),
  };
  const { rows } = await runBenchmark("m", [oneCase("lower", [900, 800, 3, 50, 2])], options);
  assert.deepEqual(rows, [{ name: "case", value: 3, unit: "ms" }]);
  assert.deepEqual(lines, ["case: paceline 3.000, 50.00, 2.000 ms"]);
});

test("medians of odd and even counts", () => {
  assert.equal(median([7]), 7);
  assert.equal(median([10, 9, 100]), 10);
  assert.equal(median([4, 1, 100, 2]), 3);
  assert.throws(() => median([]), /assertion failed/);
});

for (const { better, ours, theirs, ratio } of [
  { better: "higher", ours: 120, theirs: 100, ratio: 1.2 },
  { better: "higher", ours: 50, theirs: 100, ratio: 0.5 },
  { better: "lower", ours: 10, theirs: 25, ratio: 2.5 },
  { better: "lower", ours: 40, theirs: 10, ratio: 0.25 },
] as const) {
  test(`${ours} against ${theirs} where ${better} is better is a ratio of ${ratio}`, async () => {
    const peer = { name: "other", run: () => theirs };
    const cases = [oneCase(better, [ours], peer)];
    const { rows } = await runBenchmark("r", cases, { peers: true, turns: 1, warmUpTurns: 0 });
    const expected = { value: ours, unit: "ms", peer: "other", peerValue: theirs, ratio };
    assert.deepEqual(rows, [{ name: "case", ...expected }]);
  });
}

for (const [better, values, best] of [
  ["higher", [50, 80], "torch b"],
  ["lower", [50, 80], "torch a"],
  ["higher", [60, 60], "torch a, torch b"],
] as const) {
  test(`of one system's peers the better has a row, ${better} of ${values}`, async () => {
    const peers = values.map((value, index) => {
      return { name: `torch ${"ab"[index]}`, system: "torch", run: () => value };
    });
    const cases = [
      {
        ...{ name: "case", unit: "u", better, run: () => 40 },
        peers: [...peers, { name: "other", run: () => 1 }],
      },
    ];
    const { rows } = await runBenchmark("b", cases, { peers: true, turns: 1, warmUpTurns: 0 });
    assert.equal(rows.map(({ peer }) => peer).join(", "), `${best}, other`);
  });
}

test("peers are left alone unless they are asked for", async () => {
  const peer = { name: "other", run: () => assert.fail("the peer ran") };
  const cases = [oneCase("higher", [1], peer)];
  const { rows } = await runBenchmark("p", cases, { peers: false, turns: 1, warmUpTurns: 0 });
  assert.deepEqual(Object.keys(rows[0] as object), ["name", "value", "unit"]);
});

test("a peer that fails is told and left out, the others stay", async () => {
  const lines: string[] = [];
  const broken = { name: "broken", run: () => assert.fail("no such library") };
  const well = { name: "well", run: () => 4 };
  const { rows } = await runBenchmark("f", [oneCase("higher", [8, 8], broken, well)], {
    peers: true,
    turns: 1,
    log: (line) => lines.push(line),
  });
  assert.deepEqual(
    rows.map(({ peer, ratio }) => ({ peer, ratio })),
    [{ peer: "well", ratio: 2 }],
  );
  assert.equal(lines[0], "peer broken failed and is left out: no such library");
});

test("a case that fails, or measures nothing, fails the benchmark and is torn down", async () => {
  const notes: string[] = [];
  const nothing = { ...scripted("zero", [0], notes), unit: "ms", better: "lower" as const };
  await assert.rejects(runBenchmark("z", [nothing], { peers: false }), /"value":0/);
  assert.deepEqual(notes, ["zero up", "zero", "zero down"]);
});

const report: BenchmarkReport = {
  bench: "engine",
  machine: {
    cpu: "Some CPU",
    cores: 2,
    memoryBytes: 8 * 2 ** 30,
    node: "v20.0.0",
    platform: "linux x64",
  },
  rows: [
    {
      name: "resnet18-cifar/f32/b64/t2",
      value: 128.9,
      unit: "images/s",
      peer: "pytorch",
      peerValue: 107.2,
      ratio: 128.9 / 107.2,
    },
    { name: "tiny", value: 0.012345, unit: "ms" },
  ],
};

test("json is one line with exactly the documented fields", async () => {
  const text = formatBenchmark(report, "json");
  assert.ok(!text.includes("\n"));
  const parsed = JSON.parse(text);
  assert.deepEqual(Object.keys(parsed), ["bench", "machine", "rows"]);
  assert.deepEqual(Object.keys(parsed.rows[0]), [
    "name",
    "value",
    "unit",
    "peer",
    "peerValue",
    "ratio",
  ]);
  assert.deepEqual(Object.keys(parsed.rows[1]), ["name", "value", "unit"]);
  const live = await runBenchmark("live", [oneCase("lower", [1, 2])], { peers: true, turns: 1 });
  const { machine } = JSON.parse(formatBenchmark(live, "json"));
  assert.deepEqual(machine, JSON.parse(JSON.stringify(describeMachine())));
  assert.deepEqual(Object.keys(machine), Object.keys(report.machine));
  assert.ok(machine.cores >= 1 && machine.memoryBytes > 0);
});

test("the table lines up its columns and shows the ratio", () => {
  assert.equal(
    formatBenchmark(report, "table"),
    [
      "engine: Some CPU, 2 cores, 8 GiB, Node v20.0.0, linux x64",
      "Case                       Paceline  Unit      Peer     Peer's   Ratio",
      "resnet18-cifar/f32/b64/t2     128.9  images/s  pytorch   107.2  1.20 x",
      "tiny                        0.01235  ms",
    ].join("\n"),
  );
});

test("a table without peers has no columns for them", () => {
  const rows = report.rows.slice(1);
  const lines = formatBenchmark({ ...report, rows }, "table").split("\n");
  assert.deepEqual(lines.slice(1), ["Case  Paceline  Unit", "tiny   0.01235  ms"]);
});
