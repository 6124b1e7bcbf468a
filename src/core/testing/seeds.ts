/**
 * How many seeds and cases tests of clusters in one process go through. `make test` takes a third
 * of the seeds and the first case, and `make test-long` all.
 */

const isLong = process.env.PACELINE_TESTS === "long";
const share = isLong ? 1 : 1 / 3;

/** The numbers from 0 on: so many of them in `make test-long`, and a third in `make test`. */
export function seedsOf(count: number): readonly number[] {
  return Array.from({ length: Math.ceil(count * share) }, (_, index) => index);
}

/** All cases in `make test-long`, and the first in `make test`. */
export function casesOf<Case>(cases: readonly Case[]): readonly Case[] {
  return isLong ? cases : cases.slice(0, 1);
}
