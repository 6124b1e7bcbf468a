/**
 * The published pair of comparisons: sync against async at one worker count, and both over worker
 * counts. Two by two panels each.
 */
import { confoundsOf } from "../confounds.js";
import { greatest } from "../extremes.js";
import type { Spread } from "../group-results.js";
import {
  axisAround,
  axisFromZero,
  digitsBehind,
  linearAxis,
  logAxis,
  powersAxis,
  timeUnit,
  wholeAxis,
} from "./axes.js";
import type { Chart, Column, ColumnPanel, Line, LinePanel, LinePoint, Panel } from "./chart.js";
import {
  type ChartData,
  captionsFor,
  crowdedMark,
  ends,
  known,
  type NamedGroup,
  type Note,
  pointOf,
  workersText,
} from "./chart-data.js";
import { listed } from "./labels.js";

const panelHeightPx = 210;
/** Accuracies closer together than this many points look close together. */
const accuracySpan = 2;

/** One chart for each worker count that has both modes, or for each that was asked for. */
export function syncVsAsync(
  { groups, subtitle }: ChartData,
  asked: readonly number[] | null,
  note: Note,
): Chart[] {
  const published = groups.filter(({ mode }) => mode === "sync" || mode === "async");
  const counts = [...new Set(published.map(({ workers }) => workers))].sort((a, b) => a - b);
  const charts: Chart[] = [];
  for (const workers of asked ?? counts) {
    const name = `sync_vs_async_${workers}workers`;
    const here = published.filter((group) => group.workers === workers);
    const missing = ["sync", "async"].filter((mode) => here.every((group) => group.mode !== mode));
    if (missing.length > 0) {
      const runs = `no ${missing.join(" and no ")} run with ${workersText(workers)}`;
      note(`${name} is not drawn: there is ${runs}`);
      continue;
    }
    const sorted = [...here].sort((a, b) => rankOf(a) - rankOf(b));
    const panels = comparisonPanels(sorted, (what) => note(`${name} has no panel of ${what}`));
    if (panels.length === 0) continue;
    const title = comparisonTitle(sorted, workers);
    const captions = captionsFor(sorted, true);
    charts.push({ name, title, subtitle, columns: 2, panels, captions });
  }
  if (asked === null && charts.length === 0 && counts.length === 0)
    note("sync_vs_async is not drawn: there is neither a sync nor an async run");
  return charts;
}

function rankOf({ mode }: NamedGroup): number {
  return mode === "sync" ? 0 : 1;
}

function comparisonTitle(groups: readonly NamedGroup[], workers: number): string {
  const title = `Sync and async with ${workersText(workers)}`;
  if (groups.length !== 2) return title;
  if (confoundsOf(groups).length > 0) return `${title}, and with unlike settings`;
  const [sync, async] = groups as [NamedGroup, NamedGroup];
  if (sync.seconds === null || async.seconds === null || sync.seconds.mean <= 0) return title;
  if (groups.some(({ crowded }) => crowded)) return `${title}: ${accuracyText(sync, async)}`;
  const share = async.seconds.mean / sync.seconds.mean;
  const percent = Math.abs(100 * (1 - share)).toFixed(0);
  const time = share < 1 ? `${percent} % less time` : `${percent} % more time`;
  const sooner = percent === "0" ? "as long as" : `${time} than`;
  const start = `${workersText(workers)}: async took ${sooner} sync`;
  if (sync.accuracyPercent === null || async.accuracyPercent === null) return start;
  const text = accuracyText(sync, async);
  return `${start}, ${text.startsWith("equal") ? `at ${text}` : text.replace("async's ", "")}`;
}

function accuracyText(sync: NamedGroup, async: NamedGroup): string {
  if (sync.accuracyPercent === null || async.accuracyPercent === null) return "times";
  const points = async.accuracyPercent.mean - sync.accuracyPercent.mean;
  const size = Math.abs(points).toFixed(1);
  if (size === "0.0") return "equal accuracy";
  return `async's accuracy ${size} points ${points < 0 ? "lower" : "higher"}`;
}

