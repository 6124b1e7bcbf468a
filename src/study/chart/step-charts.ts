/** What a step is made of: how stale its gradients were, and where its time went. */

import { greatest } from "../extremes.js";
import { spreadOf } from "../group-results.js";
import type { StudyResult } from "../study-result.js";
import { axisFromZero, threeDigits } from "./axes.js";
import type { Chart, ColumnPanel, StackBar } from "./chart.js";
import {
  type ChartData,
  captionsFor,
  crowdedMark,
  type NamedGroup,
  type Note,
  workersText,
} from "./chart-data.js";
import { highest, inTitle, listed } from "./labels.js";
import { stepParts } from "./theme.js";

/** Paceline tells so many lengths of staleness apart; a shorter list ends with its largest. */
const countedPlaces = 128;
/** Bars of one histogram; the last holds what lies past it. */
const shownPlaces = 33;

/** Shares of pushes by staleness, a panel for each experiment. */
export function stalenessHistogram(chartData: ChartData, note: Note): Chart | null {
  const name = "staleness_histogram";
  const { subtitle } = chartData;
  const groups = chartData.groups.filter(({ mode }) => mode !== "baseline");
  // Workers in step are counted nowhere: a list without a count is one of zeros.
  const told = groups.filter(({ results }) =>
    results.some(({ stalenessCounts }) => stalenessCounts !== null),
  );
  const stale = told.filter(({ results }) => results.some((result) => lastOf([result]) > 0));
  if (stale.length === 0) {
    const none = "no file counts its pushes by staleness";
    note(`${name} is not drawn: ${told.length === 0 ? none : "every push had staleness 0"}`);
    return null;
  }
  const untold = groups.filter((group) => !told.includes(group));
  if (untold.length > 0) {
    const names = untold.map(({ label }) => label).join(", ");
    note(`${name} leaves out ${names}: no count of pushes by staleness`);
  }
  const sheets = stale.map((group) => ({ group, shares: sharesOf(group) }));
  const most = greatest(
    sheets.flatMap(({ shares }) => shares.map(({ mean, std }) => mean + (std ?? 0))),
  );
  const longest = Math.max(...sheets.map(({ shares }) => shares.length));
  const y = axisFromZero("share of pushes (%)", [most]);
  const panels = sheets.map(
    ({ group, shares }): ColumnPanel => ({
      kind: "columns",
      title: sheets.length === 1 ? "" : inTitle(group.label),
      heightPx: sheets.length > 2 ? 130 : 240,
      shape: "bar",
      xTitle: `staleness, mean ${meanText(group)}`,
      y,
      columns: Array.from({ length: longest }, (_, staleness) => {
        const share = shares[staleness] ?? { mean: 0, std: null, isOpen: false };
        const { mode, simulated } = group;
        const label = `${staleness}${share.isOpen ? "+" : ""}`;
        return { label, mode, value: share.mean, std: share.std, texts: [], simulated };
      }),
    }),
  );
  const zero = told.filter((group) => !stale.includes(group)).map(({ label }) => label);
  const captions = captionsFor(stale, false);
  captions.push(
    "Staleness: versions of a chunk between the one that a push was computed on and its arrival.",
  );
  if (zero.length > 0)
    captions.push(`Not shown, as every push had staleness 0: ${zero.join(", ")}.`);
  const columns = sheets.length === 1 ? 1 : sheets.length > 6 ? 3 : 2;
  return {
    name,
    title: stalenessTitle(sheets.map(({ group }) => group)),
    subtitle,
    columns,
    panels,
    captions,
  };
}

function hasCounts({ stalenessCounts }: StudyResult): boolean {
  return stalenessCounts?.some((count) => count > 0) ?? false;
}

/** The largest staleness that was counted. */
function lastOf(results: readonly StudyResult[]): number {
  return Math.max(
    0,
    ...results.map(({ stalenessCounts }) => stalenessCounts?.findLastIndex((n) => n > 0) ?? 0),
  );
}

interface Share {
  readonly mean: number;
  readonly std: number | null;
  /** It counts all above, too. */
  readonly isOpen: boolean;
}

function sharesOf({ results }: NamedGroup): Share[] {
  const counted = results.filter(hasCounts).map(({ stalenessCounts }) => folded(stalenessCounts!));
  const last = Math.max(...counted.map((counts) => counts.findLastIndex((count) => count > 0)));
  const isCut = results.some((result) => isOpen(result) || lastOf([result]) >= shownPlaces);
  return Array.from({ length: last + 1 }, (_, staleness) => {
    const shares = counted.map((counts) => {
      const sum = counts.reduce((total, count) => total + count, 0);
      return (100 * (counts[staleness] ?? 0)) / sum;
    });
    const { mean, std } = spreadOf(shares)!;
    return { mean, std, isOpen: isCut && staleness === last };
  });
}

/** What lies past the last bar is in it. */
function folded(counts: readonly number[]): number[] {
  const shown = counts.slice(0, shownPlaces);
  for (const count of counts.slice(shownPlaces)) shown[shownPlaces - 1]! += count;
  return shown;
}

