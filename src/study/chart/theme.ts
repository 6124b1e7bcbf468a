/**
 * How charts look: a light and a dark variant, sizes of text, and one colour for each mode in every
 * chart. The hues are Okabe and Ito's, which stay apart in the common kinds of colour blindness;
 * lightness differs by variant so that each stands out from its background.
 */

/** The two variants. */
export type ThemeName = "light" | "dark";

/** Colours as #rrggbb. */
export interface Theme {
  readonly name: ThemeName;
  readonly background: string;
  readonly text: string;
  /** Axes' labels, subtitles, captions. */
  readonly muted: string;
  readonly grid: string;
  readonly axis: string;
  readonly modes: Readonly<Record<string, string>>;
  /** Modes that have no colour of their own take one of these. */
  readonly spare: readonly string[];
  /** Parts of a step. */
  readonly parts: Readonly<Record<StepPart, string>>;
}

/** The parts of a step, in their order. */
export const stepParts = ["input", "compute", "wait"] as const;
/** One of the parts of a step. */
export type StepPart = (typeof stepParts)[number];

/** Sizes of text, in the chart's own pixels; a PNG has two dots for each. */
export const textSizes = { title: 19, subtitle: 13, panel: 14, axis: 12, label: 12, caption: 12 };

/** Both variants. */
export const themes: Readonly<Record<ThemeName, Theme>> = {
  light: {
    name: "light",
    background: "#ffffff",
    text: "#1f2328",
    muted: "#57606a",
    grid: "#e6e9ed",
    axis: "#8c959f",
    modes: {
      sync: "#0072b2",
      async: "#c95800",
      ssp: "#00805f",
      hybrid: "#a34f86",
      baseline: "#32383f",
      reference: "#717a84",
    },
    spare: ["#8a6d00", "#3b7d9e", "#7a4fa3", "#a0522d"],
    parts: { input: "#9aa7b5", compute: "#4a5a6e", wait: "#e3b933" },
  },
  dark: {
    name: "dark",
    background: "#0d1117",
    text: "#e6edf3",
    muted: "#a3adb8",
    grid: "#232a33",
    axis: "#6e7681",
    modes: {
      sync: "#56b4e9",
      async: "#f0953f",
      ssp: "#2fc79a",
      hybrid: "#dd9ac6",
      baseline: "#f0f3f6",
      reference: "#98a2ad",
    },
    spare: ["#e0c341", "#8fd0e8", "#b99ae0", "#d9966f"],
    parts: { input: "#5f6d7d", compute: "#a9bacd", wait: "#d9ae2b" },
  },
};

/** The colour of a mode; equal words have equal colours in every chart. */
export function modeColor(theme: Theme, mode: string): string {
  if (Object.hasOwn(theme.modes, mode)) return theme.modes[mode]!;
  const rank = rankOfLine(mode);
  if (rank !== null) return theme.spare[rank % theme.spare.length]!;
  let sum = 0;
  for (const character of mode) sum += character.codePointAt(0)!;
  return theme.spare[sum % theme.spare.length]!;
}

/** Stands for the mode of a line that has none, such as a ring of so many servers. */
export function lineOfRank(rank: number): string {
  return `line ${rank}`;
}

/** Vega's symbol of a mode, so that modes stay apart without colour. */
export function modeSymbol(mode: string): string {
  const rank = rankOfLine(mode);
  if (rank !== null) return rankSymbols[rank % rankSymbols.length]!;
  const symbols: Readonly<Record<string, string>> = {
    sync: "circle",
    async: "square",
    ssp: "triangle-up",
    reference: "M-0.7,-0.7L0.7,0.7M-0.7,0.7L0.7,-0.7",
  };
  return Object.hasOwn(symbols, mode) ? symbols[mode]! : "diamond";
}

const rankSymbols = ["circle", "square", "triangle-up", "diamond"] as const;

function rankOfLine(mode: string): number | null {
  const [, rank] = /^line (\d+)$/.exec(mode) ?? [];
  return rank === undefined ? null : Number(rank);
}
