/**
 * Watches that lost copies of chunks are made again: once all faults are over, a chunk lacks a
 * replica for a while at most.
 */

/**
 * What a cluster may take, in milliseconds of its time, to find a loss, to have its coordinator
 * back and its members gathered, and to copy what was held.
 */
export const copiesWithinMs = 8000;

/** Watches one part of a run. */
export class RedundancyWatch {
  readonly #violated: (kind: string, sentence: string) => void;
  readonly #withinMs: number;
  /** Since when chunks lack a replica; null while none does. */
  #lackingMs: number | null = null;

  /** @param leadMs how long others wait that stand by for a coordinator that is lost. */
  constructor(violated: (kind: string, sentence: string) => void, leadMs = 0) {
    this.#violated = violated;
    this.#withinMs = copiesWithinMs + 2 * leadMs;
  }

  /** The coordinator has said something; all faults so far are over at `overMs`. */
  told(text: string, nowMs: number, overMs: number): void {
    const isLacking = text.startsWith("some chunks lack");
    const isOther = text.startsWith("redundant") || text.startsWith("every chunk is on one");
    if (!isLacking && !isOther && !text.startsWith("training starts")) return;
    this.ended(nowMs, overMs);
    this.#lackingMs = isLacking ? nowMs : null;
  }

  /** The part has ended, or what it lacks is another now. */
  ended(nowMs: number, overMs: number): void {
    if (this.#lackingMs === null) return;
    const takenMs = nowMs - Math.max(this.#lackingMs, overMs);
    if (takenMs <= this.#withinMs) return;
    const sentence = `chunks lack a replica for ${takenMs.toFixed(0)} ms after the last fault`;
    this.#violated("copies are not made", sentence);
  }
}