function comparisonPanels(groups: readonly NamedGroup[], missing: Note): Panel[] {
  const names = new Map(groups.map((group) => [group, columnName(group, groups)]));
  const accuracies = groups.map(({ accuracyPercent }) => accuracyPercent);
  const panels: (Panel | null)[] = [
    timeColumns("Training time", groups, names, ({ seconds }) => seconds),
    timeColumns("Mean epoch time", groups, names, ({ epochSeconds }) => epochSeconds),
    longestEpochs(groups, names),
    known(accuracies).length === 0
      ? null
      : {
          kind: "columns",
          title: "Final test accuracy",
          heightPx: panelHeightPx,
          shape: "bar",
          xTitle: "",
          y: linearAxis("accuracy (%)", 0, 100),
          columns: columnsOf(groups, names, ({ accuracyPercent }) => accuracyPercent, {
            unit: "%",
            factor: 1,
            digits: 2,
          }),
        },
  ];
  const titles = ["training time", "mean epoch time", "longest epoch times", "final accuracy"];
  for (const [index, panel] of panels.entries())
    if (panel === null) missing(`${titles[index]}: no file records it`);
  return panels.filter((panel) => panel !== null);
}

function columnName(group: NamedGroup, all: readonly NamedGroup[]): string {
  const alone = all.filter(({ mode }) => mode === group.mode).length === 1;
  return `${alone ? group.mode : group.series}${crowdedMark(group)}`;
}

function timeColumns(
  title: string,
  groups: readonly NamedGroup[],
  names: ReadonlyMap<NamedGroup, string>,
  pick: (group: NamedGroup) => Spread | null,
): ColumnPanel | null {
  const spreads = groups.map(pick);
  if (known(spreads).length === 0) return null;
  const unit = timeUnit(known(spreads).map(({ mean }) => mean));
  const values = ends(spreads, 0).map((value) => value * unit.perSecond);
  return {
    kind: "columns",
    title,
    heightPx: panelHeightPx,
    shape: "bar",
    xTitle: "",
    // Room for what is written above the highest bar.
    y: axisFromZero(`time (${unit.name})`, [...values, greatest(values) * 1.12]),
    columns: columnsOf(groups, names, pick, { unit: unit.name, factor: unit.perSecond }),
  };
}

/** How values are written: scaled, with so many digits behind the point. */
interface Wording {
  readonly unit: string;
  readonly factor: number;
  /** As many as make three that count, where left out. */
  readonly digits?: number;
}

function columnsOf(
  groups: readonly NamedGroup[],
  names: ReadonlyMap<NamedGroup, string>,
  pick: (group: NamedGroup) => Spread | null,
  { unit, factor, digits }: Wording,
): Column[] {
  return groups.flatMap((group) => {
    const spread = pick(group);
    if (spread === null) return [];
    const value = spread.mean * factor;
    const std = spread.std === null ? null : spread.std * factor;
    const places = digits ?? digitsBehind(value);
    const short = value.toFixed(places);
    const texts = std === null ? [] : [`${short} ± ${std.toFixed(places)} ${unit}`];
    const { mode, simulated } = group;
    texts.push(`${short} ${unit}`);
    return [{ label: names.get(group)!, mode, value, std, texts, simulated }];
  });
}

function longestEpochs(
  groups: readonly NamedGroup[],
  names: ReadonlyMap<NamedGroup, string>,
): LinePanel | null {
  const spreads = groups.flatMap(({ epochs }) =>
    epochs.map(({ longestSeconds }) => longestSeconds),
  );
  if (known(spreads).length === 0) return null;
  const unit = timeUnit(known(spreads).map(({ mean }) => mean));
  const lines = groups.map((group) => ({
    label: names.get(group)!,
    mode: group.mode,
    dash: [],
    points: group.epochs.flatMap(({ epoch, longestSeconds }) =>
      pointOf(epoch, longestSeconds, group.simulated, unit),
    ),
  }));
  const drawn = lines.filter(({ points }) => points.length > 0);
  const last = greatest(drawn.flatMap(({ points }) => points.map(({ x }) => x)));
  const values = ends(spreads, 0).map((value) => value * unit.perSecond);
  return {
    kind: "lines",
    title: "Longest epoch time, by epoch",
    heightPx: panelHeightPx,
    x: wholeAxis("epoch", 1, last),
    y: axisFromZero(`time (${unit.name})`, values),
    lines: drawn,
  };
}

