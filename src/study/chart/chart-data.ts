/**
 * The results that charts are made of: repeats as one, runs that can't be shown left out and said,
 * numbers that are none taken away, and the words that several charts share about them.
 */
import { confoundsOf, confoundText } from "../confounds.js";
import {
  differingSettings,
  groupResults,
  type Spread,
  type StudyGroup,
  withoutRepetitions,
} from "../group-results.js";
import type { StudyResult } from "../study-result.js";
import type { TimeUnit } from "./axes.js";
import type { LinePoint } from "./chart.js";
import { codeOf, settable } from "./font-metrics.js";

/** What all charts of one call are made of. */
export interface ChartData {
  /** Those with at least one run that ended well. */
  readonly groups: readonly NamedGroup[];
  /** Model, data set and what else all of them share. */
  readonly subtitle: string;
}

/** Repeats of one experiment and what a reader is to call them. */
export interface NamedGroup extends StudyGroup {
  /** The name without the repeat's number. */
  readonly label: string;
  /** Which line over worker counts it belongs to: the mode, and what else its name tells. */
  readonly series: string;
}

/** Whom to tell what is missing. */
export type Note = (text: string) => void;

/** Puts results together; each thing that was left out is told to `note`. */
export function chartDataOf(results: readonly StudyResult[], note: Note): ChartData {
  const lacking = new Set<string>();
  const { results: once, repetitions } = withoutRepetitions(results);
  for (const { first, again } of repetitions) {
    const where = first.path === again.path ? "" : ` (${first.path} and ${again.path})`;
    note(`${again.name} is given twice${where}: it counts once`);
  }
  const cleanedResults = once.map((result) =>
    cleaned(
      withTexts(result, (text) => plainText(text, lacking)),
      note,
    ),
  );
  tellLacking(lacking, note);
  const groups = groupResults(cleanedResults);
  for (const { name, outcome } of groups.flatMap(({ unfinished }) => unfinished)) {
    const how = outcome === "failed" ? "it failed" : "it was interrupted";
    note(`${name} is left out: ${how}`);
  }
  const shown = groups.filter((group) => group.results.length > 0);
  const labels = unique(shown.map(labelOf));
  const series = seriesOf(shown, labels);
  const named = shown.map((group, index) => {
    return { ...group, label: labels[index]!, series: series[index]! };
  });
  return { groups: named, subtitle: subtitleOf(shown.flatMap((group) => group.results)) };
}

