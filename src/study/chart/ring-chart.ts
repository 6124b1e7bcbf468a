/**
 * How evenly the ring spreads keys over servers: mean load over the highest, by virtual nodes. It
 * needs no run, only the ring itself, and stands beside the published figure of 5 servers.
 */

import { ringName } from "../../protocol/placement/placement.js";
import { buildRing, ownerOf } from "../../protocol/placement/ring.js";
import { Random } from "../../random.js";
import { spreadOf } from "../group-results.js";
import { linearAxis, logAxis } from "./axes.js";
import type { Chart, Line, LinePoint } from "./chart.js";
import { lineOfRank } from "./theme.js";

const virtualNodeCounts = [1, 5, 10, 50, 100] as const;
const keyCount = 785;
const drawCount = 20;
/** Of the published figure: 5 servers, 785 random keys, mean of 20. */
const publishedServers = 5;
const publishedBalance = [0.527, 0.637, 0.839, 0.858, 0.891] as const;

/** Mean load / highest load of each draw: 1 where all servers hold the same. */
export function ringBalance(servers: number, virtualNodes: number): number[] {
  const ring = buildRing(
    Array.from({ length: servers }, (_, index) => ringName(index)),
    virtualNodes,
  );
  return Array.from({ length: drawCount }, (_, draw) => {
    const random = new Random(draw, "ring balance");
    const loads = new Map<string, number>();
    for (let key = 0; key < keyCount; key++) {
      const owner = ownerOf(ring, `key.${random.uint32()}.${random.uint32()}`);
      loads.set(owner, (loads.get(owner) ?? 0) + 1);
    }
    return keyCount / servers / Math.max(...loads.values());
  });
}

/** The chart for these numbers of servers. */
export function ringLoadBalance(serverCounts: readonly number[]): Chart {
  const lines = serverCounts.map((servers, index): Line => {
    const points = virtualNodeCounts.map((virtualNodes): LinePoint => {
      const { mean, std } = spreadOf(ringBalance(servers, virtualNodes))!;
      return { x: virtualNodes, y: mean, std, simulated: false };
    });
    return { label: `${servers} servers`, mode: lineOfRank(index), dash: [], points };
  });
  const captions = [
    `${keyCount} random keys; means over n = ${drawCount} draws of keys; ` +
      "error bars: ± one standard deviation. The ring alone, without a bound on the load.",
  ];
  if (serverCounts.includes(publishedServers)) {
    lines.push({
      label: `${publishedServers}, published`,
      mode: "reference",
      dash: null,
      points: virtualNodeCounts.map((x, index) => {
        return { x, y: publishedBalance[index]!, std: null, simulated: false };
      }),
    });
    captions.push(`Crosses: the published figure for ${publishedServers} servers, other keys.`);
  }
  const ends = lines.filter(({ dash }) => dash !== null).map(({ points }) => points.at(-1)!.y);
  const reached = [...new Set([Math.min(...ends), Math.max(...ends)].map((y) => y.toFixed(2)))];
  return {
    name: "ring_load_balance",
    title: `More virtual nodes spread keys more evenly: ${reached.join(" to ")} at 100`,
    subtitle: "Consistent-hashing ring (SHA-256); 1 means that all servers hold the same",
    columns: 1,
    panels: [
      {
        kind: "lines",
        title: "",
        heightPx: 320,
        x: logAxis("virtual nodes of each server (log scale)", 10, virtualNodeCounts),
        y: linearAxis("mean load / highest load", 0, 1),
        lines,
      },
    ],
    captions,
  };
}
