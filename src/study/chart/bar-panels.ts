/**
 * Panels of bars as Vega-Lite: columns side by side, and steps split into their parts. Bars start
 * at zero; what a bar amounts to stands on it.
 */
import { positionOn } from "./axes.js";
import type { Column, ColumnPanel, StackBar, StackPanel } from "./chart.js";
import { textWidth } from "./font-metrics.js";
import { shorten, wrap } from "./labels.js";
import { asIs, axisEncoding, marginPx, type PanelWidths, pixels, type Spec } from "./line-panel.js";
import { modeColor, modeSymbol, type Theme, textSizes } from "./theme.js";

const barHeightPx = 26;
/** More columns than this bear no numbers. */
const writtenColumnsMax = 8;

/** The specification of bars or dots side by side. */
export function columnPanelSpec(panel: ColumnPanel, widths: PanelWidths, theme: Theme): Spec {
  const { widthPx, numbersPx } = widths;
  const { columns, heightPx } = panel;
  const step = widthPx / columns.length;
  const values = columns.map((column, index) => columnRow(column, index, panel, step, theme));
  const x = columnAxis(panel, step);
  const numbers = axisEncoding("value", panel.y, true, numbersPx);
  const low = { field: "low", type: "quantitative" };
  const mark =
    panel.shape === "bar"
      ? { mark: { type: "bar", strokeWidth: 2 }, encoding: { x, y: numbers } }
      : {
          mark: { type: "point", size: 90, strokeWidth: 2, opacity: 1 },
          encoding: { x, y: numbers, shape: asIs("shape") },
        };
  const layer: Spec[] = [
    { ...mark, encoding: { ...mark.encoding, fill: asIs("fill"), stroke: asIs("edge") } },
  ];
  if (columns.some(({ std }) => std !== null && std > 0)) {
    const errors = [{ filter: "datum.low != datum.high" }];
    const cap = (field: string) => ({
      transform: errors,
      mark: { type: "tick", orient: "horizontal", thickness: 1.5, size: 9 },
      encoding: {
        x: { field: "index", type: "ordinal" },
        y: { field, type: "quantitative" },
        color: asIs("ink"),
      },
    });
    layer.push(
      {
        transform: errors,
        mark: { type: "rule", strokeWidth: 1.5 },
        encoding: {
          x: { field: "index", type: "ordinal" },
          y: low,
          y2: { field: "high" },
          color: asIs("ink"),
        },
      },
      cap("low"),
      cap("high"),
    );
  }
  layer.push({
    mark: { type: "text", baseline: "bottom", fontSize: textSizes.label, color: theme.text },
    encoding: {
      x: { field: "index", type: "ordinal" },
      y: pixels("textY"),
      text: { field: "text", type: "nominal" },
    },
  });
  return { width: widthPx, height: heightPx, data: { values }, layer };
}

function columnRow(
  column: Column,
  index: number,
  { columns, shape, y, heightPx }: ColumnPanel,
  stepPx: number,
  theme: Theme,
): Spec {
  const { value, std, texts, mode, simulated } = column;
  const fits = (text: string) => textWidth(text, textSizes.label) < stepPx - 6;
  const [least, most] = y.domain;
  const high = Math.min(most, value + (std ?? 0));
  const low = Math.max(least, value - (std ?? 0));
  const color = modeColor(theme, mode);
  const written = columns.length <= writtenColumnsMax;
  const gap = shape === "dot" && std === null ? 9 : 4;
  const above = (1 - positionOn(y, high)) * heightPx - gap;
  // At the top of the plot a dot's number stands below it.
  const below = (1 - positionOn(y, low)) * heightPx + gap + textSizes.label + 2;
  return {
    index,
    value,
    low,
    high,
    fill: simulated ? theme.background : color,
    // An outline would show a bar of nothing.
    edge: shape === "dot" || simulated ? color : "transparent",
    ink: shape === "dot" ? color : theme.text,
    shape: modeSymbol(mode),
    text: written ? (texts.find(fits) ?? "") : "",
    textY: shape === "dot" && above < textSizes.label + 4 ? below : above,
  };
}

function columnAxis({ columns, xTitle }: ColumnPanel, stepPx: number): Spec {
  const lines = columns.map(({ label }) => {
    const wrapped = wrap(label, stepPx - 6, textSizes.axis);
    return wrapped.length < 3
      ? wrapped
      : [wrapped[0]!, shorten(wrapped.slice(1).join(" "), stepPx - 6, textSizes.axis)];
  });
  const widest = Math.max(...columns.map(({ label }) => textWidth(label, textSizes.axis)));
  // Numbers below narrow bars: every second, every fifth.
  const isNumbered = columns.every(({ label }) => /^\d+\+?$/.test(label));
  const strides = [1, 2, 5, 10, 20, 50, 100];
  const every = isNumbered ? (strides.find((n) => n * stepPx > widest + 6) ?? 200) : 1;
  const texts = isNumbered ? columns.map(({ label }) => label) : lines;
  return {
    field: "index",
    type: "ordinal",
    scale: {
      type: "band",
      paddingInner: isNumbered ? 0.15 : 0.45,
      paddingOuter: isNumbered ? 0.1 : 0.3,
    },
    axis: {
      title: xTitle === "" ? null : xTitle,
      ticks: false,
      grid: false,
      values: columns.map((_, index) => index).filter((index) => index % every === 0),
      labelExpr: `${JSON.stringify(texts)}[datum.value]`,
      labelLineHeight: 15,
    },
  };
}

