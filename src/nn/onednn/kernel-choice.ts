/**
 * Which of its candidates a convolution takes: a pure function of what each took. The type is one
 * for all directions, since they share their arrays: f32 in place of bf16 where it is faster in
 * all, copies included. Winograd is taken by direction. What is not the plain way has to be faster
 * by a margin, so that noise does not decide.
 *
 * A choice is also a line of text, in which it is cached, recorded with a run's results, and read
 * again by the run that goes on from them; bits depend on it.
 */
import {
  algorithmFor,
  type Candidate,
  type ConvolutionPlace,
  computeTypeFor,
  type Direction,
  directions,
  type LibraryFacts,
  titleOf,
  type Way,
} from "./algorithms.js";
import type { DataType } from "./dnnl.js";

/** How a convolution is computed. */
export interface KernelChoice {
  readonly type: DataType;
  readonly algorithms: Readonly<Record<Direction, Way>>;
  /** Where the choice comes from, with the numbers that led to it. */
  readonly reason: string;
}

/** What one direction took; null where the library has no such kernel. */
export interface KernelTiming extends Candidate {
  readonly direction: Direction;
  /** With the copies between types that it needs. */
  readonly seconds: number | null;
}

/** What another way may take of the plain way's time for it to be chosen. */
const mostOfPlain = 0.95;

/** The choice for what was measured. */
export function chooseKernels(
  place: ConvolutionPlace,
  timings: readonly KernelTiming[],
): KernelChoice {
  const of = (type: DataType) => {
    const algorithms = directions.map((direction) => fastest(timings, type, direction));
    const seconds = algorithms.reduce((sum, { seconds }) => sum + seconds, 0);
    return { type, algorithms, seconds };
  };
  const [plain, other] = [of(place.type), of("f32")];
  const chosen = other.seconds < mostOfPlain * plain.seconds ? other : plain;
  const algorithms = Object.fromEntries(
    directions.map((direction, index) => [direction, chosen.algorithms[index]?.algorithm]),
  ) as Record<Direction, Way>;
  return { type: chosen.type, algorithms, reason: `measured: ${inWords(timings)}` };
}

/** Direct unless another is faster by the margin; infinite where there is none. */
function fastest(timings: readonly KernelTiming[], type: DataType, direction: Direction) {
  const of = (algorithm: Way) => {
    const isThis = (one: KernelTiming) =>
      one.type === type && one.direction === direction && one.algorithm === algorithm;
    const seconds = timings.find(isThis)?.seconds ?? Number.POSITIVE_INFINITY;
    return { algorithm, seconds };
  };
  const [direct, winograd, joined] = [of("direct"), of("winograd"), of("joined")];
  const other = joined.seconds < winograd.seconds ? joined : winograd;
  return other.seconds < mostOfPlain * direct.seconds ? other : direct;
}

function inWords(timings: readonly KernelTiming[]): string {
  return directions
    .map((direction) => {
      const own = timings.filter((one) => one.direction === direction && one.seconds !== null);
      const told = own.map(({ type, algorithm, seconds }) => {
        return `${algorithm} ${type} ${(1000 * (seconds as number)).toPrecision(3)} ms`;
      });
      return `${direction} ${told.join(", ")}`;
    })
    .join("; ");
}

/** The choice by the rule, for this reason. */
export function ruledKernels(
  place: ConvolutionPlace,
  facts: LibraryFacts,
  reason: string,
): KernelChoice {
  const type = computeTypeFor(place, facts);
  const algorithms = Object.fromEntries(
    directions.map((direction) => [direction, algorithmFor({ ...place, type }, direction, facts)]),
  ) as Record<Direction, Way>;
  return { type, algorithms, reason: `by the rule: ${reason}` };
}

const marker = "choice ";

/** How the line begins that tells which library computes a model. */
export const libraryMarker = "library ";

/** Whether a line tells a choice, so that a run that goes on takes it again. */
export function tellsChoice(line: string): boolean {
  return line.startsWith(marker) || line.startsWith(libraryMarker);
}

/** A choice in one line. */
export function lineOfChoice(place: ConvolutionPlace, choice: KernelChoice): string {
  const { type, algorithms, reason } = choice;
  const ways = directions.map((direction) => `${direction} ${algorithms[direction]}`);
  return `${marker}${titleOf(place)}: in ${type}, ${ways.join(", ")} (${reason})`;
}

const waysForm = directions.map((direction) => `${direction} (direct|winograd|joined)`).join(", ");
const form = new RegExp(`^${marker}(conv [^:]+): in (f32|bf16), ${waysForm} \\((.*)\\)$`);

/** The convolution and the choice that a line tells; null for another line. */
export function choiceOfLine(
  line: string,
): { readonly title: string; readonly choice: KernelChoice } | null {
  const found = form.exec(line);
  if (found === null) return null;
  const [, title, type, forward, data, weights, reason] = found as unknown as [
    string,
    string,
    DataType,
    Way,
    Way,
    Way,
    string,
  ];
  const algorithms = { forward, "backward-data": data, "backward-weights": weights };
  return { title, choice: { type, algorithms, reason } };
}

/**
 * The choices that lines agree on, by convolution: of two lines that contradict each other, as
 * machines of two kinds record them, neither counts.
 */
export function choicesOfLines(lines: readonly string[]): Map<string, KernelChoice> {
  const choices = new Map<string, KernelChoice>();
  const disputed = new Set<string>();
  const inShort = ({ type, algorithms }: KernelChoice) =>
    [type, ...directions.map((direction) => algorithms[direction])].join(" ");
  for (const line of lines) {
    const read = choiceOfLine(line);
    if (read === null) continue;
    const before = choices.get(read.title);
    if (before !== undefined && inShort(before) !== inShort(read.choice)) disputed.add(read.title);
    choices.set(read.title, read.choice);
  }
  for (const title of disputed) choices.delete(title);
  return choices;
}
