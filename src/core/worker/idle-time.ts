/**
 * How long a worker that has all chunks has waited for work. Where others go on meanwhile and
 * nothing bounds how far, its weights grow old: after a wait that was longer than its last step,
 * or any wait before its first one, it takes them anew, so that what a step begins with is about
 * as new as behind a step of its own. Between two assignments that follow each other it does not.
 *
 * Invariant: a wait is told of once.
 */

/** Of one job. */
export class IdleTime {
  #sinceMs: number | null = null;
  #isLong = false;
  /** How long the last step took, with its answers; 0 before the first. */
  #stepMs = 0;

  /** It rests as it is ordered to, as all do: that counts before its first step only. */
  ordered(nowMs: number): void {
    if (this.#stepMs === 0) this.#sinceMs ??= nowMs;
  }

  /** It rests between steps, with nothing to do or with work. */
  noted(isIdle: boolean, nowMs: number): void {
    if (isIdle) this.#sinceMs ??= nowMs;
    else if (this.#sinceMs !== null) {
      this.#isLong = nowMs - this.#sinceMs > this.#stepMs;
      this.#sinceMs = null;
    }
  }

  /** A step has taken so long. */
  stepped(tookMs: number): void {
    this.#stepMs = tookMs;
  }

  /** True once where it has waited for long. */
  takeLong(): boolean {
    const isLong = this.#isLong;
    this.#isLong = false;
    return isLong;
  }
}
