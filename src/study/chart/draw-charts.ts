/**
 * Draws every chart that there is data for, in every theme and format asked for, and says which it
 * could not draw and why.
 */
import { join } from "node:path";
import { PacelineError } from "../../errors.js";
import { asideOf, type Files } from "../../store/files.js";
import { demandComparable } from "../group-results.js";
import type { StudyResult } from "../study-result.js";
import type { Chart } from "./chart.js";
import { type ChartData, chartDataOf, type Note } from "./chart-data.js";
import { scalingAnalysis, syncVsAsync } from "./comparison-charts.js";
import { composeSpec } from "./compose.js";
import { renderPng, renderSvg } from "./render.js";
import { ringLoadBalance } from "./ring-chart.js";
import { stalenessHistogram, stepTimeSplit } from "./step-charts.js";
import { type ThemeName, themes } from "./theme.js";
import {
  accuracyVsBytes,
  accuracyVsTime,
  accuracyVsWork,
  runSheet,
  trainingCurves,
} from "./training-charts.js";

/** The formats of files. */
export const chartFormats = ["png", "svg"] as const;
/** One of the formats of files. */
export type ChartFormat = (typeof chartFormats)[number];

/** What to draw and where to. */
export interface ChartRequest {
  readonly results: readonly StudyResult[];
  /** Made if it is not there. */
  readonly outputDir: string;
  readonly files: Files;
  /** Both where left out. */
  readonly themes?: readonly ThemeName[];
  /** Both where left out. */
  readonly formats?: readonly ChartFormat[];
  /** Worker counts to compare sync and async at; all that have both where left out. */
  readonly compareWorkers?: readonly number[];
  /** Numbers of servers whose ring is drawn; none where left out. */
  readonly ringServers?: readonly number[];
  /** Told each file's path when it is written. */
  readonly onFile?: (path: string) => void;
}

/** What came of it. */
export interface DrawnCharts {
  /** Paths, in the order in which they were written. */
  readonly files: readonly string[];
  /** What was not drawn, and why. */
  readonly notes: readonly string[];
}

/**
 * Draws the charts. `name.png` and `name.svg` are for light pages, `name-dark.*` for dark ones.
 * @throws PacelineError `usage` for results of different data sets or models, or when there is
 * nothing to draw; `storage` when a file can't be written.
 */
export async function drawCharts(request: ChartRequest): Promise<DrawnCharts> {
  demandComparable(request.results);
  const notes: string[] = [];
  const charts = chartsOf(request, (text) => notes.push(text));
  if (charts.length === 0) {
    const reasons = [...new Set(notes)].join("; ");
    throw new PacelineError("usage", `there is nothing to draw: ${reasons || "no results given"}`);
  }
  return { files: await writeCharts(charts, request), notes };
}

/**
 * Draws these charts, and resolves to the paths of their files, in order.
 * @throws PacelineError `storage` when a file can't be written.
 */
export async function writeCharts(
  charts: readonly Chart[],
  { outputDir, files, onFile, ...request }: Omit<ChartRequest, "results">,
): Promise<readonly string[]> {
  const written: string[] = [];
  const keep = async (name: string, bytes: Uint8Array) => {
    const path = join(outputDir, name);
    await writeWhole(files, path, bytes);
    written.push(path);
    onFile?.(path);
  };
  const formats = request.formats ?? chartFormats;
  await atPlaceOfCharts(async () => {
    await files.makeFolder(outputDir);
    for (const chart of charts) {
      for (const themeName of request.themes ?? (["light", "dark"] as const)) {
        const svg = await renderSvg(composeSpec(chart, themes[themeName]));
        const stem = themeName === "light" ? chart.name : `${chart.name}-dark`;
        if (formats.includes("svg")) await keep(`${stem}.svg`, Buffer.from(svg));
        if (formats.includes("png")) await keep(`${stem}.png`, await renderPng(svg));
      }
    }
  });
  return written;
}

/** The charts that there is data for; why others are missing is told to `note`. */
export function chartsOf(
  request: Pick<ChartRequest, "results" | "compareWorkers" | "ringServers">,
  note: Note,
): Chart[] {
  const { results, compareWorkers, ringServers } = request;
  const charts: (Chart | null)[] = [];
  if (results.length > 0) {
    const chartData = chartDataOf(results, note);
    charts.push(...syncVsAsync(chartData, compareWorkers ?? null, note));
    charts.push(scalingAnalysis(chartData, note));
    charts.push(...sheetsOf(chartData, note));
    if (chartData.groups.length > 1) charts.push(trainingCurves(chartData, note));
    charts.push(accuracyVsTime(chartData, note), accuracyVsWork(chartData, note));
    charts.push(accuracyVsBytes(chartData, note));
    charts.push(stalenessHistogram(chartData, note), stepTimeSplit(chartData, note));
  }
  if (ringServers !== undefined) charts.push(ringLoadBalance(ringServers));
  return charts.filter((chart) => chart !== null);
}

/** The sheet of each baseline, or of the only experiment there is. */
function sheetsOf(chartData: ChartData, note: Note): (Chart | null)[] {
  const baselines = chartData.groups.filter(({ mode }) => mode === "baseline");
  if (baselines.length === 0) {
    note("baseline is not drawn: no result is of a baseline");
    const [only] = chartData.groups;
    if (chartData.groups.length === 1) return [runSheet(only!, "distributed_run", note)];
  }
  return baselines.map((group) => {
    const name = baselines.length === 1 ? "baseline" : `baseline_${fileName(group.label)}`;
    return runSheet(group, name, note);
  });
}

function fileName(text: string): string {
  return text.replace(/[^A-Za-z0-9._-]+/g, "_");
}

/** Readers meet the old chart or the new one, never half. */
async function writeWhole(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  const aside = asideOf(path, "part");
  try {
    const file = await files.create(aside);
    try {
      await file.write(bytes);
    } finally {
      await file.close();
    }
    await files.rename(aside, path);
  } catch (thrown) {
    await files.remove(aside).catch(() => undefined);
    throw thrown;
  }
}

/** Says of a failing disk what mends it here: another folder for charts, not one for runs. */
async function atPlaceOfCharts(action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (thrown) {
    if (!(thrown instanceof PacelineError) || thrown.code !== "storage") throw thrown;
    const isTaken = thrown.details.errno === "EEXIST";
    const message = isTaken
      ? `${thrown.details.path} is a file: charts go to a folder; choose another --output-dir`
      : thrown.message.replaceAll("--run-dir", "--output-dir");
    throw new PacelineError("storage", message, { cause: thrown, details: thrown.details });
  }
}
