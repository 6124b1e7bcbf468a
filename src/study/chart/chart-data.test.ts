import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sampleResult, sampleSuite } from "../testing/sample-results.js";
import { captionsFor, chartDataOf } from "./chart-data.js";
import { chartsOf } from "./draw-charts.js";

function chartData(results: Parameters<typeof chartDataOf>[0]) {
  const notes: string[] = [];
  return { ...chartDataOf(results, (text) => notes.push(text)), notes };
}

describe("what charts are made of", () => {
  test("repeats are one, under the name without the repeat's number", () => {
    const { groups } = chartData(sampleSuite(["sync", "async"], [2], 3));
    assert.deepEqual(
      groups.map(({ label, series, results }) => [label, series, results.length]),
      [
        ["sync_2workers", "sync", 3],
        ["async_2workers", "async", 3],
      ],
    );
  });
  test("runs that failed or were interrupted are left out, and that is said", () => {
    const { groups, notes } = chartData([
      sampleResult("sync", 2),
      sampleResult("async", 2, { outcome: "failed" }),
      sampleResult("ssp", 2, { outcome: "interrupted" }),
    ]);
    assert.deepEqual(
      groups.map(({ label }) => label),
      ["sync_2workers"],
    );
    assert.deepEqual(notes, [
      "async_2workers is left out: it failed",
      "ssp_2workers is left out: it was interrupted",
    ]);
  });
  test("names that tell more than mode and workers make lines of their own", () => {
    const { groups } = chartData([
      sampleResult("sync", 2),
      sampleResult("sync", 2, { name: "sync_2workers_servers4", servers: 4 }),
      sampleResult("sync", 4, { name: "sync_4workers_servers4", servers: 4 }),
      sampleResult("sync", 8, { name: "mlp-bsp-8w-001" }),
      sampleResult("sync", 4, { name: "one" }),
      sampleResult("sync", 4, { name: "other", servers: 7 }),
    ]);
    const series = groups.map((group) => group.series);
    assert.deepEqual(series, ["sync", "sync servers4", "sync servers4", "sync", "one", "other"]);
  });
  test("a run that is given twice counts once, and that is said", () => {
    const run = (name: string, path: string, identity: string) =>
      sampleResult("sync", 2, { name, path, identity });
    const { groups, notes } = chartData([
      run("sync_2workers_run1", "a.json", "1"),
      run("sync_2workers_run2", "b.json", "2"),
      run("sync_2workers_run1", "a.json", "1"),
      run("sync_2workers_run1", "copy.json", "1"),
    ]);
    assert.deepEqual(
      groups.map(({ results }) => results.length),
      [2],
    );
    assert.deepEqual(notes, [
      "sync_2workers_run1 is given twice: it counts once",
      "sync_2workers_run1 is given twice (a.json and copy.json): it counts once",
    ]);
  });
  test("equal names of unlike runs stay apart", () => {
    const { groups } = chartData([
      sampleResult("sync", 2),
      sampleResult("sync", 2, { servers: 3 }),
    ]);
    assert.deepEqual(
      groups.map(({ label }) => label),
      ["sync_2workers", "sync_2workers (2)"],
    );
  });
  test("the subtitle holds what all share, and only that", () => {
    const { subtitle } = chartData([
      sampleResult("sync", 2),
      sampleResult("async", 2, { settings: { batchSize: 128, "schedule.lr": 0.2, epochs: 3 } }),
    ]);
    assert.equal(subtitle, "mlp on mnist · batch 128 per worker · 3 epochs · 2 servers");
  });
  test("characters that the font lacks are shown as their codes, and told of", () => {
    const names = ["实验_4workers", "опыт_4workers", "é\u{1f680}"];
    const { groups, notes } = chartData(
      names.map((name, index) => sampleResult("sync", index + 1, { name })),
    );
    assert.deepEqual(
      groups.map(({ label }) => label),
      ["U+5B9EU+9A8C_4workers", "опыт_4workers", "éU+1F680"],
    );
    assert.deepEqual(notes, [
      "the font of charts lacks 实 (U+5B9E), 验 (U+9A8C), \u{1f680} (U+1F680): " +
        "names show their codes instead",
    ]);
  });
  test("signs that no font shows don't reach the chart", () => {
    const { groups } = chartData([sampleResult("sync", 2, { name: "a\u0007b\ud800c" })]);
    assert.equal(groups[0]!.label, "a?b?c");
  });
});

