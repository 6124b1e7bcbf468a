/** A chart as one Vega-Lite specification: title, panels in a grid, captions below. */
import { columnPanelSpec, stackNamesWidth, stackPanelSpec, stackTextsWidth } from "./bar-panels.js";
import type { Chart, Panel } from "./chart.js";
import { fontFamily, textWidth } from "./font-metrics.js";
import { wrap } from "./labels.js";
import {
  asIs,
  lineNamesWidth,
  linePanelSpec,
  marginPx,
  type PanelWidths,
  pixels,
  type Spec,
  samplePx,
  twinsOf,
} from "./line-panel.js";
import { type StepPart, type Theme, textSizes } from "./theme.js";

/** Width of every chart's content, in its own pixels. */
export const contentWidthPx = 900;

const spacingPx = 28;
const captionLinePx = 17;
/** Ticks and padding between an axis and its numbers. */
const numbersGapPx = 9;
/** An axis's title at its left. */
const axisTitlePx = 24;
const lineNamesMax = { 1: 230, 2: 130, 3: 90 } as const;
const barNamesMax = 240;

/** The specification of a chart in one theme. */
export function composeSpec(given: Chart, theme: Theme): Spec {
  const chart = withTwins(given);
  const { title, subtitle, panels, captions, key } = chart;
  const { left } = sidesOf(chart);
  const rows: Spec[] = [gridSpec(chart, theme)];
  if (key !== undefined) rows.unshift(keySpec(key, left, theme));
  const lines = captions.flatMap((text) => wrap(text, contentWidthPx, textSizes.caption));
  if (lines.length > 0) rows.push(captionSpec(lines, left, theme));
  const told = panels.map((panel) => panel.title).filter((text) => text !== "");
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    description: `${[title, ...told].join(". ")}.`,
    background: theme.background,
    padding: 18,
    title: {
      text: wrap(title, contentWidthPx, textSizes.title, true),
      subtitle: subtitle === "" ? [] : wrap(subtitle, contentWidthPx, textSizes.subtitle),
      fontSize: textSizes.title,
      lineHeight: textSizes.title + 6,
      subtitleFontSize: textSizes.subtitle,
      subtitleColor: theme.muted,
      subtitleLineHeight: textSizes.subtitle + 5,
      subtitlePadding: 6,
      offset: 18,
      dx: -left,
    },
    vconcat: rows,
    spacing: 14,
    config: configOf(theme),
  };
}

/** Lines that lie on others are broken, so that both are seen, and told of in a caption. */
function withTwins(chart: Chart): Chart {
  const captions: string[] = [];
  const panels = chart.panels.map((panel): Panel => {
    if (panel.kind !== "lines") return panel;
    const twins = twinsOf(panel);
    if (twins.length === 0) return panel;
    const told = twins.slice(0, 4).map(({ line, hidden }) => `${line.label} on ${hidden.label}`);
    const rest = twins.length - told.length;
    const more = rest === 0 ? "" : `, and ${rest} more`;
    const where = panel.title === "" ? "" : `${panel.title}: `;
    captions.push(`${where}Lines with equal points are drawn broken: ${told.join(", ")}${more}.`);
    const broken = new Set(twins.map(({ line }) => line));
    const lines = panel.lines.map((line) => (broken.has(line) ? { ...line, isTwin: true } : line));
    return { ...panel, lines };
  });
  return captions.length === 0
    ? chart
    : { ...chart, panels, captions: [...chart.captions, ...captions] };
}

interface Sides {
  readonly left: number;
  readonly right: number;
  readonly numbers: number;
  readonly names: number;
}

/** What stands at both sides of every plot; equal for all, so that the grid is even. */
function sidesOf({ panels, columns }: Chart): Sides {
  const numbers = Math.ceil(Math.max(0, ...panels.map(numbersWidth))) + numbersGapPx;
  const stacks = panels.filter((panel) => panel.kind === "stack");
  if (stacks.length > 0) {
    const names = Math.ceil(Math.min(barNamesMax, Math.max(...stacks.map(stackNamesWidth))));
    const right = Math.ceil(Math.max(...stacks.map(stackTextsWidth)));
    return { left: names + numbersGapPx, right, numbers, names };
  }
  const widths = panels.map((panel) => (panel.kind === "lines" ? lineNamesWidth(panel) : 0));
  const names = Math.ceil(Math.min(lineNamesMax[columns], Math.max(...widths)));
  const right = names === 0 ? 8 : names + marginPx + samplePx;
  return { left: numbers + axisTitlePx, right, numbers, names };
}