/** "Means over 3 runs each; ..." and the other sentences that these groups call for. */
export function captionsFor(groups: readonly NamedGroup[], hasTimes: boolean): string[] {
  const captions: string[] = [];
  const counts = groups.map((group) => group.results.length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const bars = "error bars: ± one standard deviation";
  if (least === most) {
    captions.push(most === 1 ? "One run each (n = 1)." : `Means over n = ${most} runs; ${bars}.`);
  } else {
    const several = groups.filter((group) => group.results.length > 1);
    const told = several.map((group) => `${group.label} ${group.results.length}`);
    captions.push(`Means over runs (n: ${told.join(", ")}; others 1); ${bars}.`);
  }
  if (groups.some(({ simulated }) => simulated)) {
    captions.push("Hollow: simulated; its times are modelled, not measured.");
  }
  if (hasTimes && groups.some(({ crowded }) => crowded)) {
    const what = "more workers than processor cores";
    captions.push(`* ${what}: they took turns, so these times say little about scaling.`);
  }
  const confounds = confoundText(confoundsOf(groups));
  if (confounds !== null) captions.push(confounds);
  return captions;
}

/** An asterisk where a group's workers outnumbered the cores. */
export function crowdedMark({ crowded }: Pick<StudyGroup, "crowded">): string {
  return crowded ? "*" : "";
}

/** "1 worker", "4 workers". */
export function workersText(count: number): string {
  return count === 1 ? "1 worker" : `${count} workers`;
}

/** A spread as a point, or nothing. */
export function pointOf(
  x: number,
  spread: Spread | null,
  simulated: boolean,
  { perSecond }: TimeUnit,
): LinePoint[] {
  if (spread === null) return [];
  const std = spread.std === null ? null : spread.std * perSecond;
  return [{ x, y: spread.mean * perSecond, std, simulated }];
}

/** The means and both ends of their error bars. */
export function ends(spreads: readonly (Spread | null)[], least: number): number[] {
  return known(spreads).flatMap(({ mean, std }) => {
    const reach = std ?? least;
    return [mean, mean - reach, mean + reach];
  });
}

/** Those that are known. */
export function known(spreads: readonly (Spread | null)[]): Spread[] {
  return spreads.filter((spread) => spread !== null);
}

/** Takes away what is no number, so that it is missing instead of drawn somewhere. */
function cleaned(result: StudyResult, note: Note): StudyResult {
  let lost = 0;
  const known = (value: number | null): number | null => {
    if (value === null || Number.isFinite(value)) return value;
    lost += 1;
    return null;
  };
  const { evaluations, stalenessCounts, stepTimes } = result;
  const parts = stepTimes === null ? [] : Object.values(stepTimes);
  const clean = {
    ...result,
    ...(isBaseline(result) ? { mode: "baseline", servers: null } : {}),
    seconds: known(result.seconds),
    epochSeconds: known(result.epochSeconds),
    accuracyPercent: known(result.accuracyPercent),
    epochs: result.epochs.map((epoch) => ({
      epoch: epoch.epoch,
      longestSeconds: known(epoch.longestSeconds),
      meanSeconds: known(epoch.meanSeconds),
      testAccuracyPercent: known(epoch.testAccuracyPercent),
      trainAccuracyPercent: known(epoch.trainAccuracyPercent),
      trainLoss: known(epoch.trainLoss),
      testLoss: known(epoch.testLoss),
    })),
    evaluations: evaluations.filter(
      ({ seconds, accuracyPercent }) => known(seconds) !== null && known(accuracyPercent) !== null,
    ),
    stalenessCounts: stalenessCounts?.some((count) => known(count) === null)
      ? null
      : stalenessCounts,
    stepTimes: parts.some((seconds: number) => known(seconds) === null) ? null : stepTimes,
  };
  if (lost > 0) note(`${result.name}: ${lost} of its values are not finite and are not drawn`);
  return clean;
}

/** A run in one process; of a file that does not tell, its name does. */
function isBaseline({ name, mode, inOneProcess }: StudyResult): boolean {
  if (inOneProcess !== null) return inOneProcess;
  return mode === "baseline" || /(^|[-_])baseline([-_]|$)/i.test(name);
}

/** A result with every text of it that a chart shows turned into another. */
function withTexts(result: StudyResult, turn: (text: string) => string): StudyResult {
  const { name, mode, model, data, settings } = result;
  const turned = Object.entries(settings).map(([path, value]) => [
    path,
    typeof value === "string" ? turn(value) : value,
  ]);
  return {
    ...result,
    ...{ name: turn(name), mode: turn(mode) },
    model: model === null ? null : turn(model),
    data: data === null ? null : turn(data),
    settings: Object.fromEntries(turned),
  };
}

/** Signs that no font shows become question marks, those that the charts' lacks their codes. */
function plainText(text: string, lacking: Set<string>): string {
  return settable(text.replace(/\p{C}/gu, "?"), (character) => lacking.add(character));
}

function tellLacking(lacking: ReadonlySet<string>, note: Note): void {
  if (lacking.size === 0) return;
  const told = [...lacking].slice(0, 8).map((character) => `${character} (${codeOf(character)})`);
  const rest = lacking.size - told.length;
  const more = rest === 0 ? "" : ` and ${rest} more characters`;
  note(`the font of charts lacks ${told.join(", ")}${more}: names show their codes instead`);
}

function labelOf({ name, results }: StudyGroup): string {
  return results.length > 1 ? name.replace(/[_-](run|seed)_?\d+$/i, "") : name;
}

/** Makes equal names unequal, so that two lines never share one. */
function unique(names: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
  });
}

/**
 * Groups of one mode make one line over worker counts, unless their names tell more than mode and
 * workers; where two would stand at one place of a line, each goes by its own name.
 */
function seriesOf(groups: readonly StudyGroup[], labels: readonly string[]): string[] {
  const names = groups.map(({ mode }, index) => {
    const match = /^([a-z]+)_\d+workers?(.*)$/i.exec(labels[index]!);
    const rest = match?.[2]?.replace(/[_-]+/g, " ").trim() ?? "";
    return rest === "" ? mode : `${mode} ${rest}`;
  });
  const place = (index: number) => `${names[index]} ${groups[index]!.workers}`;
  const places = names.map((_, index) => place(index));
  return names.map((name, index) => {
    const isAlone = places.filter((other) => other === places[index]).length === 1;
    return isAlone ? name : labels[index]!;
  });
}

const sharedSettings: readonly (readonly [path: string, text: (value: unknown) => string])[] = [
  ["batchSize", (value) => `batch ${value} per worker`],
  ["updateRule.name", (value) => String(value)],
  ["schedule.lr", (value) => `learning rate ${value}`],
  ["epochs", (value) => (value === 1 ? "1 epoch" : `${value} epochs`)],
];

/** Model, data set and the settings that all of these share. */
export function subtitleOf(results: readonly StudyResult[]): string {
  const told = (what: "model" | "data") => results.find((result) => result[what])?.[what] ?? null;
  const [model, data] = [told("model"), told("data")];
  const parts = [model !== null && data !== null ? `${model} on ${data}` : (model ?? data ?? "")];
  const differing = new Set(differingSettings(results).map(({ path }) => path));
  for (const [path, text] of sharedSettings) {
    const value = results[0]?.settings[path];
    if (value !== undefined && value !== null && !differing.has(path)) parts.push(text(value));
  }
  const served = results.filter(({ mode }) => mode !== "baseline");
  const servers = [...new Set(served.map((result) => result.servers))];
  if (servers.length === 1 && servers[0] !== null)
    parts.push(servers[0] === 1 ? "1 server" : `${servers[0]} servers`);
  return parts.filter((part) => part !== "").join(" · ");
}
