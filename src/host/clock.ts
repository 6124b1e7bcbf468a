/**
 * Time as hosts see it: monotonic milliseconds and one-shot timers. Production uses the process's
 * clock, tests and the simulator their own.
 */

/** A timer that has been set. */
export interface Timer {
  /** Calling it after the timer went off does nothing. */
  cancel(): void;
}

/** A clock. */
export interface Clock {
  /** Monotonic milliseconds, with fractions. */
  nowMs(): number;
  /** Calls once after a delay. */
  after(delayMs: number, action: () => void): Timer;
}

/** Calls again and again, `intervalMs` after the last call has ended. */
export function every(clock: Clock, intervalMs: number, action: () => void): Timer {
  let timer = clock.after(intervalMs, again);
  let cancelled = false;
  function again(): void {
    action();
    if (!cancelled) timer = clock.after(intervalMs, again);
  }
  return {
    cancel() {
      cancelled = true;
      timer.cancel();
    },
  };
}

/**
 * Time as a process sees it that may itself be made to stand still: between two looks only so much
 * counts, however long it slept. What others sent meanwhile is there and yet to be read, so that
 * its own sleep is nobody's silence. Who measures by it looks regularly.
 */
export class AwakeTime {
  readonly #clock: Clock;
  readonly #mostMs: number;
  #lastMs: number;
  #seenMs = 0;

  /** @param mostMs what counts at the most between two looks. */
  constructor(clock: Clock, mostMs: number) {
    this.#clock = clock;
    this.#mostMs = mostMs;
    this.#lastMs = clock.nowMs();
  }

  /** Looks, and says how many milliseconds were seen so far. */
  nowMs(): number {
    const nowMs = this.#clock.nowMs();
    this.#seenMs += Math.min(nowMs - this.#lastMs, this.#mostMs);
    this.#lastMs = nowMs;
    return this.#seenMs;
  }
}