/** Room that the names at the left of split steps need. */
export function stackNamesWidth(panel: StackPanel): number {
  return Math.max(0, ...panel.bars.map(({ label }) => textWidth(label, textSizes.axis)));
}

/** Room that the sums at the right of split steps need. */
export function stackTextsWidth(panel: StackPanel): number {
  const widths = panel.bars.map(({ text }) => textWidth(text, textSizes.label));
  return Math.max(0, ...widths) + marginPx;
}

/** The specification of split steps, one below the other. */
export function stackPanelSpec(panel: StackPanel, widths: PanelWidths, theme: Theme): Spec {
  const { widthPx, namesPx } = widths;
  const { bars, x } = panel;
  const texts = bars.map(({ label }) => shorten(label, namesPx, textSizes.axis));
  const y = {
    field: "index",
    type: "ordinal",
    scale: { type: "band", paddingInner: 0.3, paddingOuter: 0.15 },
    axis: {
      title: null,
      ticks: false,
      grid: false,
      labelExpr: `${JSON.stringify(texts)}[datum.value]`,
    },
  };
  const rows = bars.flatMap((bar, index) => partRows(bar, index, panel, widthPx, theme));
  const ends = bars.map((bar, index) => endRow(bar, index, panel, widthPx));
  const at = { field: "index", type: "ordinal" };
  const words = { type: "text", baseline: "middle", fontSize: textSizes.label };
  const layer: Spec[] = [
    {
      data: { values: rows },
      mark: { type: "bar", strokeWidth: 1.5 },
      encoding: {
        y,
        x: axisEncoding("from", x, true),
        x2: { field: "to" },
        fill: asIs("fill"),
        stroke: asIs("edge"),
      },
    },
    {
      data: { values: rows.filter(({ text }) => text !== "") },
      mark: words,
      encoding: {
        y: at,
        x: pixels("middle"),
        text: { field: "text", type: "nominal" },
        color: asIs("ink"),
      },
    },
    {
      data: { values: ends.filter(({ low, high }) => low !== high) },
      mark: { type: "rule", strokeWidth: 1.5, color: theme.text },
      encoding: { y: at, x: { field: "low", type: "quantitative" }, x2: { field: "high" } },
    },
    {
      data: { values: ends },
      mark: { ...words, align: "left", color: theme.text },
      encoding: { y: at, x: pixels("x"), text: { field: "text", type: "nominal" } },
    },
  ];
  return { width: widthPx, height: bars.length * barHeightPx, layer };
}

function partRows(
  bar: StackBar,
  index: number,
  { x }: StackPanel,
  widthPx: number,
  theme: Theme,
): (Spec & { readonly text: string })[] {
  let from = 0;
  return bar.parts.map(({ part, value }) => {
    const to = from + value;
    const text = value >= 100 ? value.toFixed(0) : value.toFixed(1);
    const [left, right] = [positionOn(x, from) * widthPx, positionOn(x, to) * widthPx];
    // The sum's error bar ends in the last part: no number may stand under it.
    const free = bar.std === null ? right : Math.min(right, endOf(bar, x, widthPx).low);
    const fits = free - left > textWidth(text, textSizes.label) + 8;
    const color = theme.parts[part];
    const row = {
      index,
      from,
      to,
      middle: (left + free) / 2,
      edge: bar.simulated ? color : "transparent",
      fill: bar.simulated ? theme.background : color,
      ink: bar.simulated ? theme.text : inkOn(color),
      text: fits ? text : "",
    };
    from = to;
    return row;
  });
}

function endOf({ parts, std }: StackBar, x: StackPanel["x"], widthPx: number) {
  const sum = parts.reduce((total, { value }) => total + value, 0);
  const place = (value: number) => positionOn(x, Math.max(0, value)) * widthPx;
  return { low: place(sum - (std ?? 0)), high: place(sum + (std ?? 0)), sum };
}

function endRow(bar: StackBar, index: number, { x }: StackPanel, widthPx: number) {
  const { sum, high } = endOf(bar, x, widthPx);
  const std = bar.std ?? 0;
  return { index, low: Math.max(0, sum - std), high: sum + std, x: high + 6, text: bar.text };
}

/** Black or white, whichever stands out from the colour. */
function inkOn(color: string): string {
  const part = (start: number) => Number.parseInt(color.slice(start, start + 2), 16);
  return 0.3 * part(1) + 0.59 * part(3) + 0.11 * part(5) > 130 ? "#000000" : "#ffffff";
}
