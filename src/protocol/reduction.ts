/**
 * How the gradients of one step become one. `mean` weighs each by its examples; `sum` adds the
 * workers' means. `median` and `trimmed:s` take the values one by one, each in the order of its
 * size over the workers, leave out as many at either end, and give the plain mean of the rest, so
 * that a few workers with arbitrary gradients move a result no further than the others' gradients
 * reach: the median and trimmed mean by coordinate of Yin, Chen, Ramchandran and Bartlett,
 * "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates" (ICML 2018).
 *
 * They count workers and not examples: a worker that could weigh its own gradient could outweigh
 * the others.
 */
import { intervalOf, rangeProblem } from "./interval.js";
import { formed, type Reading } from "./spec-field.js";

/** One of the ways; what is trimmed is a share of the workers, at either end. */
export type Reduce = "mean" | "sum" | "median" | `trimmed:${number}`;

/** What may be written, with the share that examples have. */
export const reductions: readonly Reduce[] = ["mean", "sum", "median", "trimmed:0.1"];

const plainWords: readonly string[] = ["mean", "sum", "median"];
const shares = intervalOf("(0, 0.5)");

/** What is wrong with a text, to follow it; else the reduction that it names. */
export function parseReduce(text: string): Reading<Reduce> {
  if (plainWords.includes(text)) return { value: text as Reduce };
  const [, digits] = /^trimmed:(\d*\.?\d+(?:e-?\d+)?)$/.exec(text) ?? [];
  if (digits === undefined) return { problem: "is unknown" };
  const share = Number(digits);
  const problem = rangeProblem(share, shares);
  if (problem !== null) return { problem: `trims a share that ${problem}` };
  return { value: `trimmed:${share}` };
}

/** The field of a spec. */
export const reduction = formed(parseReduce, reductions);

/** True for a way whose result a few arbitrary gradients can't carry off. */
export function isRobust(reduce: Reduce): boolean {
  return reduce !== "mean" && reduce !== "sum";
}

/**
 * How many of `count` gradients a robust way leaves out at either end: for the median all but the
 * middle one or two, else at least the share that is trimmed, and never all.
 */
export function trimmedAtEnds(reduce: Reduce, count: number): number {
  const most = Math.max(0, Math.floor((count - 1) / 2));
  if (reduce === "median") return most;
  // The product of a decimal share may lie a rounding above the whole number that is meant.
  const share = Number(reduce.slice("trimmed:".length));
  return Math.min(most, Math.ceil(share * count * (1 - 1e-12)));
}
