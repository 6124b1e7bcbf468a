/**
 * Keeps long work in the background from taking the machine away from what it stands beside: after
 * each piece it rests, many times as long as the piece took. So it takes a few per cent of a core
 * for a while, where it would have taken all of one at once. It rests no more once its time is
 * over, or somebody waits for its end.
 */
import type { Clock } from "./clock.js";

/** How many times as long as it worked it rests. */
const restFactor = 30;
/** It rests no longer than this for each mebibyte, however long a slow machine or disk took. */
const restMsMaxOfMebibyte = 200;
/** Shorter rests are made later, together. */
const restMsMin = 2;

/** The pace of one piece of work after the other. */
export class BackgroundPace {
  readonly #clock: Clock;
  readonly #untilMs: number;
  #dueMs = 0;
  #isHurried = false;
  /** Ends the rest that is on. */
  #wake: () => void = () => {};

  /** It is begun, and rests for no longer than `leisureMs` from then on. */
  constructor(clock: Clock, leisureMs: number) {
    this.#clock = clock;
    this.#untilMs = clock.nowMs() + leisureMs;
  }

  /** True once it rests no more. */
  get isHurried(): boolean {
    return this.#isHurried || this.#clock.nowMs() >= this.#untilMs;
  }

  /** Rests after a piece of so many bytes that was begun at a moment of the clock. */
  async rest(begunMs: number, bytes: number): Promise<void> {
    const tookMs = Math.max(0, this.#clock.nowMs() - begunMs);
    this.#dueMs += Math.min(restFactor * tookMs, (restMsMaxOfMebibyte * bytes) / 2 ** 20);
    if (this.isHurried || this.#dueMs < restMsMin) return;
    const restMs = Math.min(this.#dueMs, this.#untilMs - this.#clock.nowMs());
    this.#dueMs = 0;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(restMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** Somebody waits: no more rests. */
  hurry(): void {
    this.#isHurried = true;
    this.#wake();
  }
}
