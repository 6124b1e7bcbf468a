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
    charts: ["baseline", "accuracy_vs_time", "accuracy_vs_work", "step_time_split"],
  },
  "one epoch": {
    results: [sampleResult("async", 2, { epochCount: 1 })],
    charts: ["baseline", "accuracy_vs_time", "accuracy_vs_work", ...ofEach.slice(3)],
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
