/** How training went: the sheet of one run, accuracy against time and work, curves side by side. */

import { greatest } from "../extremes.js";
import { type Spread, spreadOf } from "../group-results.js";
import type { StudyEvaluation, StudyResult } from "../study-result.js";
import {
  type Axis,
  axisAround,
  axisFromZero,
  decadesAxis,
  linearAxis,
  timeUnit,
  wholeAxis,
} from "./axes.js";
import type { Chart, Line, LinePanel, LinePoint, Panel } from "./chart.js";
import {
  type ChartData,
  captionsFor,
  crowdedMark,
  known,
  type NamedGroup,
  type Note,
  pointOf,
  subtitleOf,
} from "./chart-data.js";
import { highest, inTitle, listed } from "./labels.js";

const sheetHeightPx = 210;
/** More curves than this get a panel for each mode. */
const panelCurvesMax = 7;
/** How many times as long as the shortest a run may be on a linear axis. */
const logarithmicFrom = 6;
/** Runs whose bytes for an example differ by less have one curve over bytes and over examples. */
const rateDiffersFrom = 1.2;
const plain = { name: "", perSecond: 1 };
/** Lines of one mode have one colour; the more workers, the more broken. */
const dashes: readonly (readonly number[])[] = [
  [],
  [9, 3],
  [4, 3],
  [10, 3, 3, 3],
  [16, 4],
  [10, 3, 3, 3, 3, 3],
];

/** The sheet of one run (or of its repeats): loss, accuracies, epoch times, accuracy over time. */
export function runSheet(group: NamedGroup, name: string, note: Note): Chart | null {
  const panels = [
    lossPanel(group),
    accuracyPanel(group),
    epochTimePanel(group),
    accuracyOverTime(group),
  ];
  const words = ["loss", "accuracy", "epoch times", "accuracy over time"];
  const missing = words.filter((_, index) => panels[index] === null);
  const drawn = panels.filter((panel) => panel !== null);
  if (drawn.length === 0) {
    note(`${name} is not drawn: ${group.label} records no epochs`);
    return null;
  }
  if (missing.length > 0) note(`${name} has no panel of ${missing.join(", ")}: no file records it`);
  const end = group.accuracyPercent;
  const epochs = group.epochs.length;
  const after = epochs === 1 ? "1 epoch" : `${epochs} epochs`;
  const reached = end === null ? "" : `: ${end.mean.toFixed(2)} % after ${after}`;
  return {
    name,
    title: `${inTitle(group.label)}${crowdedMark(group)}${reached}`,
    subtitle: subtitleOf(group.results),
    columns: 2,
    panels: drawn,
    captions: captionsFor([group], true),
  };
}

function lossPanel(group: NamedGroup): Panel | null {
  const lines = [
    epochLine(group, "train", ({ trainLoss }) => trainLoss),
    epochLine(group, "test", ({ testLoss }) => testLoss),
  ];
  return epochPanel("Loss, by epoch", group, lines, (values) => axisFromZero("loss", values));
}

function accuracyPanel(group: NamedGroup): Panel | null {
  const lines = [
    epochLine(group, "train", ({ trainAccuracyPercent }) => trainAccuracyPercent),
    epochLine(group, "test", ({ testAccuracyPercent }) => testAccuracyPercent),
  ];
  return epochPanel("Accuracy, by epoch", group, lines, (values) =>
    axisAround("accuracy (%)", values, 2),
  );
}

function epochTimePanel(group: NamedGroup): Panel | null {
  const unit = timeUnit(
    known(group.epochs.map(({ longestSeconds }) => longestSeconds)).map(meanOf),
  );
  const points = group.epochs.flatMap(({ epoch, longestSeconds }) =>
    pointOf(epoch, longestSeconds, group.simulated, unit),
  );
  const line = { label: "", mode: group.mode, dash: [], points };
  return epochPanel("Epoch time, by epoch", group, [line], (values) =>
    axisFromZero(`time (${unit.name})`, values),
  );
}

function accuracyOverTime(group: NamedGroup): Panel | null {
  const curve = timeCurve(group);
  if (curve === null) return null;
  const unnamed = [{ ...curve, label: "" }];
  const title = "Test accuracy over time";
  return curvePanel(unnamed, { ...curveAxes(unnamed, "time"), title, heightPx: sheetHeightPx });
}

function epochLine(
  group: NamedGroup,
  label: string,
  pick: (epoch: NamedGroup["epochs"][number]) => Spread | null,
): Line {
  const points = group.epochs.flatMap((epoch) =>
    pointOf(epoch.epoch, pick(epoch), group.simulated, plain),
  );
  const isTrain = label === "train";
  return { label, mode: isTrain ? "reference" : group.mode, dash: isTrain ? [5, 3] : [], points };
}

