/**
 * A panel of lines as Vega-Lite. The name of each line stands in the margin at the right behind a
 * sample of it, kept apart from its neighbours. A dotted line joins it to the last point where no
 * other line goes further right and would be crossed.
 */
import { type Axis, positionOn } from "./axes.js";
import type { Line, LinePanel } from "./chart.js";
import { textWidth } from "./font-metrics.js";
import { keepApart, shorten } from "./labels.js";
import { modeColor, modeSymbol, type Theme, textSizes } from "./theme.js";

/** A part of a Vega-Lite specification. */
export type Spec = Readonly<Record<string, unknown>>;

const labelGapPx = 15;
/** Past this many points a line's error bars lose their caps, and its points shrink. */
const sparsePoints = 12;

/** What a panel is given: the width of its plot, and those at both sides of it. */
export interface PanelWidths {
  readonly widthPx: number;
  /** Of the numbers at the left; the axis's title stands left of them. */
  readonly numbersPx: number;
  /** That a name at the right or the left may take. */
  readonly namesPx: number;
}

/** Width of the widest name of a line; 0 where none has one. */
export function lineNamesWidth(panel: LinePanel): number {
  return Math.max(0, ...panel.lines.map(({ label }) => textWidth(label, textSizes.label)));
}

/** Between a plot's edge and what is named at its right. */
export const marginPx = 16;
/** Width of a line's sample before its name, with the gap between them. */
export const samplePx = 34;
/** Lines no further apart than this share of the plot are seen as one. */
const twinShareMax = 0.003;
const twinDash = [5, 6];

/** Height at which every name has its place. */
export function linePanelHeight(panel: LinePanel): number {
  return Math.max(panel.heightPx, (panel.lines.length - 1) * labelGapPx);
}

/** The panel's specification. */
export function linePanelSpec(panel: LinePanel, widths: PanelWidths, theme: Theme): Spec {
  const height = linePanelHeight(panel);
  return {
    width: widths.widthPx,
    height,
    layer: [
      ...lineLayers(panel, widths, theme),
      ...errorLayers(panel, theme),
      ...pointLayers(panel, theme),
      ...labelLayers(panel, widths, height, theme),
    ],
  };
}

/** An axis's domain and labels as Vega-Lite's encoding of a field. */
export function axisEncoding(field: string, axis: Axis, grid: boolean, numbersPx?: number): Spec {
  const texts = Object.fromEntries(axis.ticks.map(({ value, text }) => [String(value), text]));
  const scale =
    axis.scale === "linear"
      ? { type: "linear", zero: false }
      : { type: "log", base: axis.scale === "log2" ? 2 : 10 };
  return {
    field,
    type: "quantitative",
    scale: { ...scale, domain: axis.domain, nice: false },
    axis: {
      title: axis.title,
      values: axis.ticks.map(({ value }) => value),
      // As many as there are: Vega thins them out where another layer asks for fewer.
      tickCount: 99,
      labelExpr: `${JSON.stringify(texts)}[datum.value]`,
      grid,
      ...(numbersPx === undefined ? {} : { minExtent: numbersPx, maxExtent: numbersPx }),
    },
  };
}

/** A field that holds pixels. */
export function pixels(field: string): Spec {
  return { field, type: "quantitative", scale: null, axis: null };
}

/** A field that holds a colour, a symbol or the like as it is. */
export function asIs(field: string): Spec {
  return { field, type: "nominal", scale: null };
}

function lineLayers({ x, y, lines }: LinePanel, { numbersPx }: PanelWidths, theme: Theme): Spec[] {
  const drawn = lines.filter(({ dash }) => dash !== null);
  const values = drawn.flatMap((line, index) =>
    line.points.map((point) => ({
      x: point.x,
      y: point.y,
      line: index,
      color: modeColor(theme, line.mode),
      dash: dashOf(line),
    })),
  );
  return [
    {
      data: { values },
      mark: { type: "line", clip: true, strokeWidth: 2 },
      encoding: {
        x: axisEncoding("x", x, x.scale !== "linear"),
        y: axisEncoding("y", y, true, numbersPx),
        color: asIs("color"),
        strokeDash: asIs("dash"),
        detail: { field: "line", type: "nominal" },
      },
    },
  ];
}

function errorLayers({ y, lines }: LinePanel, theme: Theme): Spec[] {
  const [lowest, highest] = y.domain;
  const values = lines.flatMap((line) =>
    line.points
      .filter(({ std }) => std !== null && std > 0)
      .map((point) => ({
        x: point.x,
        low: Math.max(lowest, point.y - point.std!),
        high: Math.min(highest, point.y + point.std!),
        color: modeColor(theme, line.mode),
        cap: line.points.length > sparsePoints ? 0 : 7,
      })),
  );
  if (values.length === 0) return [];
  const x = { field: "x", type: "quantitative" };
  const cap = (field: string) => ({
    data: { values },
    mark: { type: "tick", orient: "horizontal", thickness: 1.5 },
    encoding: {
      x,
      y: { field, type: "quantitative" },
      size: { field: "cap", type: "quantitative", scale: null },
      color: asIs("color"),
    },
  });
  const bar = {
    data: { values },
    mark: { type: "rule", strokeWidth: 1.5 },
    encoding: {
      x,
      y: { field: "low", type: "quantitative" },
      y2: { field: "high" },
      color: asIs("color"),
    },
  };
  return [bar, cap("low"), cap("high")];
}

