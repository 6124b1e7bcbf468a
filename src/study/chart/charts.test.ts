import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Resvg } from "@resvg/resvg-js";
import type { StudyResult } from "../study-result.js";
import { publishedResult, sampleResult, sampleSuite } from "../testing/sample-results.js";
import { cutOff, overlaps, textBoxes } from "../testing/svg-texts.test.js";
import type { Chart } from "./chart.js";
import { composeSpec } from "./compose.js";
import { chartsOf } from "./draw-charts.js";
import { fontFiles } from "./font-metrics.js";
import { renderSvg } from "./render.js";
import { themes } from "./theme.js";

const fourModes = ["sync", "async", "ssp", "hybrid"];
const longName = "sync_4workers_resnet18_cifar100_bandwidth_limited_to_100Mbit_and_delayed_by_30ms";

interface Scene {
  readonly results: readonly StudyResult[];
  readonly ringServers?: readonly number[];
  readonly compareWorkers?: readonly number[];
  /** Names of the charts, in order. */
  readonly charts: readonly string[];
}

const usual = ["training_curves", "accuracy_vs_time", "accuracy_vs_work", "staleness_histogram"];
const ofEach = [...usual, "step_time_split"];
const compared = (counts: readonly number[]) => counts.map((n) => `sync_vs_async_${n}workers`);

const scenes: Readonly<Record<string, Scene>> = {
  "one run": {
    results: [sampleResult("sync", 1)],
    charts: ["distributed_run", "accuracy_vs_time", "accuracy_vs_work", "step_time_split"],
  },
  "one epoch": {
    results: [sampleResult("async", 2, { epochCount: 1 })],
    charts: ["distributed_run", "accuracy_vs_time", "accuracy_vs_work", ...ofEach.slice(3)],
  },
  "two modes, three worker counts, three seeds": {
    results: sampleSuite(["sync", "async"], [1, 2, 4], 3),
    ringServers: [2, 5, 12],
    charts: [...compared([1, 2, 4]), "scaling_analysis", ...ofEach, "ring_load_balance"],
  },
  "four modes, six worker counts, twenty epochs": {
    results: sampleSuite(fourModes, [1, 2, 4, 8, 16, 32], 2, { epochCount: 20 }),
    compareWorkers: [32],
    charts: [...compared([32]), "scaling_analysis", ...ofEach],
  },
  "worker counts next to each other, a hundred epochs": {
    results: sampleSuite(["sync", "async"], [15, 16, 31, 32], 1, { epochCount: 100 }),
    compareWorkers: [31],
    charts: [...compared([31]), "scaling_analysis", ...ofEach],
  },
  "equal times, accuracies within a fifth of a percent": {
    results: [1, 2, 4].flatMap((workers) =>
      ["sync", "async", "ssp"].map((mode, index) => {
        const accuracyPercent = 97.8 + 0.07 * index;
        return sampleResult(mode, workers, { accuracyPercent, seconds: 20, epochSeconds: 20 / 3 });
      }),
    ),
    charts: [...compared([1, 2, 4]), "scaling_analysis", ...ofEach],
  },
  "modes of different traffic": {
    results: [
      ...[1, 2].map((seed) => sampleResult("sync", 4, { name: `bsp_run${seed}`, seed })),
      sampleResult("local", 4, { name: "local-50", bytesIn: 5e7, bytesOut: 5e7 }),
      publishedResult("async", 4, 1320),
    ],
    charts: [
      ...compared([4]),
      ...["training_curves", "accuracy_vs_time", "accuracy_vs_work", "accuracy_vs_bytes"],
      ...ofEach.slice(3),
    ],
  },
  "accuracies of 100 and of 0": {
    results: [100, 0].flatMap((accuracyPercent, index) =>
      [2, 4].map((workers) =>
        sampleResult(index === 0 ? "sync" : "async", workers, { accuracyPercent }),
      ),
    ),
    charts: [...compared([2, 4]), "scaling_analysis", ...ofEach],
  },
  "long names, some simulated": {
    results: [
      sampleResult("sync", 4, { name: longName, simulated: true }),
      sampleResult("async", 4, { name: "a-long-name-without-any-of-the-usual-words-2025-10-11" }),
      sampleResult("async", 4, { servers: 8, name: "async_4workers_servers8" }),
      sampleResult("async", 4, { servers: 9, name: "async_4workers_servers9_compressed_topk" }),
    ],
    charts: [...compared([4]), ...ofEach],
  },
  "very slow and very large": {
    results: [1, 2].flatMap((workers) =>
      ["sync", "async"].map((mode) => {
        const step = { inputSeconds: 12, computeSeconds: 1234.5, waitSeconds: 0.001 };
        return sampleResult(mode, workers, { seconds: 3e6, epochSeconds: 1e6, stepTimes: step });
      }),
    ),
    charts: [...compared([1, 2]), "scaling_analysis", ...ofEach],
  },
  "files of the published form": {
    results: [4, 8, 16].flatMap((workers, index) => [
      publishedResult("sync", workers, [1320, 960, 600][index]!),
      publishedResult("async", workers, [1200, 720, 480][index]!),
    ]),
    charts: [...compared([4, 8, 16]), "scaling_analysis", "accuracy_vs_time", "accuracy_vs_work"],
  },
  "a published file beside one of Paceline's": {
    results: [publishedResult("sync", 4, 1320), sampleResult("async", 4)],
    charts: [...compared([4]), ...ofEach],
  },
};