function epochPanel(
  title: string,
  group: NamedGroup,
  lines: readonly Line[],
  axis: (values: readonly number[]) => Axis,
): LinePanel | null {
  const drawn = lines.filter(({ points }) => points.length > 0);
  if (drawn.length === 0) return null;
  const x = wholeAxis("epoch", 1, greatest(group.epochs.map(({ epoch }) => epoch)));
  const y = axis(reachOf(drawn));
  return { kind: "lines", title, heightPx: sheetHeightPx, x, y, lines: drawn };
}

/** Accuracy against time: a line for each experiment. */
export function accuracyVsTime({ groups, subtitle }: ChartData, note: Note): Chart | null {
  const name = "accuracy_vs_time";
  const curves = groups.map(timeCurve);
  const told = curves.filter((curve) => curve !== null);
  tellMissing(name, groups, curves, note, "no accuracy with a time");
  if (told.length === 0) return null;
  const summed = told.filter(({ isSummed }) => isSummed).map(({ label }) => label);
  const hint = "is the sum of its epochs', without the evaluations between them.";
  const captions = summed.length === 0 ? [] : [`Time of ${summedText(summed, told)} ${hint}`];
  return {
    name,
    title: `Test accuracy against training time${bestOf(told)}`,
    subtitle,
    ...curvePanels(told, "time"),
    captions: [...captionsFor(groups, true), ...captions],
  };
}

/** Accuracy against examples gone through, or epochs where some file does not tell examples. */
export function accuracyVsWork({ groups, subtitle }: ChartData, note: Note): Chart | null {
  const name = "accuracy_vs_work";
  const byExamples = groups.map(exampleCurve);
  const isTold = byExamples.every((curve) => curve !== null);
  const curves = isTold ? byExamples : groups.map(epochCurve);
  const told = curves.filter((curve) => curve !== null);
  tellMissing(name, groups, curves, note, isTold ? "no work" : "no accuracy by epoch");
  if (told.length === 0) return null;
  return {
    name,
    title: `Test accuracy against work done${bestOf(told)}`,
    subtitle,
    ...curvePanels(told, isTold ? "examples" : "epochs"),
    captions: captionsFor(groups, false),
  };
}

/**
 * Accuracy against what servers received and sent, where runs differ in it. A run tells the sum:
 * at an evaluation it is taken to be in proportion to the examples gone through by then.
 */
export function accuracyVsBytes({ groups, subtitle }: ChartData, note: Note): Chart | null {
  const name = "accuracy_vs_bytes";
  const curves = groups.map(byteCurve);
  const told = curves.filter((curve) => curve !== null);
  const rates = groups.flatMap(({ results }) => results.flatMap(bytesOfExample));
  if (rates.length === 0 || Math.max(...rates) < rateDiffersFrom * Math.min(...rates)) return null;
  tellMissing(name, groups, curves, note, "no traffic, or no accuracy by work");
  if (told.length < 2) return null;
  const hint = "Bytes of gradients and weights through servers, in proportion to the examples.";
  return {
    name,
    title: `Test accuracy against bytes sent${bestOf(told)}`,
    subtitle,
    ...curvePanels(told, "bytes"),
    captions: [...captionsFor(groups, false), hint],
  };
}

/**
 * Loss and accuracy by epoch, a line for each experiment, side by side; a row for each mode where
 * one would be too full.
 */
export function trainingCurves({ groups, subtitle }: ChartData, note: Note): Chart | null {
  const name = "training_curves";
  const lines = (pick: (epoch: NamedGroup["epochs"][number]) => Spread | null) =>
    groups
      .map((group) => ({ ...epochLine(group, group.label, pick), dash: dashOf(group, groups) }))
      .filter(({ points }) => points.length > 0);
  const losses = lines(({ trainLoss }) => trainLoss);
  const accuracies = lines(({ testAccuracyPercent }) => testAccuracyPercent);
  if (losses.length === 0 || accuracies.length === 0) {
    const what = losses.length === 0 ? "the loss" : "the test accuracy";
    note(`${name} is not drawn: no file records ${what} by epoch`);
    return null;
  }
  const last = greatest(groups.flatMap(({ epochs }) => epochs.map(({ epoch }) => epoch)));
  const x = wholeAxis("epoch", 1, last);
  const lossAxis = axisFromZero("loss", reachOf(losses));
  const accuracyAxis = axisAround("accuracy (%)", reachOf(accuracies), 2);
  const modes = [...new Set(groups.map(({ mode }) => mode))];
  const rows = groups.length > panelCurvesMax && modes.length > 1 ? modes : [null];
  const panels = rows.flatMap((mode): LinePanel[] => {
    const own = (all: readonly Line[]) => all.filter((line) => mode === null || line.mode === mode);
    const common = { kind: "lines", heightPx: mode === null ? 250 : 190, x } as const;
    const titled = (title: string) => (mode === null ? title : `${title}: ${mode}`);
    return [
      { ...common, title: titled("Training loss"), y: lossAxis, lines: own(losses) },
      { ...common, title: titled("Test accuracy"), y: accuracyAxis, lines: own(accuracies) },
    ].filter((panel) => panel.lines.length > 0);
  });
  const title = "Training loss and test accuracy, by epoch";
  return { name, title, subtitle, columns: 2, panels, captions: captionsFor(groups, false) };
}