describe("a baseline", () => {
  const baseline = sampleResult("sync", 1, { name: "mlp-baseline-1w-001", inOneProcess: true });
  const results = [baseline, ...sampleSuite(["sync", "async"], [1, 2], 1)];
  test("is no sync run with one worker, though its file says so", () => {
    const { groups } = chartData(results);
    assert.deepEqual(
      groups.map(({ series }) => series),
      ["baseline", "sync", "sync", "async", "async"],
    );
    const charts = chartsOf({ results }, () => {});
    const lines = (name: string) =>
      charts
        .find((chart) => chart.name === name)!
        .panels.flatMap((panel) => (panel.kind === "lines" ? panel.lines : []))
        .map(({ label }) => label);
    assert.ok(!lines("scaling_analysis").includes("baseline"));
    assert.ok(lines("accuracy_vs_time").includes("mlp-baseline-1w-001"));
  });
  test("has its sheet, without a word of servers", () => {
    const sheet = chartsOf({ results }, () => {}).find(({ name }) => name === "baseline");
    assert.match(sheet!.title, /^mlp-baseline-1w-001: /);
    assert.doesNotMatch(sheet!.subtitle, /server/);
  });
  test("is not what only has the word in its name", () => {
    const { groups } = chartData([
      sampleResult("sync", 2, { name: "sync_2workers_baseline", inOneProcess: false }),
    ]);
    assert.equal(groups[0]!.mode, "sync");
  });
});

describe("staleness that ends before it is counted", () => {
  const histogramOf = (counts: readonly number[]) => {
    const results = [sampleResult("async", 2, { stalenessCounts: counts })];
    const chart = chartsOf({ results }, () => {}).find(
      ({ name }) => name === "staleness_histogram",
    );
    const [panel] = chart!.panels;
    const columns = panel!.kind === "columns" ? panel!.columns : [];
    return { title: chart!.title, columns };
  };
  const cases: readonly (readonly [string, readonly number[], string, number, RegExp])[] = [
    ["a short list ends with its largest", [3, 0, 1], "2", 25, /mean 0\.500$/],
    ["a full list stands for more", [...new Array(127).fill(1), 1], "32+", 75, /at least 63\.5$/],
    ["a long tail is one bar", [50, ...new Array(49).fill(0), 50], "32+", 50, /mean 25\.0$/],
  ];
  for (const [name, counts, label, share, title] of cases) {
    test(name, () => {
      const histogram = histogramOf(counts);
      const last = histogram.columns.at(-1)!;
      assert.deepEqual([last.label, last.value], [label, share]);
      assert.match(histogram.title, title);
      const sum = histogram.columns.reduce((total, { value }) => total + value, 0);
      assert.ok(Math.abs(sum - 100) < 1e-9, `${sum}`);
    });
  }
});

describe("numbers that are none", () => {
  const broken = sampleResult("sync", 2, {
    seconds: Number.NaN,
    accuracyPercent: Number.POSITIVE_INFINITY,
    stepTimes: { inputSeconds: 0, computeSeconds: Number.NaN, waitSeconds: 0 },
    stalenessCounts: [1, Number.NaN],
    evaluations: [
      { seconds: Number.NaN, step: 1, examples: 1, accuracyPercent: 1, loss: 1 },
      { seconds: 2, step: 2, examples: Number.NaN, accuracyPercent: 50, loss: Number.NaN },
    ],
  });
  test("are taken away and counted", () => {
    const { groups, notes } = chartData([broken]);
    const [group] = groups;
    assert.equal(group!.seconds, null);
    assert.equal(group!.accuracyPercent, null);
    assert.equal(group!.results[0]!.stepTimes, null);
    assert.equal(group!.results[0]!.stalenessCounts, null);
    assert.equal(group!.results[0]!.evaluations.length, 1);
    assert.deepEqual(notes, ["sync_2workers: 5 of its values are not finite and are not drawn"]);
  });
  test("never reach a chart", () => {
    const results = [broken, sampleResult("async", 2), sampleResult("async", 4)];
    const charts = chartsOf({ results }, () => {});
    assert.ok(charts.length >= 5);
    const visit = (value: unknown, path: string): void => {
      if (typeof value === "number") assert.ok(Number.isFinite(value), path);
      else if (typeof value === "string") assert.doesNotMatch(value, /NaN|Infinity|null/, path);
      else if (typeof value === "object" && value !== null)
        for (const [key, inner] of Object.entries(value)) visit(inner, `${path}.${key}`);
    };
    visit(charts, "charts");
  });
});

describe("captions", () => {
  const captionsOf = (results: Parameters<typeof chartDataOf>[0]) =>
    captionsFor(chartData(results).groups, true).join(" ");
  test("tell n", () => {
    assert.match(captionsOf([sampleResult("sync", 1)]), /^One run each \(n = 1\)\.$/);
    assert.match(captionsOf(sampleSuite(["sync"], [1, 2], 3)), /^Means over n = 3 runs; /);
    const uneven = [...sampleSuite(["sync"], [1], 2), sampleResult("async", 1)];
    assert.match(captionsOf(uneven), /\(n: sync_1workers 2; others 1\)/);
  });
  test("tell of crowding where there are times", () => {
    const { groups } = chartData([sampleResult("sync", 4)]);
    assert.equal(captionsFor(groups, true).length, 2);
    assert.equal(captionsFor(groups, false).length, 1);
  });
});