/** All modes over worker counts; null, with the reason told, where there is only one count. */
export function scalingAnalysis(chartData: ChartData, note: Note): Chart | null {
  const name = "scaling_analysis";
  const { subtitle } = chartData;
  // A baseline has no workers to have more of.
  const groups = chartData.groups.filter(({ mode }) => mode !== "baseline");
  const counts = [...new Set(groups.map(({ workers }) => workers))].sort((a, b) => a - b);
  if (counts.length < 2) {
    const what =
      counts.length === 0 ? "there is no run" : `all runs have ${workersText(counts[0]!)}`;
    note(`${name} is not drawn: ${what}`);
    return null;
  }
  const series = [...new Set(groups.map((group) => group.series))].map((label) => {
    const members = groups.filter((group) => group.series === label);
    return { label, members: [...members].sort((a, b) => a.workers - b.workers) };
  });
  const isCrowded = (count: number) =>
    groups.some(({ workers, crowded }) => workers === count && crowded);
  const x = logAxis("workers (log scale)", 2, counts, (count) =>
    isCrowded(count) ? `${count}*` : String(count),
  );
  const accuracies = groups.map(({ accuracyPercent }) => accuracyPercent);
  const panels = [
    timeLines("Training time", series, x, ({ seconds }) => seconds),
    timeLines("Mean epoch time", series, x, ({ epochSeconds }) => epochSeconds),
    known(accuracies).length === 0
      ? null
      : seriesPanel("Final test accuracy", series, x, ({ accuracyPercent }) => accuracyPercent, {
          axis: axisAround("accuracy (%)", ends(accuracies, 0.1), accuracySpan),
          factor: 1,
        }),
    speedUps(series, x, note),
  ];
  const drawn = panels.filter((panel) => panel !== null);
  if (drawn.length === 0) {
    note(`${name} is not drawn: no file records times or accuracies`);
    return null;
  }
  const title = scalingTitle(series, counts, confoundsOf(groups).length > 0);
  const captions = [...captionsFor(groups, true), ...mixedCrowding(groups)];
  return { name, title, subtitle, columns: 2, panels: drawn, captions };
}

interface Series {
  readonly label: string;
  /** In ascending worker count. */
  readonly members: readonly NamedGroup[];
}

/** What it says is of runs whose times the footnote does not disown. */
function scalingTitle(
  series: readonly Series[],
  all: readonly number[],
  isConfounded: boolean,
): string {
  const plain = `Time, accuracy and speed-up from ${all[0]} to ${workersText(all.at(-1)!)}`;
  if (isConfounded) return plain;
  const free = series.map(({ label, members }) => {
    return { label, members: members.filter(({ crowded }) => !crowded) };
  });
  const counts = free.flatMap(({ members }) => members.map(({ workers }) => workers));
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  if (counts.length === 0 || least === most) return plain;
  const gains = free.flatMap(({ label, members }) => {
    const [first, last] = [members[0], members.at(-1)];
    if (first?.workers !== least || last?.workers !== most) return [];
    if (!first.seconds || !last.seconds || last.seconds.mean <= 0) return [];
    return [`${label} ${(first.seconds.mean / last.seconds.mean).toFixed(2)} times as fast`];
  });
  if (gains.length === 0 || gains.length > 3) return plain;
  return `From ${least} to ${workersText(most)}: ${listed(gains)}`;
}

