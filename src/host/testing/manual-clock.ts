/** A clock that a test walks by hand. */
import type { Clock, Timer } from "../clock.js";

/** Time stands until `pass` is called. */
export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly action: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, action };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Nothing happens for a while, as in a process that stands still; then all that is due does. */
  sleep(durationMs: number): void {
    this.#nowMs += durationMs;
    const due = [...this.#timers].filter(({ atMs }) => atMs <= this.#nowMs);
    for (const timer of due.sort((left, right) => left.atMs - right.atMs)) {
      if (this.#timers.delete(timer)) timer.action();
    }
  }

  /** Lets time pass, and what is due on the way happen in its order. */
  pass(durationMs: number): void {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      const [next] = [...this.#timers].sort((left, right) => left.atMs - right.atMs);
      if (next === undefined || next.atMs > endMs) break;
      this.#timers.delete(next);
      this.#nowMs = next.atMs;
      next.action();
    }
    this.#nowMs = endMs;
  }
}
