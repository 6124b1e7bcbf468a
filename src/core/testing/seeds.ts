/**
 * How many seeds tests of simulated clusters go through. `make test` takes a third of them, and
 * `make test-long` all.
 */

const share = process.env.PACELINE_TESTS === "long" ? 1 : 1 / 3;

/** The numbers from 0 on: so many of them in `make test-long`, and a third in `make test`. */
export function seedsOf(count: number): readonly number[] {
  return Array.from({ length: Math.ceil(count * share) }, (_, index) => index);
}
