/**
 * How long a server that was greeted may take to answer before its connection is taken for dead:
 * some multiple of the longest of its last answers, as a machine or a link that is loaded shows in
 * them, and until some are known the longest time that is allowed at all.
 */

/** What is known of one server's answers. */
export class AnswerTimes {
  readonly #mostMs: number;
  readonly #latestMs: number[] = [];

  /** @param mostMs how long any answer may take. */
  constructor(mostMs: number) {
    this.#mostMs = mostMs;
  }

  /** An answer took so long, or has not come within so long. */
  add(tookMs: number): void {
    this.#latestMs.push(tookMs);
    if (this.#latestMs.length > latestMax) this.#latestMs.shift();
  }

  /** True once enough answers say what is usual. */
  get isKnown(): boolean {
    return this.#latestMs.length >= latestMin;
  }

  /** How long the next one may take. */
  get patienceMs(): number {
    if (!this.isKnown) return this.#mostMs;
    const longestMs = timesLongest * Math.max(...this.#latestMs);
    return Math.min(this.#mostMs, Math.max(leastMs, longestMs));
  }
}

const latestMax = 32;
const latestMin = 3;
const timesLongest = 8;
const leastMs = 1000;
