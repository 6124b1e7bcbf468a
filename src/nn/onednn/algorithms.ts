/**
 * What a convolution can be computed by: directly, or by Winograd's F(4x4, 3x3) (Lavin and Gray
 * 2015, arXiv 1509.09308), which needs 2.25 times fewer multiplications by transforming tiles of
 * 6x6 values; in bf16, or in f32 between values in bf16; gradients of weights in bf16 also directly
 * with narrow pictures joined (joined-pictures.ts). Which of them a program takes is measured
 * (kernel-plan.ts); here stands what there is to choose from, and the rule that holds where nothing
 * may be measured. The rule was drawn from measurements and errs on the direct side.
 *
 * Error of Winograd against direct in f32: about 1e-6 of the result's scale.
 */

import type { Shape } from "../layer-kind.js";
import type { LayerOf } from "../layers.js";
import { slide } from "../window.js";
import type { Algorithm, DataType, Dnnl } from "./dnnl.js";
import { joinedPictures } from "./joined-pictures.js";

/** A convolution's directions. */
export const directions = ["forward", "backward-data", "backward-weights"] as const;
/** One of them. */
export type Direction = (typeof directions)[number];

/** One of oneDNN's algorithms, or the direct one on joined pictures. */
export type Way = Algorithm | "joined";

/** A way to compute a convolution; joined pictures are for gradients of weights alone. */
export interface Candidate {
  readonly type: DataType;
  readonly algorithm: Way;
}

/** What a choice needs to know of the library. */
export type LibraryFacts = Pick<Dnnl, "abi" | "hasAvx512" | "hasAmx">;

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

/** Fewest channels on either side for which Winograd was seen to win, by direction. */
const winogradChannelsMin: Readonly<Record<Direction, number>> = {
  forward: 16,
  "backward-data": 32,
  "backward-weights": 16,
};

/** Fewest tiles of 4x4 results in a batch that make up for transforming the weights. */
const winogradTilesMin = 32;

/** Where Winograd in f32 was seen to win even against direct convolutions in bf16. */
const insteadOfBf16 = { channelsMin: 64, channelsMax: 256, tilesMin: 128 };

/** A layer of the kind on n examples, asked for in a type. */
export function placeOf(
  layer: LayerOf<"conv2d">,
  shape: Shape | undefined,
  { n, type }: Pick<ConvolutionPlace, "n" | "type">,
): ConvolutionPlace {
  const { outputs, groups = 1 } = layer;
  return { ...slide(layer, shape, 1), n, outputs, groups, type };
}

/** A convolution in one line, such as conv f32 64x3x32x32 to 16 kernel 3x3 stride 1x1. */
export function titleOf(place: ConvolutionPlace): string {
  const { n, channels, outputs, groups, input, kernel, stride, padding, type } = place;
  const size = `${n}x${channels}x${input.join("x")} to ${outputs}`;
  const rest = groups === 1 ? "" : ` groups ${groups}`;
  const window = `kernel ${kernel.join("x")} stride ${stride.join("x")}`;
  return `conv ${type} ${size} ${window} padding ${padding.join("x")}${rest}`;
}

/** The ways to choose from, the direct one in the type that is asked for first. */
export function candidatesFor(place: ConvolutionPlace, dnnl: LibraryFacts): Candidate[] {
  const { type } = place;
  const own: Candidate[] = [{ type, algorithm: "direct" }];
  if (fitsJoined(place, dnnl)) own.push({ type, algorithm: "joined" });
  if (!fitsWinograd(place, dnnl)) return own;
  // In bf16 it pays, if at all, where Winograd makes up for the copies between the types.
  const between: Candidate[] = type === "f32" ? [] : [{ type: "f32", algorithm: "direct" }];
  return [...own, ...between, { type: "f32", algorithm: "winograd" }];
}

/** The algorithm for a convolution in one direction, by the rule. */
export function algorithmFor(
  place: ConvolutionPlace,
  direction: Direction,
  dnnl: LibraryFacts,
): Way {
  const { channels, outputs, type } = place;
  const isNarrow = place.output[1] <= narrowColumns && fitsJoined(place, dnnl);
  if (direction === "backward-weights" && isNarrow) return "joined";
  const fits = type === "f32" && fitsWinograd(place, dnnl);
  if (!fits || tilesOf(place) < winogradTilesMin) return "direct";
  return Math.min(channels, outputs) < winogradChannelsMin[direction] ? "direct" : "winograd";
}

/** The type to compute a convolution in where `place.type` is asked for, by the rule. */
export function computeTypeFor(place: ConvolutionPlace, dnnl: LibraryFacts): DataType {
  const { channels, outputs, type } = place;
  const { channelsMin, channelsMax, tilesMin } = insteadOfBf16;
  const pays =
    Math.min(channels, outputs) >= channelsMin &&
    Math.max(channels, outputs) <= channelsMax &&
    tilesOf(place) >= tilesMin &&
    !dnnl.hasAmx;
  return type === "bf16" && pays && fitsWinograd(place, dnnl) ? "f32" : type;
}

/** Results up to so wide leave half of a tile empty, so that joining them was seen to win. */
const narrowColumns = 8;

function fitsJoined(place: ConvolutionPlace, { hasAmx }: LibraryFacts): boolean {
  return place.type === "bf16" && hasAmx && joinedPictures(place) !== null;
}

/** oneDNN 3 has lost these kernels; 2 has them for AVX-512. */
function fitsWinograd(
  { kernel, stride, padding, groups }: ConvolutionPlace,
  dnnl: LibraryFacts,
): boolean {
  const fits =
    kernel.every((extent) => extent === 3) &&
    [...stride, ...padding].every((extent) => extent === 1);
  return fits && groups === 1 && dnnl.abi === 2 && dnnl.hasAvx512;
}

function tilesOf({ n, output: [rows, columns] }: ConvolutionPlace): number {
  return n * Math.ceil(rows / 4) * Math.ceil(columns / 4);
}

/** Multiplications and additions of the direct algorithm. */
export function flopsOf(place: ConvolutionPlace): number {
  const { n, channels, outputs, groups, output, kernel } = place;
  const taps = kernel[0] * kernel[1] * (channels / groups);
  return 2 * n * outputs * output[0] * output[1] * taps;
}
