/**
 * The range of a number as mathematics writes it: "[0, 1)" holds 0 and does not hold 1. A
 * range states for each end whether it belongs to it; the type accepts no text that leaves this
 * open.
 *
 * A number of a run ends as a 32-bit float. So a value is judged as what is left of it: 0.99999999
 * is 1, and 1e-50 is 0.
 */
import { assert } from "../assert.js";

/** A range: a bracket includes its end, a parenthesis excludes it. */
export type Range =
  | `${"[" | "("}${number}, ${number}${"]" | ")"}`
  | `${"[" | "("}${number}, inf)`
  | "(-inf, inf)";

/** A range in parts. */
export interface Interval {
  readonly min: number;
  readonly max: number;
  readonly minIncluded: boolean;
  readonly maxIncluded: boolean;
}

/** The largest finite 32-bit float. */
const largestF32 = 3.4028234663852886e38;

/** Takes a range apart. */
export function intervalOf(range: Range): Interval {
  const [, open, first, second, close] = /^([[(])(\S+), (\S+)([\])])$/.exec(range) ?? [];
  const endOf = (text: string | undefined) => Number(text?.replace("inf", "Infinity"));
  const interval = {
    min: endOf(first),
    max: endOf(second),
    minIncluded: open === "[",
    maxIncluded: close === "]",
  };
  assert(interval.min < interval.max, "a range has its lower end first", { range });
  return interval;
}

/** What is wrong with a number for this range ("is below 0"); null when nothing is. */
export function rangeProblem(value: number, interval: Interval): string | null {
  const plain = endProblem(value, interval);
  if (plain !== null) return plain;
  if (Math.abs(value) > largestF32) return "is too large for a 32-bit float";
  const rounded = Math.fround(value);
  if (rounded === value) return null;
  if (rounded === 0) return "is 0 as a 32-bit float";
  const problem = endProblem(rounded, interval);
  return problem === null ? null : `is ${rounded} as a 32-bit float, which ${problem}`;
}

/** The range in words: "a number from 0 to 1", "a number of at least 0 and below 1". */
export function rangeText({ min, max, minIncluded, maxIncluded }: Interval): string {
  if (min === Number.NEGATIVE_INFINITY) return "a finite number";
  const isClosed = minIncluded && maxIncluded;
  if (minIncluded && max === Number.POSITIVE_INFINITY) return `a number from ${min}`;
  if (isClosed) return `a number from ${min} to ${max}`;
  const low = minIncluded ? `of at least ${min}` : `above ${min}`;
  if (max === Number.POSITIVE_INFINITY) return `a number ${low}`;
  return `a number ${low} and ${maxIncluded ? "at most" : "below"} ${max}`;
}

/** The range as JSON schema writes it. */
export function rangeSchema({ min, max, minIncluded, maxIncluded }: Interval) {
  return {
    ...(Number.isFinite(min) ? { [minIncluded ? "minimum" : "exclusiveMinimum"]: min } : {}),
    ...(Number.isFinite(max) ? { [maxIncluded ? "maximum" : "exclusiveMaximum"]: max } : {}),
  };
}

function endProblem(value: number, interval: Interval): string | null {
  const { min, max, minIncluded, maxIncluded } = interval;
  if (value < min) return `is below ${min}`;
  if (value > max) return `is above ${max}`;
  if (value === min && !minIncluded) return `is not above ${min}`;
  if (value === max && !maxIncluded) return `is not below ${max}`;
  return null;
}
