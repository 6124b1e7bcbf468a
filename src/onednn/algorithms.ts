/**
 * Which algorithm a convolution takes: direct, or Winograd's F(4x4, 3x3) (Lavin and Gray 2015,
 * arXiv 1509.09308), which needs 2.25 times fewer multiplications by transforming tiles of 6x6
 * values.
 *
 * The choice is a rule on shape, direction, type and instruction set, never a measurement at run
 * time: the bits of a result depend on it, and every process of a run has to choose alike. The rule
 * was drawn from measurements (`measureConvolution` repeats them); it errs on the direct side.
 *
 * Error of Winograd against direct in f32: about 1e-6 of the result's scale.
 */

import type { Algorithm, DataType, Dnnl } from "./dnnl.js";

/** A convolution's direction. */
export type Direction = "forward" | "backward-data" | "backward-weights";

/** What the choice depends on. */
export interface ConvolutionPlace {
  readonly n: number;
  readonly channels: number;
  readonly outputs: number;
  readonly groups: number;
  /** [rows, columns], as everywhere below. */
  readonly input: readonly [number, number];
  readonly output: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly type: DataType;
}

/** Fewest channels on either side for which Winograd was seen to win. */
const channelsMin = 32;

/** The algorithm for a convolution in one direction. */
export function algorithmFor(place: ConvolutionPlace, direction: Direction, dnnl: Dnnl): Algorithm {
  const { kernel, stride, padding, groups, channels, outputs, type } = place;
  const isFit =
    dnnl.abi === 2 &&
    dnnl.hasAvx512 &&
    type === "f32" &&
    groups === 1 &&
    [...kernel].every((extent) => extent === 3) &&
    [...stride, ...padding].every((extent) => extent === 1);
  if (!isFit || Math.min(channels, outputs) < channelsMin) return "direct";
  return direction === "forward" ? "winograd" : "winograd";
}

/** Multiplications and additions of the direct algorithm. */
export function flopsOf(place: ConvolutionPlace): number {
  const { n, channels, outputs, groups, output, kernel } = place;
  const taps = kernel[0] * kernel[1] * (channels / groups);
  return 2 * n * outputs * output[0] * output[1] * taps;
}