interface Curve extends Line {
  /** Its times are sums of epochs' times. */
  readonly isSummed?: boolean;
  /** In seconds where x is a time. */
  readonly points: readonly LinePoint[];
}

function timeCurve(group: NamedGroup, _index?: number, all?: readonly NamedGroup[]): Curve | null {
  const common = lineOf(group, all ?? [group], true);
  const evaluated = alignedPoints(group, ({ evaluations }) =>
    evaluations.map(({ seconds, accuracyPercent }) => ({ x: seconds, y: accuracyPercent })),
  );
  if (evaluated !== null) return { ...common, points: evaluated };
  const summed = alignedPoints(group, summedEpochs);
  return summed === null ? null : { ...common, points: summed, isSummed: true };
}

function summedEpochs({ epochs }: StudyResult): Place[] {
  let seconds = 0;
  const places: Place[] = [];
  for (const { longestSeconds, testAccuracyPercent } of epochs) {
    if (longestSeconds === null) break;
    seconds += longestSeconds;
    if (testAccuracyPercent !== null) places.push({ x: seconds, y: testAccuracyPercent });
  }
  return places;
}

function exampleCurve(group: NamedGroup, _: number, all: readonly NamedGroup[]): Curve | null {
  const knows = (one: StudyEvaluation) => one.examples !== null && Number.isFinite(one.examples);
  const points = alignedPoints(group, ({ evaluations }) =>
    evaluations.every(knows)
      ? evaluations.map(({ examples, accuracyPercent }) => ({ x: examples!, y: accuracyPercent }))
      : [],
  );
  return points === null ? null : { ...lineOf(group, all, false), points };
}

function byteCurve(group: NamedGroup, _: number, all: readonly NamedGroup[]): Curve | null {
  const points = alignedPoints(group, (result) =>
    bytesOfExample(result).flatMap((rate) =>
      result.evaluations.map(({ examples, accuracyPercent }) => {
        return { x: examples! * rate, y: accuracyPercent };
      }),
    ),
  );
  return points === null ? null : { ...lineOf(group, all, false), points };
}

/** What went through servers for each example; nothing where the file does not tell. */
function bytesOfExample({ evaluations, bytesIn, bytesOut }: StudyResult): number[] {
  const examples = Math.max(0, greatest(evaluations.map((one) => one.examples ?? Number.NaN)));
  if (bytesIn === null || bytesOut === null || !(examples > 0)) return [];
  return [(bytesIn + bytesOut) / examples];
}

function epochCurve(group: NamedGroup, _: number, all: readonly NamedGroup[]): Curve | null {
  const points = group.epochs.flatMap(({ epoch, testAccuracyPercent }) =>
    pointOf(epoch, testAccuracyPercent, group.simulated, plain),
  );
  return points.length === 0 ? null : { ...lineOf(group, all, false), points };
}

interface Place {
  readonly x: number;
  readonly y: number;
}

/** Means over a group's runs of what each has at the same turn; null where one has nothing. */
function alignedPoints(
  { results, simulated }: NamedGroup,
  placesOf: (result: StudyResult) => readonly Place[],
): LinePoint[] | null {
  const lists = results.map(placesOf);
  const length = Math.min(...lists.map((list) => list.length));
  if (length === 0) return null;
  return Array.from({ length }, (_, turn) => {
    const x = spreadOf(lists.map((list) => list[turn]!.x))!.mean;
    const y = spreadOf(lists.map((list) => list[turn]!.y))!;
    return { x, y: y.mean, std: y.std, simulated };
  });
}

function lineOf(group: NamedGroup, all: readonly NamedGroup[], hasTimes: boolean) {
  const label = `${group.label}${hasTimes ? crowdedMark(group) : ""}`;
  return { label, mode: group.mode, dash: dashOf(group, all) };
}

/** The most workers of a mode have the whole line. */
function dashOf(group: NamedGroup, all: readonly NamedGroup[]): readonly number[] {
  const peers = all.filter(({ mode }) => mode === group.mode);
  const sorted = [...peers].sort((a, b) => b.workers - a.workers);
  return dashes[Math.max(0, sorted.indexOf(group)) % dashes.length]!;
}

/** What curves run over. */
type CurveQuantity = "time" | "examples" | "bytes" | "epochs";

