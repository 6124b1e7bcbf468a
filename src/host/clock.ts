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
