/**
 * How fast single convolutions are by direction and algorithm: what the choice in
 * onednn/algorithms.ts was drawn from, to be drawn again on another machine or library.
 */

import { directions, flopsOf } from "../../nn/onednn/algorithms.js";
import { timeConvolution } from "../../nn/onednn/kernel-timing.js";
import { openDnnl } from "../../nn/onednn/library.js";
import type { BenchmarkRow } from "../harness/benchmark.js";
import type { Subject } from "./engine-subject.js";

/** Channels in and out, and rows, of the 3x3 convolutions of residual networks. */
const shapes = [
  [16, 16, 32],
  [32, 32, 16],
  [64, 64, 8],
  [64, 64, 32],
  [128, 128, 16],
  [256, 256, 8],
  [512, 512, 4],
] as const;

const ways = (["direct", "winograd", "joined"] as const).flatMap((algorithm) =>
  directions.map((direction) => ({ algorithm, direction })),
);

/** Rows in GFLOP/s of the direct algorithm, the best of so many repeats; none without oneDNN. */
export function convolutionRows(
  { dtype, batch, threads }: Subject,
  repeats: number,
): BenchmarkRow[] {
  const { dnnl } = openDnnl();
  if (dnnl === null) return [];
  dnnl.setThreads(threads);
  return shapes.flatMap(([channels, outputs, extent]) => {
    const size = [extent, extent] as const;
    const place = { n: batch, channels, outputs, groups: 1, input: size, output: size };
    const window = { kernel: [3, 3], stride: [1, 1], padding: [1, 1], type: dtype } as const;
    const whole = { ...place, ...window };
    const name = `conv3x3-${channels}x${extent}x${extent}-${outputs}`;
    const limits = { repeats, milliseconds: Number.POSITIVE_INFINITY };
    return ways.flatMap((way) => {
      const timed = timeConvolution(dnnl, whole, { ...way, type: dtype }, limits);
      if (timed === null) return [];
      const title = `${name}/${dtype}/b${batch}/t${threads}/${way.direction}/${way.algorithm}`;
      return [{ name: title, value: flopsOf(whole) / timed.seconds / 1e9, unit: "GFLOP/s" }];
    });
  });
}