/** Says which runs the asterisk at a worker count is not about. */
function mixedCrowding(groups: readonly NamedGroup[]): string[] {
  const crowded = new Set(groups.filter((group) => group.crowded).map(({ workers }) => workers));
  const free = groups.filter((group) => !group.crowded && crowded.has(group.workers));
  const names = listed(free.map(({ label }) => label));
  return free.length === 0 ? [] : [`The asterisk does not hold for ${names}.`];
}

function timeLines(
  title: string,
  series: readonly Series[],
  x: LinePanel["x"],
  pick: (group: NamedGroup) => Spread | null,
): LinePanel | null {
  const spreads = series.flatMap(({ members }) => members.map(pick));
  if (known(spreads).length === 0) return null;
  const unit = timeUnit(known(spreads).map(({ mean }) => mean));
  const values = ends(spreads, 0).map((value) => value * unit.perSecond);
  const axis = axisFromZero(`time (${unit.name})`, values);
  return seriesPanel(title, series, x, pick, { axis, factor: unit.perSecond });
}

function seriesPanel(
  title: string,
  series: readonly Series[],
  x: LinePanel["x"],
  pick: (group: NamedGroup) => Spread | null,
  { axis, factor }: { readonly axis: LinePanel["y"]; readonly factor: number },
): LinePanel {
  const unit = { name: "", perSecond: factor };
  const lines = series.map(({ label, members }) => ({
    label,
    mode: members[0]!.mode,
    dash: [],
    points: members.flatMap((group) => pointOf(group.workers, pick(group), group.simulated, unit)),
  }));
  const drawn = lines.filter(({ points }) => points.length > 0);
  return { kind: "lines", title, heightPx: panelHeightPx, x, y: axis, lines: drawn };
}

function speedUps(series: readonly Series[], x: LinePanel["x"], note: Note): LinePanel | null {
  const timed = series
    .map(({ label, members }) => {
      return { label, members: members.filter(({ seconds }) => seconds && seconds.mean > 0) };
    })
    .filter(({ members }) => members.length > 1);
  if (timed.length === 0) {
    note("scaling_analysis has no panel of speed-up: no mode has times at two worker counts");
    return null;
  }
  const bases = [...new Set(timed.map(({ members }) => members[0]!.workers))].sort((a, b) => a - b);
  const most = greatest(timed.flatMap(({ members }) => members.map(({ workers }) => workers)));
  const ideals: Line[] = bases.map((base) => ({
    label: bases.length === 1 ? "ideal" : `ideal from ${base}`,
    mode: "reference",
    dash: [6, 4],
    pointless: true,
    points: [base, most].map((count) => {
      return { x: count, y: count / base, std: null, simulated: false };
    }),
  }));
  const lines = timed.map(({ label, members }) => ({
    label,
    mode: members[0]!.mode,
    dash: [],
    points: members.map((group) => speedUp(group, members[0]!)),
  }));
  const values = [...lines, ...ideals].flatMap(({ points }) =>
    points.flatMap(({ y, std }) => [y, Math.max(y / 2, y - (std ?? 0)), y + (std ?? 0)]),
  );
  const [base] = bases;
  const against = bases.length > 1 ? "each mode's fewest workers" : workersText(base!);
  return {
    kind: "lines",
    title: `Speed-up against ${against}`,
    heightPx: panelHeightPx,
    x,
    y: powersAxis(speedUpAxisTitle(bases), values),
    lines: [...ideals, ...lines],
  };
}

function speedUpAxisTitle(bases: readonly number[]): string {
  if (bases.length > 1) return "speed-up vs fewest (log scale)";
  return `speed-up vs ${workersText(bases[0]!)} (log scale)`;
}

/** The quotient of two means, with its deviation to first order. */
function speedUp(group: NamedGroup, base: NamedGroup): LinePoint {
  const [own, first] = [group.seconds!, base.seconds!];
  const y = first.mean / own.mean;
  const parts = [own, first].map(({ mean, std }) => (std ?? 0) / mean);
  const std = group === base ? null : y * Math.hypot(...parts);
  return { x: group.workers, y, std: std === 0 ? null : std, simulated: group.simulated };
}