/** Every text inside, none over another, none too small: what is wrong with a chart. */
function faults(svg: string): string[] {
  const boxes = textBoxes(svg);
  assert.ok(boxes.length > 8, "a chart without words");
  // A PNG at half its size has one dot for each of these pixels.
  const small = boxes.filter(({ sizePx }) => sizePx < 11).map(({ text }) => `"${text}" is small`);
  return [...small, ...cutOff(svg, boxes), ...overlaps(boxes)];
}

/** The share of the outermost dots that are not background: ink that was cut off. */
function inkAtEdges(svg: string): number {
  const { regular, bold } = fontFiles();
  const font = { loadSystemFonts: false, fontFiles: [regular, bold] };
  const { pixels, width, height } = new Resvg(svg, { font }).render();
  let ink = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      if (row > 3 && row < height - 4 && column > 3 && column < width - 4) continue;
      const at = 4 * (row * width + column);
      if (!pixels.subarray(at, at + 4).equals(pixels.subarray(0, 4))) ink += 1;
    }
  }
  return ink;
}

describe("every text of a chart stands inside it, free, and large enough", () => {
  for (const [name, { charts: names, ...request }] of Object.entries(scenes)) {
    describe(name, () => {
      const charts: Chart[] = chartsOf(request, () => {});
      test("has the charts that there is data for", () => {
        assert.deepEqual(
          charts.map((chart) => chart.name),
          names,
        );
      });
      for (const chart of charts) {
        test(chart.name, async () => {
          const svg = await renderSvg(composeSpec(chart, themes.light));
          assert.deepEqual(faults(svg), []);
        });
      }
    });
  }
  test("nothing is cut off at the edges, dot by dot", async () => {
    const { results } = scenes["long names, some simulated"]!;
    for (const chart of chartsOf({ results, ringServers: [5] }, () => {})) {
      const svg = await renderSvg(composeSpec(chart, themes.dark));
      assert.equal(inkAtEdges(svg), 0, chart.name);
    }
  });
});