/** One panel; one for each mode with the same axes where one would be too full. */
function curvePanels(
  curves: readonly Curve[],
  quantity: CurveQuantity,
): { columns: 1 | 2; panels: LinePanel[] } {
  const axes = curveAxes(curves, quantity);
  const modes = [...new Set(curves.map(({ mode }) => mode))];
  if (curves.length <= panelCurvesMax || modes.length === 1) {
    return { columns: 1, panels: [curvePanel(curves, { ...axes, title: "", heightPx: 380 })] };
  }
  const panels = modes.map((mode) => {
    const own = curves.filter((curve) => curve.mode === mode);
    return curvePanel(own, { ...axes, title: mode, heightPx: 250 });
  });
  return { columns: 2, panels };
}

interface CurveAxes extends Pick<LinePanel, "x" | "y"> {
  /** Of the x axis for each second, example or byte. */
  readonly factor: number;
}

function curveAxes(curves: readonly Curve[], quantity: CurveQuantity): CurveAxes {
  const y = axisAround("accuracy (%)", reachOf(curves), 2);
  const ends = curves.map(({ points }) => points.at(-1)!.x);
  const most = Math.max(...ends);
  if (quantity === "epochs") return { x: wholeAxis("epoch", 1, most), y, factor: 1 };
  const { title, factor } = titledUnit(quantity, ends);
  const starts = curves.map(({ points }) => points[0]!.x);
  const least = Math.min(...starts);
  // Runs of very different length would leave the short ones no room on a linear axis.
  const x =
    most > logarithmicFrom * Math.min(...ends) && least > 0
      ? decadesAxis(`${title}, log scale`, least * factor, most * factor)
      : linearAxis(title, 0, most * factor);
  return { x, y, factor };
}

function titledUnit(
  quantity: Exclude<CurveQuantity, "epochs">,
  ends: readonly number[],
): { readonly title: string; readonly factor: number } {
  const most = Math.max(...ends);
  if (quantity === "time") {
    const { name, perSecond } = timeUnit(ends);
    return { title: `training time (${name})`, factor: perSecond };
  }
  if (quantity === "examples") {
    const { name, perSecond } = exampleUnit(most);
    return { title: `examples${name}`, factor: perSecond };
  }
  const [name, factor] = most >= 2e9 ? ["GB", 1e-9] : most >= 2e6 ? ["MB", 1e-6] : ["kB", 1e-3];
  return { title: `payload through servers (${name})`, factor: Number(factor) };
}

function curvePanel(
  curves: readonly Curve[],
  { factor, ...frame }: CurveAxes & Pick<LinePanel, "title" | "heightPx">,
): LinePanel {
  const lines = curves.map((curve) => ({
    ...curve,
    points: curve.points.map((point) => ({ ...point, x: point.x * factor })),
  }));
  return { kind: "lines", ...frame, lines };
}

function exampleUnit(most: number): { name: string; perSecond: number } {
  if (most >= 2_000_000) return { name: " (millions)", perSecond: 1e-6 };
  if (most >= 2000) return { name: " (thousands)", perSecond: 1e-3 };
  return plain;
}

function bestOf(curves: readonly Curve[]): string {
  if (curves.length < 2) return "";
  const ended = curves.map(({ label, points }) => {
    return { label: label.replace(/\*$/, ""), value: points.at(-1)!.y };
  });
  const { labels, text } = highest(ended, (value) => value.toFixed(2));
  if (labels.length === 1) return `: ${inTitle(labels[0]!)} ends highest, at ${text} %`;
  const all = curves.length === 2 ? "both" : "all";
  if (labels.length === curves.length) return `: ${all} end at ${text} %`;
  const best = labels.length === 2 ? listed(labels.map(inTitle)) : `${labels.length} runs`;
  return `: ${best} end highest, at ${text} %`;
}

function summedText(summed: readonly string[], told: readonly Curve[]): string {
  return summed.length === told.length ? "each run" : summed.join(", ");
}

function tellMissing(
  name: string,
  groups: readonly NamedGroup[],
  curves: readonly (Curve | null)[],
  note: Note,
  what: string,
): void {
  const missing = groups.filter((_, index) => curves[index] === null).map(({ label }) => label);
  if (missing.length === groups.length) note(`${name} is not drawn: there is ${what}`);
  else if (missing.length > 0) note(`${name} leaves out ${missing.join(", ")}: there is ${what}`);
}

/** Every point and the ends of its error bar. */
function reachOf(lines: readonly Line[]): number[] {
  return lines.flatMap(({ points }) =>
    points.flatMap(({ y, std }) => [y, y - (std ?? 0), y + (std ?? 0)]),
  );
}

function meanOf({ mean }: Spread): number {
  return mean;
}