function pointLayers({ lines }: LinePanel, theme: Theme): Spec[] {
  const values = lines
    .filter((line) => !line.pointless)
    .flatMap((line) =>
      line.points.map((point) => ({
        x: point.x,
        y: point.y,
        color: modeColor(theme, line.mode),
        fill: point.simulated ? theme.background : modeColor(theme, line.mode),
        shape: modeSymbol(line.mode),
        size: pointSize(line),
      })),
    );
  return [
    {
      data: { values },
      mark: { type: "point", opacity: 1, strokeWidth: 1.75 },
      encoding: {
        x: { field: "x", type: "quantitative" },
        y: { field: "y", type: "quantitative" },
        stroke: asIs("color"),
        fill: asIs("fill"),
        shape: asIs("shape"),
        size: { field: "size", type: "quantitative", scale: null },
      },
    },
  ];
}

/** Lines that would hide one that was drawn before them, with the names of both. */
export function twinsOf({ x, y, lines }: LinePanel): { line: Line; hidden: Line }[] {
  const isNear = (axis: Axis, one: number, other: number) =>
    Math.abs(positionOn(axis, one) - positionOn(axis, other)) <= twinShareMax;
  const isSame = (one: Line, other: Line) =>
    one.points.length === other.points.length &&
    one.points.every((point, index) => {
      const { x: otherX, y: otherY } = other.points[index]!;
      return isNear(x, point.x, otherX) && isNear(y, point.y, otherY);
    });
  return lines.flatMap((line, index) => {
    const hidden = lines.slice(0, index).find((before) => isSame(line, before));
    return hidden === undefined || line.points.length === 0 ? [] : [{ line, hidden }];
  });
}

function dashOf({ dash, isTwin }: Line): readonly number[] {
  if (isTwin) return twinDash;
  return dash?.length ? dash : [1, 0];
}

function pointSize({ dash, isTwin, points }: Line): number {
  if (dash === null) return 150;
  if (points.length > sparsePoints) return 12;
  return isTwin ? 16 : 52;
}

function labelLayers(
  panel: LinePanel,
  widths: PanelWidths,
  heightPx: number,
  theme: Theme,
): Spec[] {
  const { widthPx, namesPx } = widths;
  const named = panel.lines.filter(({ label }) => label !== "");
  const ends = named.map((line) => endOf(line, panel, widthPx, heightPx));
  const places = keepApart(
    ends.map(({ y }) => y),
    labelGapPx,
    [0, heightPx],
  );
  const furthest = Math.max(...panel.lines.map((line) => endOf(line, panel, widthPx, heightPx).x));
  const values = named.map((line, index) => ({
    text: shorten(line.label, namesPx, textSizes.label),
    color: modeColor(theme, line.mode),
    fill: line.points.at(-1)!.simulated ? theme.background : modeColor(theme, line.mode),
    shape: modeSymbol(line.mode),
    dash: dashOf(line),
    hasLine: line.dash !== null,
    hasPoints: line.pointless !== true,
    x: widthPx + marginPx + samplePx,
    y: places[index],
    fromX: ends[index]!.x + 6,
    fromY: ends[index]!.y,
    toX: widthPx + marginPx - 4,
    sampleX: widthPx + marginPx,
    sampleX2: widthPx + marginPx + samplePx - 6,
    pointX: widthPx + marginPx + samplePx - 9,
    isJoined: ends[index]!.x >= furthest - 1,
  }));
  const leader = {
    data: { values },
    transform: [{ filter: "datum.isJoined" }],
    mark: { type: "rule", strokeWidth: 1, strokeDash: [1, 3] },
    encoding: {
      x: pixels("fromX"),
      y: pixels("fromY"),
      x2: { field: "toX" },
      y2: { field: "y" },
      color: asIs("color"),
    },
  };
  const name = {
    data: { values },
    mark: { type: "text", align: "left", baseline: "middle", fontSize: textSizes.label },
    encoding: {
      x: pixels("x"),
      y: pixels("y"),
      text: { field: "text", type: "nominal" },
      color: asIs("color"),
    },
  };
  return [leader, ...sampleLayers(values), name];
}

/** A short piece of each named line, and a point of it. */
function sampleLayers(values: readonly object[]): Spec[] {
  const line = {
    data: { values },
    transform: [{ filter: "datum.hasLine" }],
    mark: { type: "rule", strokeWidth: 2 },
    encoding: {
      x: pixels("sampleX"),
      y: pixels("y"),
      x2: { field: "sampleX2" },
      color: asIs("color"),
      strokeDash: asIs("dash"),
    },
  };
  const point = {
    data: { values },
    transform: [{ filter: "datum.hasPoints" }],
    mark: { type: "point", opacity: 1, strokeWidth: 1.5, size: 36 },
    encoding: {
      x: pixels("pointX"),
      y: pixels("y"),
      stroke: asIs("color"),
      fill: asIs("fill"),
      shape: asIs("shape"),
    },
  };
  return [line, point];
}

function endOf(line: Line, { x, y }: LinePanel, widthPx: number, heightPx: number) {
  const last = line.points.at(-1)!;
  const height = Math.max(0, Math.min(1, positionOn(y, last.y)));
  return { x: positionOn(x, last.x) * widthPx, y: (1 - height) * heightPx };
}
