/** The accuracies that a search for a switch has measured, by the share of work done in step. */
import { type Spread, spreadOf } from "../group-results.js";
import { percent } from "../switch-search.js";
import { axisAround, linearAxis } from "./axes.js";
import type { Chart, LinePoint } from "./chart.js";

/** What the chart is made of. */
export interface SwitchChartFacts {
  /** What was trained, and with how many workers. */
  readonly subtitle: string;
  /** By share the accuracies of its runs, both as fractions. */
  readonly accuracies: ReadonlyMap<number, readonly number[]>;
  /** The share that the search came to. */
  readonly found: number;
  /** The least mean accuracy that is enough. */
  readonly wanted: number;
}

/** Accuracy by share; a dotted line where it is enough. */
export function switchChart({ subtitle, accuracies, found, wanted }: SwitchChartFacts): Chart {
  const measured = [...accuracies]
    .map(([share, values]) => ({ share, spread: spreadOf(values)! }))
    .sort((left, right) => left.share - right.share);
  const point = (share: number, { mean, std }: Spread): LinePoint => {
    return {
      x: share * 100,
      y: mean * 100,
      std: std === null ? null : std * 100,
      simulated: false,
    };
  };
  const points = measured.map(({ share, spread }) => point(share, spread));
  const limit = [0, 100].map((x) => ({ x, y: wanted * 100, std: null, simulated: false }));
  const reach = [...points, ...limit].flatMap(({ y, std }) => [y - (std ?? 0), y + (std ?? 0)]);
  const counts = [...new Set([...accuracies.values()].map(({ length }) => length))];
  const runs = counts.length === 1 && counts[0] === 1 ? "One run each (n = 1)." : null;
  const bars = "error bars: ± one standard deviation";
  const several = `Means over n = ${counts.join(" or ")} runs; ${bars}.`;
  return {
    name: "accuracy_vs_share",
    title: `${inWords(found)} keeps the accuracy`,
    subtitle,
    columns: 1,
    panels: [
      {
        kind: "lines",
        title: "",
        heightPx: 320,
        x: linearAxis("share of the work in step (%)", 0, 100),
        y: axisAround("accuracy (%)", reach, 2),
        lines: [
          { label: "measured", mode: "sync", dash: [], points },
          {
            ...{ label: "wanted", mode: "reference", dash: [5, 3], pointless: true },
            points: limit,
          },
        ],
      },
    ],
    captions: [runs ?? several],
  };
}

function inWords(share: number): string {
  return share === 1 ? "Only work in step alone" : `${percent(share)} of the work in step`;
}
