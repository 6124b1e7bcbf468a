/**
 * How long a run made no progress because of a fault: the longest time between the begins of two
 * steps of one worker, the first of which lies between the fault and the next one.
 */

/** The moments at which each worker began its steps, in milliseconds, ascending. */
export type StepBegins = ReadonlyMap<string, readonly number[]>;

/** A fault in time. */
export interface Moment {
  readonly atMs: number;
  /** The next fault, or the end of the run. */
  readonly untilMs: number;
}

/** The gap in milliseconds, that of the worker which had the longest. */
export function gapAt(begins: StepBegins, { atMs, untilMs }: Moment): number {
  let longest = 0;
  for (const moments of begins.values()) {
    for (let index = 1; index < moments.length; index++) {
      const [from, to] = [moments[index - 1]!, moments[index]!];
      if (from < atMs || from >= untilMs) continue;
      longest = Math.max(longest, to - from);
    }
  }
  return longest;
}

/**
 * From when on steps are of each fault, where faults were heard of at these moments, ascending,
 * each up to `hearingMs` after it: so much earlier, but nearer to it than to the fault before.
 */
export function windowStarts(heardMs: readonly number[], hearingMs: number): number[] {
  return heardMs.map((atMs, index) => {
    const before = heardMs[index - 1] ?? Number.NEGATIVE_INFINITY;
    return atMs - Math.min(hearingMs, (atMs - before) / 2);
  });
}

/** Lines with one bar a class of gaps, each class twice as long as the one before. */
export function histogramOf(gapsMs: readonly number[], firstMs = 16): string[] {
  const classOf = (gapMs: number) => Math.max(0, Math.ceil(Math.log2(gapMs / firstMs)));
  const last = Math.max(0, ...gapsMs.map(classOf));
  return Array.from({ length: last + 1 }, (_, index) => {
    const count = gapsMs.filter((gapMs) => classOf(gapMs) === index).length;
    const limit = `${firstMs * 2 ** index} ms`;
    return `up to ${limit.padStart(8)}  ${`${count}`.padStart(3)}  ${"#".repeat(count)}`.trimEnd();
  });
}
