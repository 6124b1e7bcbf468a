/**
 * What a chart says, before it is decided how it is drawn: panels of numbers with words.
 * `compose.ts` turns a chart into Vega-Lite for one theme.
 */
import type { Axis } from "./axes.js";
import type { StepPart } from "./theme.js";

/** One chart. */
export interface Chart {
  /** Of its files, without extension. */
  readonly name: string;
  /** Says what is seen. */
  readonly title: string;
  /** What it was measured on. */
  readonly subtitle: string;
  readonly columns: 1 | 2 | 3;
  readonly panels: readonly Panel[];
  /** Sentences below the panels. */
  readonly captions: readonly string[];
  /** What the colours of a step's parts stand for. */
  readonly key?: readonly StepPart[];
}

/** One coordinate system. */
export type Panel = LinePanel | ColumnPanel | StackPanel;

/** Lines over a numeric axis, each with its name at the right. */
export interface LinePanel {
  readonly kind: "lines";
  /** "" where the chart's title says it all. */
  readonly title: string;
  readonly heightPx: number;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
}

/** One line and its points, in ascending x. */
export interface Line {
  readonly label: string;
  readonly mode: string;
  /** Lengths of strokes and gaps; empty for a whole line, null for points alone. */
  readonly dash: readonly number[] | null;
  /** It lies on a line drawn before it, which is to be seen through its gaps. */
  readonly isTwin?: boolean;
  /** A reference line is drawn without points. */
  readonly pointless?: boolean;
  readonly points: readonly LinePoint[];
}

/** One point. */
export interface LinePoint {
  readonly x: number;
  readonly y: number;
  /** Half the length of the error bar; null for none. */
  readonly std: number | null;
  /** Drawn hollow. */
  readonly simulated: boolean;
}

/** Bars from zero, or dots, side by side. */
export interface ColumnPanel {
  readonly kind: "columns";
  readonly title: string;
  readonly heightPx: number;
  readonly shape: "bar" | "dot";
  /** Of the names below the columns; "" where they speak for themselves. */
  readonly xTitle: string;
  readonly y: Axis;
  readonly columns: readonly Column[];
}

/** One bar or dot. */
export interface Column {
  readonly label: string;
  readonly mode: string;
  readonly value: number;
  readonly std: number | null;
  /** Written above it where there is room: the first that fits. */
  readonly texts: readonly string[];
  readonly simulated: boolean;
}

/** Horizontal bars of which each shows how a step is split. */
export interface StackPanel {
  readonly kind: "stack";
  readonly title: string;
  readonly x: Axis;
  readonly bars: readonly StackBar[];
}

/** One split step. */
export interface StackBar {
  readonly label: string;
  readonly mode: string;
  readonly parts: readonly { readonly part: StepPart; readonly value: number }[];
  readonly std: number | null;
  readonly text: string;
  readonly simulated: boolean;
}
