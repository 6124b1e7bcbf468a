/**
 * A step that takes several times its own time, as on a slower machine: what it has worked is
 * measured, and waited for so often again, at each gradient that is final and at its end. Nothing
 * is computed in another way or order, so that no bit changes.
 *
 * Invariant: at each of these moments the step has taken `slow` times what it has worked; waits for
 * parameters count for nothing.
 */

/** What a slowed step needs. */
export interface SlowedStepParts {
  /** How many times its own time it takes. */
  readonly slow: number;
  nowMs(): number;
  /** Blocks for a time. */
  wait(ms: number): void;
}

/** One step. */
export class SlowedStep {
  readonly #parts: SlowedStepParts;
  readonly #beganMs: number;
  /** How long it has been waited on purpose, as measured: a wait may take longer than asked. */
  #slowedMs = 0;

  constructor(parts: SlowedStepParts) {
    this.#parts = parts;
    this.#beganMs = parts.nowMs();
  }

  /** How long it has been waited so far. */
  get slowedMs(): number {
    return this.#slowedMs;
  }

  /** Waits for what is owed; `idleMs` is how long the step has waited for others since it began. */
  catchUp(idleMs: number): void {
    const { slow, nowMs, wait } = this.#parts;
    const startMs = nowMs();
    const workedMs = startMs - this.#beganMs - this.#slowedMs - idleMs;
    const owedMs = (slow - 1) * workedMs - this.#slowedMs;
    if (owedMs <= 0) return;
    wait(owedMs);
    this.#slowedMs += nowMs() - startMs;
  }
}

/** Blocks this thread. */
export function blockFor(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
