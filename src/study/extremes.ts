/**
 * The least and the greatest of many numbers. Math.min(...values) takes each value as an argument,
 * and overflows the stack where a long run has too many.
 */

/** Infinity where there is none. */
export function least(values: readonly number[]): number {
  return values.reduce((low, value) => Math.min(low, value), Number.POSITIVE_INFINITY);
}

/** Minus Infinity where there is none. */
export function greatest(values: readonly number[]): number {
  return values.reduce((high, value) => Math.max(high, value), Number.NEGATIVE_INFINITY);
}
