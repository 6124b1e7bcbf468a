/**
 * Where hosts tell what took from when to when, if somebody wants to see it: a trace that is not
 * wanted is null, and then nothing is measured and nothing made.
 */
import type { Clock } from "./clock.js";

/** Takes spans of time. */
export interface Trace {
  /**
   * Something took from one moment to another, both of the process's clock. Spans on one track
   * follow each other, or lie one within the other.
   */
  span(track: string, name: string, startMs: number, endMs: number): void;
}

interface Pushed {
  readonly step: number;
  readonly readyMs: number;
  sentMs: number | null;
}

/** A worker's pushes on a track for each chunk: from ready to answered, and within to sent. */
export class PushTrace {
  readonly #trace: Trace;
  readonly #clock: Pick<Clock, "nowMs">;
  /** By chunk. */
  readonly #pushed = new Map<number, Pushed>();

  constructor(trace: Trace, clock: Pick<Clock, "nowMs">) {
    this.#trace = trace;
    this.#clock = clock;
  }

  /** A gradient is about to be sent, for the first time or again. */
  ready(chunk: number, step: number): void {
    if (this.#pushed.get(chunk)?.step === step) return;
    this.#pushed.set(chunk, { step, readyMs: this.#clock.nowMs(), sentMs: null });
  }

  /** The transport has taken the gradient over. */
  sent(chunk: number, step: number): void {
    const pushed = this.#pushed.get(chunk);
    if (pushed?.step === step) pushed.sentMs ??= this.#clock.nowMs();
  }

  /** The answer is in place. */
  answered(chunk: number, step: number): void {
    const pushed = this.#pushed.get(chunk);
    if (pushed?.step !== step) return;
    this.#pushed.delete(chunk);
    const { readyMs, sentMs } = pushed;
    const nowMs = this.#clock.nowMs();
    this.#trace.span(`chunk ${chunk}`, `push of step ${step}`, readyMs, nowMs);
    if (sentMs !== null) this.#trace.span(`chunk ${chunk}`, "send", readyMs, sentMs);
  }
}