/** Whether the counts end where no more were told apart, so that the last stands for more. */
function isOpen({ stalenessCounts }: StudyResult): boolean {
  return stalenessCounts?.length === countedPlaces && stalenessCounts.at(-1)! > 0;
}

function meanStaleness({ results }: NamedGroup): number {
  const means = results.filter(hasCounts).map(({ stalenessCounts }) => {
    const sum = stalenessCounts!.reduce((total, count) => total + count, 0);
    return stalenessCounts!.reduce((total, count, index) => total + count * index, 0) / sum;
  });
  return spreadOf(means)!.mean;
}

function meanText(group: NamedGroup): string {
  const open = group.results.some(isOpen);
  return `${open ? "at least " : ""}${threeDigits(meanStaleness(group))}`;
}

function stalenessTitle(groups: readonly NamedGroup[]): string {
  const [first] = groups;
  if (groups.length === 1)
    return `Staleness of the pushes of ${inTitle(first!.label)}: mean ${meanText(first!)}`;
  const means = groups.map((group) => ({ label: group.label, value: meanStaleness(group) }));
  const { labels, text } = highest(means, threeDigits);
  const where = labels.length < 3 ? listed(labels.map(inTitle)) : `${labels.length} runs`;
  return `Staleness of pushes: highest in ${where}, ${text} on average`;
}

/** Milliseconds per step by part, a bar for each experiment. */
export function stepTimeSplit({ groups, subtitle }: ChartData, note: Note): Chart | null {
  const name = "step_time_split";
  const told = groups.filter(({ results }) => results.some(({ stepTimes }) => stepTimes !== null));
  if (told.length === 0) {
    note(`${name} is not drawn: no file records how a step's time is split`);
    return null;
  }
  const untold = groups.filter((group) => !told.includes(group)).map(({ label }) => label);
  if (untold.length > 0)
    note(`${name} leaves out ${untold.join(", ")}: no account of a step's time`);
  const series = [...new Set(told.map((group) => group.series))].sort(bySync);
  const sorted = series.flatMap((name) =>
    told.filter((group) => group.series === name).sort((a, b) => a.workers - b.workers),
  );
  const bars = sorted.map(barOf);
  const reach = bars.map(({ parts, std }) => sumOf(parts) + (std ?? 0));
  const free = bars.filter((_, index) => !sorted[index]!.crowded);
  return {
    name,
    title: stepTitle(free),
    subtitle,
    columns: 1,
    key: stepParts,
    panels: [
      {
        kind: "stack",
        title: "",
        x: axisFromZero("time per step (ms)", reach),
        bars,
      },
    ],
    captions: [
      "Input: getting the examples. Compute: forward and backward. " +
        "Wait: from the end of backward until the weights for the next step are there.",
      ...captionsFor(told, true),
    ],
  };
}

/** Of runs whose times the footnote does not disown. */
function stepTitle(bars: readonly StackBar[]): string {
  if (bars.length === 0) return "Time of a worker's step";
  const waits = bars.map(({ parts }) => parts.at(-1)!.value / Math.max(1e-12, sumOf(parts)));
  const percent = (share: number) => (100 * share).toFixed(0);
  const [least, most] = [Math.min(...waits), Math.max(...waits)];
  const span = percent(least) === percent(most) ? "" : `${percent(least)} to `;
  return `Time of a worker's step: ${span}${percent(most)} % of it is waiting`;
}

function barOf(group: NamedGroup): StackBar {
  const times = group.results.flatMap(({ stepTimes }) => (stepTimes === null ? [] : [stepTimes]));
  const milliseconds = (seconds: readonly number[]) => 1000 * spreadOf(seconds)!.mean;
  const parts = [
    { part: "input", value: milliseconds(times.map(({ inputSeconds }) => inputSeconds)) },
    { part: "compute", value: milliseconds(times.map(({ computeSeconds }) => computeSeconds)) },
    { part: "wait", value: milliseconds(times.map(({ waitSeconds }) => waitSeconds)) },
  ] as const;
  const sums = times.map((one) => one.inputSeconds + one.computeSeconds + one.waitSeconds);
  const { std } = spreadOf(sums)!;
  return {
    label: `${barName(group)}${crowdedMark(group)}`,
    mode: group.mode,
    parts,
    std: std === null ? null : 1000 * std,
    text: `${threeDigits(sumOf(parts))} ms`,
    simulated: group.simulated,
  };
}

/** "sync, 4 workers"; a group that goes by its own name has its workers in it, or nowhere. */
function barName(group: NamedGroup): string {
  return group.series === group.label
    ? group.label
    : `${group.series}, ${workersText(group.workers)}`;
}

/** Sync first, as everywhere; then by name. */
function bySync(left: string, right: string): number {
  const first = (name: string) => (name.startsWith("sync") ? 0 : 1);
  return first(left) - first(right) || (left < right ? -1 : 1);
}

function sumOf(parts: readonly { readonly value: number }[]): number {
  return parts.reduce((total, { value }) => total + value, 0);
}
