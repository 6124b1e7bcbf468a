/**
 * The latest intervals between a member's heartbeats, and how long it may be silent by them: median
 * + k x MAD, the median absolute deviation. An estimate from recent arrivals plus a margin, as in
 * Chen, Toueg and Aguilera (On the Quality of Service of Failure Detectors, 2002) and Hayashibara
 * et al. (The phi Accrual Failure Detector, 2004); median and MAD in place of mean and deviation,
 * so that a single late heartbeat does not stretch the next ten seconds.
 */

/** Intervals that are kept: ten seconds of heartbeats that come every 250 ms. */
const windowLength = 40;
/** Fewer say nothing: four seconds of heartbeats that come every 250 ms. */
const intervalsMin = 16;
/**
 * Deviations above the median that a silence may last. Heartbeats spread evenly over the whole gap
 * between two (0 to 500 ms where they are sent every 250 ms, MAD 125 ms) give 250 + 10 x 125 =
 * 1500 ms, half the default lease; what is more irregular gets more, up to the lease. Of normally
 * distributed intervals 10 MAD are 6.7 standard deviations.
 */
const deviationsMax = 10;

/** A window of intervals in milliseconds. */
export class HeartbeatIntervals {
  #intervals: number[] = [];
  #next = 0;
  /** Null while it has to be computed. */
  #silenceMs: number | null = null;

  /** Adds an interval in place of the oldest. */
  add(intervalMs: number): void {
    this.#intervals[this.#next] = intervalMs;
    this.#next = (this.#next + 1) % windowLength;
    this.#silenceMs = null;
  }

  /** Forgets all. */
  clear(): void {
    this.#intervals = [];
    this.#next = 0;
    this.#silenceMs = null;
  }

  /** Silence that the intervals explain, in milliseconds; infinite while there are too few. */
  get silenceMs(): number {
    if (this.#intervals.length < intervalsMin) return Number.POSITIVE_INFINITY;
    this.#silenceMs ??= silenceOf(this.#intervals);
    return this.#silenceMs;
  }
}

function silenceOf(intervals: readonly number[]): number {
  const median = medianOf(intervals);
  const deviation = medianOf(intervals.map((interval) => Math.abs(interval - median)));
  return median + deviationsMax * deviation;
}

/** The upper of the two in the middle where the count is even. */
function medianOf(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[values.length >> 1]!;
}