describe("a chart tells the truth", () => {
  const chartOf = (name: string, results: readonly StudyResult[]): Chart => {
    const found = chartsOf({ results }, () => {}).find((chart) => chart.name === name);
    assert.ok(found !== undefined, name);
    return found;
  };
  test("bars start at zero", () => {
    const results = [1000, 1001].map((seconds, index) =>
      sampleResult(index === 0 ? "sync" : "async", 2, { seconds }),
    );
    const [panel] = chartOf("sync_vs_async_2workers", results).panels;
    assert.ok(panel!.kind === "columns" && panel!.shape === "bar");
    assert.equal(panel!.kind === "columns" && panel!.y.domain[0], 0);
  });
  test("means, deviations and n are those of the runs", () => {
    const seconds = [30, 33, 36];
    const results = seconds.flatMap((value, index) => [
      sampleResult("sync", 2, { seconds: value, seed: index, name: `sync_2workers_run${index}` }),
      sampleResult("async", 2, { seconds: 20, seed: index, name: `async_2workers_run${index}` }),
    ]);
    const { panels, captions, title } = chartOf("sync_vs_async_2workers", results);
    const [panel] = panels;
    assert.ok(panel!.kind === "columns");
    const [sync] = panel!.kind === "columns" ? panel!.columns : [];
    assert.deepEqual([sync!.value, sync!.std, sync!.texts[0]], [33, 3, "33.0 ± 3.0 s"]);
    assert.match(captions.join(" "), /Means over n = 3 runs; error bars: ± one standard deviation/);
    assert.match(title, /^2 workers: async took 39 % less time than sync/);
  });
  const pair = (changes: Partial<StudyResult>, asyncChanges: Partial<StudyResult>) => [
    sampleResult("sync", 4, { seconds: 30, accuracyPercent: 97, ...changes }),
    sampleResult("async", 4, { seconds: 20, accuracyPercent: 95.5, ...asyncChanges }),
  ];
  test("a title says nothing of times that the footnote disowns", () => {
    const free = { crowded: false };
    const { title } = chartOf("sync_vs_async_4workers", pair(free, free));
    assert.equal(
      title,
      "4 workers: async took 33 % less time than sync, accuracy 1.5 points lower",
    );
    const crowded = chartOf("sync_vs_async_4workers", pair(free, { crowded: true })).title;
    assert.equal(crowded, "Sync and async with 4 workers: async's accuracy 1.5 points lower");
    const counts = [1, 2, 4].map((workers) =>
      sampleResult("sync", workers, { seconds: 8 / workers }),
    );
    // Two cores: of four workers nothing is said.
    assert.equal(
      chartOf("scaling_analysis", counts).title,
      "From 1 to 2 workers: sync 2.00 times as fast",
    );
    const waits = chartOf("step_time_split", [counts[2]!]).title;
    assert.equal(waits, "Time of a worker's step");
  });
  test("runs that differ in more than the mode are not compared by it", () => {
    const settings = { batchSize: 128, epochs: 3, "protocol.staleness": 5 };
    const sync = { ...settings, "schedule.lr": 0.2, "updateRule.name": "momentum" };
    const async = { ...settings, "schedule.lr": 0.5, "updateRule.name": "sgd" };
    const charts = chartsOf({ results: pair({ settings: sync }, { settings: async }) }, () => {});
    const told =
      "These runs differ in more than the mode: in learning rate (sync 0.2, async 0.5), " +
      "optimizer (sync momentum, async sgd). No difference between them is the mode's alone.";
    for (const { name, captions } of charts) {
      assert.equal(captions.includes(told), name !== "staleness_histogram", name);
    }
    assert.equal(charts[0]!.title, "Sync and async with 4 workers, and with unlike settings");
    const alike = chartsOf({ results: pair({ settings: sync }, { settings: sync }) }, () => {});
    for (const { captions } of alike) assert.ok(!captions.join().includes("more than the mode"));
  });
  test("accuracies that are written alike have no winner", () => {
    const end = (accuracyPercent: number) => {
      const moment = { seconds: 9, step: 9, examples: 9, loss: 1 };
      return { evaluations: [{ ...moment, accuracyPercent }] };
    };
    const title = (first: number, second: number) =>
      chartOf("accuracy_vs_time", pair(end(first), end(second))).title;
    const prefix = "Test accuracy against training time: ";
    assert.equal(title(97.25, 97.25), `${prefix}both end at 97.25 %`);
    assert.equal(title(97.251, 97.249), `${prefix}both end at 97.25 %`);
    assert.equal(title(97.25, 97.26), `${prefix}async_4workers ends highest, at 97.26 %`);
    const third = sampleResult("ssp", 4, end(90));
    const three = [...pair(end(97.25), end(97.25)), third];
    const names = "sync_4workers and async_4workers";
    assert.equal(
      chartOf("accuracy_vs_time", three).title,
      `${prefix}${names} end highest, at 97.25 %`,
    );
  });
  test("accuracies are bars from 0 to 100", () => {
    const panel = chartOf("sync_vs_async_4workers", pair({}, {})).panels.at(-1)!;
    assert.ok(panel.kind === "columns" && panel.shape === "bar");
    assert.deepEqual(panel.kind === "columns" && panel.y.domain, [0, 100]);
  });
  test("a curve on another is broken, and the caption says so", async () => {
    const same = sampleResult("sync", 4).evaluations;
    const chart = chartOf("accuracy_vs_time", pair({ evaluations: same }, { evaluations: same }));
    const svg = await renderSvg(composeSpec(chart, themes.light));
    assert.match(
      svg,
      /Lines with equal points are drawn broken: async_4workers\* on sync_4workers/,
    );
    assert.match(svg, /stroke-dasharray="5,6"/);
    const apart = chartOf("accuracy_vs_time", pair({}, {}));
    assert.doesNotMatch(await renderSvg(composeSpec(apart, themes.light)), /drawn broken/);
  });
  test("no leader runs through the plot from a curve that ends early", async () => {
    const leaders = async (seconds: number) => {
      const late = sampleResult("sync", 4).evaluations;
      const early = late.map((one) => ({ ...one, seconds: (one.seconds * seconds) / 100 }));
      const chart = chartOf(
        "accuracy_vs_time",
        pair({ evaluations: late }, { evaluations: early }),
      );
      const svg = await renderSvg(composeSpec(chart, themes.light));
      return svg.match(/stroke-dasharray="1,3"/g)?.length ?? 0;
    };
    assert.equal(await leaders(60), 1);
    assert.equal(await leaders(99.99), 2);
  });
  test("speed-up is against one worker, or the fewest, and the axis says which", () => {
    const at = (counts: readonly number[]) => {
      const results = counts.map((workers) =>
        sampleResult("sync", workers, { seconds: 80 / workers }),
      );
      const panel = chartOf("scaling_analysis", results).panels.at(-1)!;
      assert.ok(panel.kind === "lines");
      const [ideal, own] = panel.lines;
      return [panel.y.title, ideal!.points.at(-1)!.y, own!.points.map(({ y }) => y).join()];
    };
    assert.deepEqual(at([1, 2, 4]), ["speed-up vs 1 worker (log scale)", 4, "1,2,4"]);
    assert.deepEqual(at([4, 8, 16]), ["speed-up vs 4 workers (log scale)", 4, "1,2,4"]);
  });
  test("modes with different fewest workers have an ideal each", () => {
    const results = [
      ...[1, 2, 4].map((workers) => sampleResult("sync", workers)),
      ...[2, 4].map((workers) => sampleResult("async", workers)),
    ];
    const panel = chartOf("scaling_analysis", results).panels.at(-1)!;
    assert.ok(panel.kind === "lines");
    assert.deepEqual(
      panel.lines.map(({ label }) => label),
      ["ideal from 1", "ideal from 2", "sync", "async"],
    );
    assert.equal(panel.y.title, "speed-up vs fewest (log scale)");
  });
  test("crowded counts have an asterisk and a caption, simulated points are hollow", () => {
    const results = [1, 2, 4].map((workers) =>
      sampleResult("sync", workers, { simulated: workers === 2 }),
    );
    const { panels, captions } = chartOf("scaling_analysis", results);
    const [panel] = panels;
    assert.ok(panel!.kind === "lines");
    if (panel!.kind !== "lines") return;
    assert.deepEqual(
      panel!.x.ticks.map(({ text }) => text),
      ["1", "2", "4*"],
    );
    assert.deepEqual(
      panel!.lines[0]!.points.map(({ simulated }) => simulated),
      [false, true, false],
    );
    assert.match(captions.join(" "), /Hollow: simulated.* \* more workers than processor cores/);
  });
  test("time of a file without evaluations is summed, and the caption says so", () => {
    const results = [publishedResult("sync", 4, 240), sampleResult("async", 4)];
    const { panels, captions } = chartOf("accuracy_vs_time", results);
    const [panel] = panels;
    assert.ok(panel!.kind === "lines");
    if (panel!.kind !== "lines") return;
    assert.deepEqual(
      panel!.lines[0]!.points.map(({ x }) => x),
      [81, 163, 246],
    );
    assert.match(captions.join(" "), /Time of sync_4workers is the sum of its epochs'/);
  });
  test("work is examples, or epochs for all where one file does not tell them", () => {
    const titleOf = (results: readonly StudyResult[]) => {
      const [panel] = chartOf("accuracy_vs_work", results).panels;
      return panel!.kind === "lines" ? panel!.x.title : "";
    };
    const own = sampleResult("async", 4);
    assert.equal(titleOf([own]), "examples (thousands)");
    assert.equal(titleOf([own, publishedResult("sync", 4, 300)]), "epoch");
  });
  test("bytes are a run's sum, shared by examples", () => {
    const results = [
      sampleResult("sync", 4),
      sampleResult("local", 4, { bytesIn: 3e8, bytesOut: 1e8 }),
    ];
    const [panel] = chartOf("accuracy_vs_bytes", results).panels;
    assert.ok(panel!.kind === "lines");
    if (panel!.kind !== "lines") return;
    assert.equal(panel!.x.title, "payload through servers (GB)");
    const ends = panel!.lines.map(({ points }) => points.map(({ x }) => Number(x.toFixed(4))));
    assert.deepEqual(ends, [
      [0.6667, 1.3333, 2],
      [0.1333, 0.2667, 0.4],
    ]);
  });
  test("equal modes have equal colours in every chart", () => {
    const results = sampleSuite(["sync", "async"], [1, 2], 1);
    const words = new Map<string, Set<string>>();
    for (const { panels } of chartsOf({ results }, () => {})) {
      for (const panel of panels) {
        if (panel.kind !== "lines") continue;
        for (const { label, mode } of panel.lines) {
          const [word = ""] = label.split("_");
          words.set(word, (words.get(word) ?? new Set()).add(mode));
        }
      }
    }
    assert.deepEqual([...words.get("sync")!, ...words.get("async")!], ["sync", "async"]);
  });
});