function numbersWidth(panel: Panel): number {
  if (panel.kind === "stack") return 0;
  return Math.max(...panel.y.ticks.map(({ text }) => textWidth(text, textSizes.axis)));
}

function gridSpec(chart: Chart, theme: Theme): Spec {
  const { panels, columns } = chart;
  const { left, right, numbers, names } = sidesOf(chart);
  const share = (contentWidthPx - (columns - 1) * spacingPx) / columns;
  const widths = { widthPx: Math.floor(share - left - right), numbersPx: numbers, namesPx: names };
  const concat = panels.map((panel) => {
    const title = wrap(panel.title, widths.widthPx + right, textSizes.panel, true);
    const spec = panelSpec(panel, widths, theme);
    return panel.title === "" ? spec : { ...spec, title };
  });
  return { columns, spacing: spacingPx, concat };
}

function panelSpec(panel: Panel, widths: PanelWidths, theme: Theme): Spec {
  if (panel.kind === "lines") return linePanelSpec(panel, widths, theme);
  if (panel.kind === "columns") return columnPanelSpec(panel, widths, theme);
  return stackPanelSpec(panel, widths, theme);
}

function captionSpec(lines: readonly string[], left: number, theme: Theme): Spec {
  const values = lines.map((text, index) => ({ text, x: -left, y: index * captionLinePx }));
  return {
    ...frameless(left, lines.length * captionLinePx),
    data: { values },
    mark: {
      type: "text",
      align: "left",
      baseline: "top",
      fontSize: textSizes.caption,
      color: theme.muted,
    },
    encoding: { x: pixels("x"), y: pixels("y"), text: { field: "text", type: "nominal" } },
  };
}

function keySpec(parts: readonly StepPart[], left: number, theme: Theme): Spec {
  let x = 0;
  const values = parts.map((part) => {
    const row = { text: part, square: x + 6, x: x + 17, y: 8, color: theme.parts[part] };
    x += textWidth(part, textSizes.label) + 42;
    return row;
  });
  return {
    ...frameless(left, 16),
    data: { values },
    layer: [
      {
        mark: { type: "point", shape: "square", size: 130, opacity: 1, strokeWidth: 0 },
        encoding: { x: pixels("square"), y: pixels("y"), fill: asIs("color") },
      },
      {
        mark: { type: "text", align: "left", baseline: "middle", fontSize: textSizes.label },
        encoding: {
          x: pixels("x"),
          y: pixels("y"),
          text: { field: "text", type: "nominal" },
          color: { value: theme.text },
        },
      },
    ],
  };
}

function frameless(left: number, heightPx: number): Spec {
  return { width: contentWidthPx - left, height: heightPx, view: { stroke: null } };
}

function configOf(theme: Theme): Spec {
  const { axis, label, panel } = textSizes;
  return {
    font: fontFamily,
    aria: false,
    view: { stroke: null },
    axis: {
      labelFontSize: axis,
      titleFontSize: axis,
      titleFontWeight: "normal",
      labelColor: theme.muted,
      titleColor: theme.muted,
      gridColor: theme.grid,
      domainColor: theme.axis,
      tickColor: theme.axis,
      labelLimit: 0,
      titleLimit: 0,
      labelOverlap: false,
      labelFlush: false,
      labelPadding: 4,
      titlePadding: 8,
    },
    axisX: { labelAngle: 0 },
    text: { fontSize: label, limit: 0 },
    title: {
      anchor: "start",
      fontSize: panel,
      fontWeight: "bold",
      color: theme.text,
      offset: 10,
      limit: 0,
      frame: "group",
    },
  };
}
