/**
 * Times the kernels of convolutions: every candidate in every direction, on zeros, each with what
 * its own formats need. A candidate that computes in f32 where values are bf16 also pays for the
 * copies to f32 and back. The best of a few runs counts, and none is begun once the time is over.
 */
import {
  type Candidate,
  type ConvolutionPlace,
  candidatesFor,
  type Direction,
  directions,
  flopsOf,
} from "./algorithms.js";
import { Argument, type DataType, type Dnnl, type Extents, Query } from "./dnnl.js";
import {
  type JoinedPictures,
  joinedCell,
  joinedPictures,
  pictureFormat,
  writeJoined,
} from "./joined-pictures.js";
import type { KernelTiming } from "./kernel-choice.js";
import { type Cell, type Program, ProgramBuilder } from "./program.js";
import { ProgramMemory } from "./program-memory.js";

/** How long and how often a kernel is run, at the most. */
export interface TimingLimits {
  readonly repeats: number;
  readonly milliseconds: number;
}

/**
 * Every candidate of a convolution in every direction; null where that is not done at the deadline,
 * a time of `performance.now`.
 */
export function timeKernels(
  dnnl: Dnnl,
  place: ConvolutionPlace,
  limits: TimingLimits,
  deadlineMs = Number.POSITIVE_INFINITY,
): KernelTiming[] | null {
  const timings: KernelTiming[] = [];
  for (const candidate of candidatesFor(place, dnnl)) {
    const copies = copySeconds(dnnl, place, candidate, limits);
    for (const direction of directions) {
      if (performance.now() > deadlineMs) return null;
      const found = timeConvolution(dnnl, place, { ...candidate, direction }, limits);
      const seconds = found === null ? null : found.seconds + copies[direction];
      timings.push({ ...candidate, direction, seconds });
    }
  }
  return timings;
}

/** Seconds of one kernel; null where the library has none. */
export function timeConvolution(
  dnnl: Dnnl,
  place: ConvolutionPlace,
  { type, algorithm, direction }: Candidate & { readonly direction: Direction },
  limits: TimingLimits,
): { readonly implementation: string; readonly seconds: number } | null {
  if (algorithm === "joined") return timeJoined(dnnl, place, direction, limits);
  const builder = new ProgramBuilder(dnnl);
  const { n, channels, outputs, groups, input, output, kernel, stride, padding } = place;
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
  if (forward !== null && direction !== "forward") {
    builder.described("convolution", forward);
    found =
      direction === "backward-data"
        ? dnnl.convolutionBackwardData(shape(type), forward)
        : dnnl.convolutionBackwardWeights(shape("f32"), forward);
  }
  if (found === null) {
    builder.discard();
    return null;
  }
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
  const { implementation } = program.operations[0] as { implementation: string };
  return { implementation, seconds: secondsOf(dnnl, program, limits) };
}

/** A gradient of weights on joined pictures, with the copies to these. */
function timeJoined(
  dnnl: Dnnl,
  place: ConvolutionPlace,
  direction: Direction,
  limits: TimingLimits,
): ReturnType<typeof timeConvolution> {
  const joined = joinedPictures(place);
  if (joined === null || direction !== "backward-weights") return null;
  const { outputs, channels, kernel, stride, padding, type } = place;
  const builder = new ProgramBuilder(dnnl);
  const source = joinedCell(builder, "source", joined.source);
  const gradient = joinedCell(builder, "gradient", joined.result);
  const shape = (weightsType: DataType) => ({
    ...({ algorithm: "direct", source: source.format, result: gradient.format } as const),
    ...{ weights: builder.any([outputs, channels, ...kernel], weightsType), bias: null },
    ...{ stride, padding },
  });
  const forward = dnnl.convolution(true, shape(type));
  if (forward !== null) builder.described("convolution", forward);
  const found = forward && dnnl.convolutionBackwardWeights(shape("f32"), forward);
  if (found === null) {
    builder.discard();
    return null;
  }
  const description = builder.described("convolution", found);
  const write = (pictures: JoinedPictures, to: Cell) => {
    writeJoined(builder, "pictures", builder.cell(pictureFormat(builder, pictures)), to, pictures);
  };
  write(joined.source, source);
  write(joined.result, gradient);
  const weights = builder.cell(builder.formatOf(description, Query.weightsGradient));
  const given = [
    [Argument.source, source],
    [Argument.resultGradient, gradient],
    [Argument.weightsGradient, weights],
  ] as const;
  builder.execute(direction, description, given, flopsOf(place));
  const program = builder.finish();
  const { implementation } = program.operations.at(-1) as { implementation: string };
  return { implementation, seconds: secondsOf(dnnl, program, limits) };
}

/** What the copies between types take in each direction. */
function copySeconds(
  dnnl: Dnnl,
  { n, channels, outputs, input, output, type: asked }: ConvolutionPlace,
  { type }: Candidate,
  limits: TimingLimits,
): Readonly<Record<Direction, number>> {
  if (type === asked) return { forward: 0, "backward-data": 0, "backward-weights": 0 };
  const source = [n, channels, ...input];
  const result = [n, outputs, ...output];
  const copy = (extents: Extents, from: DataType, to: DataType) => {
    const builder = new ProgramBuilder(dnnl);
    const [given, made] = [from, to].map((one) => builder.cell(builder.plain(extents, one)));
    builder.copy("between types", given!, made!);
    return secondsOf(dnnl, builder.finish(), limits);
  };
  return {
    forward: copy(source, asked, type) + copy(result, type, asked),
    "backward-data": copy(result, asked, type) + copy(source, type, asked),
    "backward-weights": 0,
  };
}

/** The best of a few runs after one that does not count; closes the program. */
function secondsOf(dnnl: Dnnl, program: Program, { repeats, milliseconds }: TimingLimits): number {
  const memory = new ProgramMemory(dnnl);
  memory.reserve(program.bytes);
  program.attach(memory);
  program.run(0, program.operations.length, null);
  let bestMs = Number.POSITIVE_INFINITY;
  const endMs = performance.now() + milliseconds;
  for (let round = 0; round < repeats && (round === 0 || performance.now() < endMs); round++) {
    const startedMs = performance.now();
    program.run(0, program.operations.length, null);
    bestMs = Math.min(bestMs, performance.now() - startedMs);
  }
  program.close();
  memory.release();
  return bestMs / 1000;
}
