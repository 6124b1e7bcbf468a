/** `paceline charts`: results drawn as pictures. */
import { lstat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { PacelineError } from "../../errors.js";
import { printable } from "../../report/progress.js";
import type { StudyResult } from "../../study/study-result.js";
import { alternatives, didYouMean } from "../../suggest.js";
import type { Call, CommandPlan } from "./command-plan.js";

const resultsDirDefault = "experiment_results";
const serversMax = 256;
const themeWords = ["both", "light", "dark"] as const;
const formatWords = ["png", "svg"] as const;

/** The command with its words. */
export const chartsPlan: CommandPlan = {
  name: "charts",
  sentence: "draw results as charts, PNG and SVG, for light and dark pages",
  options: "charts",
  arguments: ["[runs-or-files...]"],
  extra: [
    {
      flags: "-o, --output-dir <folder>",
      sentence: "output folder (default: charts/ beside the results)",
    },
    {
      flags: "--results-dir <folder>",
      sentence: `read every result in it (default: ${resultsDirDefault}, where none is named)`,
    },
    { flags: "--experiments <names>", sentence: "only these experiments, separated by commas" },
    {
      flags: "--compare-workers <counts>",
      sentence: "compare sync and async at these counts (default: all that have both)",
    },
    { flags: "--theme <both|light|dark>", sentence: "colour variants (default: both)" },
    { flags: "--format <png,svg>", sentence: "file formats (default: both)" },
    {
      flags: "--ring <servers>",
      sentence: "also chart how evenly the ring loads this many servers, e.g. 5 or 2,5,12",
    },
  ],
  examples: [
    "paceline charts",
    "paceline charts mlp-bsp-4w-001 mlp-asp-4w-001 -o charts",
    "paceline charts --results-dir experiment_results --compare-workers 4,8",
    "paceline charts --ring 5 --theme light --format svg",
  ],
  run: charts,
};

interface ChartFlags {
  readonly outputDir?: string;
  readonly resultsDir?: string;
  readonly experiments?: string;
  readonly compareWorkers?: string;
  readonly theme?: string;
  readonly format?: string;
  readonly ring?: string;
}

async function charts(call: Call): Promise<number> {
  const { io, options } = call;
  const flags: ChartFlags = call.flags;
  // Every flag is judged before anything is read.
  const theme = oneOf("--theme", flags.theme ?? "both", themeWords);
  const formats = listOf("--format", flags.format ?? "png,svg").map((word) =>
    oneOf("--format", word, formatWords),
  );
  const compareWorkers = countsOf("--compare-workers", flags.compareWorkers, 1, 1_000_000);
  const ringServers = countsOf("--ring", flags.ring, 2, serversMax);
  const { results, problems, folder } = await readAll(call, flags);
  const chosen = chosenOf(results, flags.experiments);
  const say = (line: string) => void (options.quiet || io.stderr.write(`${printable(line)}\n`));
  for (const problem of problems) io.stderr.write(`${printable(problem)}\n`);
  const { drawCharts } = await import("../../study/chart/draw-charts.js");
  const { diskFiles } = await import("../../store/files.js");
  const { files, notes } = await drawCharts({
    results: chosen,
    outputDir: flags.outputDir ?? join(folder, "charts"),
    files: diskFiles,
    formats,
    ...(theme === "both" ? {} : { themes: [theme] }),
    ...(compareWorkers === null ? {} : { compareWorkers }),
    ...(ringServers === null ? {} : { ringServers }),
    onFile: (path) => void (options.json || io.stdout.write(`${path}\n`)),
  });
  for (const note of notes) say(note);
  if (options.json) io.stdout.write(`${JSON.stringify({ files, notes, problems })}\n`);
  return 0;
}

interface Found {
  readonly results: readonly StudyResult[];
  /** What could not be read and why. */
  readonly problems: readonly string[];
  /** Beside which the charts belong. */
  readonly folder: string;
}

async function readAll({ words, options }: Call, flags: ChartFlags): Promise<Found> {
  const { readStudyResults } = await import("../../study/read-results.js");
  const named = await Promise.all(words.map((word) => findResult(word, options.runDir)));
  // The ring needs no results: without any named, it is drawn alone.
  const needsDefault = words.length === 0 && flags.ring === undefined;
  const resultsDir = flags.resultsDir ?? (needsDefault ? resultsDirDefault : undefined);
  if (resultsDir !== undefined) await demandFolder(resultsDir, flags.resultsDir === undefined);
  const places = [...named, ...(resultsDir === undefined ? [] : [resultsDir])];
  const results: StudyResult[] = [];
  const problems: string[] = [];
  for (const place of places) {
    const found = await readStudyResults(place);
    results.push(...found.results);
    problems.push(...found.problems.map(({ message }) => message));
  }
  if (results.length === 0 && places.length > 0) {
    const reasons = problems.length === 0 ? "" : `: ${problems.join("; ")}`;
    throw usage(
      `no results in ${places.join(", ")}${reasons}; give a run, or run paceline experiments`,
    );
  }
  const alone = places.length === 1 ? places[0]! : null;
  if (alone === null) return { results, problems, folder: resultsDir ?? "." };
  const isFolder = (await lstat(alone)).isDirectory();
  return { results, problems, folder: isFolder ? alone : dirname(alone) };
}

/** A path, or the name of a run in the folder of runs. */
async function findResult(word: string, runDir: string): Promise<string> {
  for (const path of [word, join(runDir, word)]) if (await exists(path)) return path;
  const { runNames } = await import("../../study/run-folders.js");
  const hint = didYouMean(word, await runNames(runDir));
  const remedy = "give the name of a run, its folder, or an experiment file";
  throw usage(`there is no run or file ${word}${hint}; ${remedy}`);
}

async function demandFolder(path: string, isDefault: boolean): Promise<void> {
  if (await exists(path)) return;
  const remedy = isDefault
    ? "name runs or files, or give --results-dir"
    : "give the folder that holds experiment files";
  throw usage(`there is no folder ${path}; ${remedy}`);
}

function chosenOf(results: readonly StudyResult[], text: string | undefined): StudyResult[] {
  if (text === undefined) return [...results];
  const names = listOf("--experiments", text);
  const namesOf = ({ name, path }: StudyResult) => [name, basename(path, ".json")];
  for (const name of names) {
    if (results.some((result) => namesOf(result).includes(name))) continue;
    const known = [...new Set(results.map((result) => result.name))];
    const shown = known.slice(0, 12).join(", ") + (known.length > 12 ? ", ..." : "");
    throw usage(`there is no experiment ${name}${didYouMean(name, known)}; there are ${shown}`);
  }
  return results.filter((result) => namesOf(result).some((name) => names.includes(name)));
}

function oneOf<Word extends string>(flag: string, word: string, known: readonly Word[]): Word {
  const found = known.find((one) => one === word);
  if (found !== undefined) return found;
  throw usage(`${flag} ${word} is unknown${didYouMean(word, known)}; write ${alternatives(known)}`);
}

function listOf(flag: string, text: string): string[] {
  const words = [...new Set(text.split(",").map((word) => word.trim()))].filter(Boolean);
  if (words.length > 0) return words;
  throw usage(`${flag} names nothing; separate several by commas`);
}

function countsOf(
  flag: string,
  text: string | undefined,
  least: number,
  most: number,
): number[] | null {
  if (text === undefined) return null;
  return listOf(flag, text).map((word) => {
    const count = Number(word);
    if (/^\d+$/.test(word) && count >= least && count <= most) return count;
    const wanted = `whole numbers from ${least} to ${most}, separated by commas`;
    throw usage(`${flag} ${word} is not one; write ${wanted}`);
  });
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

function usage(message: string): PacelineError {
  return new PacelineError("usage", message);
}
