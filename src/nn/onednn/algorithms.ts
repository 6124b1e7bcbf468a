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

import { type Algorithm, Argument, type DataType, type Dnnl, Query } from "./dnnl.js";
import { ProgramBuilder } from "./program.js";
import { ProgramMemory } from "./program-memory.js";

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

/** The algorithm for a convolution in one direction. */
export function algorithmFor(place: ConvolutionPlace, direction: Direction, dnnl: Dnnl): Algorithm {
  const { channels, outputs, type } = place;
  const fits = type === "f32" && fitsWinograd(place, dnnl);
  if (!fits || tilesOf(place) < winogradTilesMin) return "direct";
  return Math.min(channels, outputs) < winogradChannelsMin[direction] ? "direct" : "winograd";
}

/** The type to compute a convolution in where `place.type` is asked for. */
export function computeTypeFor(place: ConvolutionPlace, dnnl: Dnnl): DataType {
  const { channels, outputs, type } = place;
  const { channelsMin, channelsMax, tilesMin } = insteadOfBf16;
  const pays =
    Math.min(channels, outputs) >= channelsMin &&
    Math.max(channels, outputs) <= channelsMax &&
    tilesOf(place) >= tilesMin &&
    !dnnl.hasAmx;
  return type === "bf16" && pays && fitsWinograd(place, dnnl) ? "f32" : type;
}

/** oneDNN 3 has lost these kernels; 2 has them for AVX-512. */
function fitsWinograd({ kernel, stride, padding, groups }: ConvolutionPlace, dnnl: Dnnl): boolean {
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

/** Seconds of a direction with one algorithm; null where the library has no such implementation. */
export interface ConvolutionTiming {
  readonly direction: Direction;
  readonly algorithm: Algorithm;
  readonly implementation: string | null;
  readonly seconds: number | null;
}

/**
 * Times a convolution in every direction with every algorithm, on zeros: the best of `repeats`,
 * each with what its own formats need but without reorders.
 */
export function measureConvolution(
  dnnl: Dnnl,
  place: ConvolutionPlace,
  repeats: number,
): ConvolutionTiming[] {
  const directions: Direction[] = ["forward", "backward-data", "backward-weights"];
  return (["direct", "winograd"] as const).flatMap((algorithm) =>
    directions.map((direction) => measureDirection(dnnl, place, direction, algorithm, repeats)),
  );
}

function measureDirection(
  dnnl: Dnnl,
  place: ConvolutionPlace,
  direction: Direction,
  algorithm: Algorithm,
  repeats: number,
): ConvolutionTiming {
  const builder = new ProgramBuilder(dnnl);
  const { n, channels, outputs, groups, input, output, kernel, stride, padding, type } = place;
  const weights = [outputs / groups, channels / groups, ...kernel];
  const shape = (weightsType: DataType) => ({
    algorithm,
    source: builder.any([n, channels, ...input], type),
    weights: builder.any(groups === 1 ? weights : [groups, ...weights], weightsType),
    bias: null,
    result: builder.any([n, outputs, ...output], type),
    stride,
    padding,
  });
  const forward = dnnl.convolution(true, shape(type));
  let found = forward;
  if (forward !== null && direction === "backward-data") {
    found = dnnl.convolutionBackwardData(shape(type), forward);
  } else if (forward !== null && direction === "backward-weights") {
    found = dnnl.convolutionBackwardWeights(shape("f32"), forward);
  }
  if (found === null) return { direction, algorithm, implementation: null, seconds: null };
  const description = builder.described("convolution", found);
  const wanted = {
    forward: ["source", "weights", "result"],
    "backward-data": ["sourceGradient", "weights", "resultGradient"],
    "backward-weights": ["source", "weightsGradient", "resultGradient"],
  } as const;
  const given = wanted[direction].map(
    (name) => [Argument[name], builder.cell(builder.formatOf(description, Query[name]))] as const,
  );
  builder.execute(direction, description, given, flopsOf(place));
  const program = builder.finish();
  const memory = new ProgramMemory(dnnl);
  memory.reserve(program.bytes);
  program.attach(memory);
  program.run(0, 1, null);
  let bestMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < repeats; round++) {
    program.run(0, 1, (_, milliseconds) => {
      bestMs = Math.min(bestMs, milliseconds);
    });
  }
  const { implementation } = program.operations[0] as { implementation: string };
  program.close();
  return { direction, algorithm, implementation, seconds: bestMs / 1000 };
}
