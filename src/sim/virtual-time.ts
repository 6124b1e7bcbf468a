/**
 * Virtual time: a heap of things to happen, in the order of their moments and, at one moment, in
 * the order in which they were planned. Nothing passes but by `move`.
 */
import type { Timer } from "../host/clock.js";

/** Something planned; it is its own timer. */
class Planned implements Timer {
  readonly atMs: number;
  readonly order: number;
  /** Null once it was cancelled. */
  action: (() => void) | null;

  constructor(atMs: number, order: number, action: () => void) {
    this.atMs = atMs;
    this.order = order;
    this.action = action;
  }

  cancel(): void {
    this.action = null;
  }

  isBefore(other: Planned): boolean {
    return this.atMs !== other.atMs ? this.atMs < other.atMs : this.order < other.order;
  }
}

/** The time of one simulated world. */
export class VirtualTime {
  #nowMs = 0;
  #order = 0;
  readonly #heap: Planned[] = [];

  /** Milliseconds since the beginning. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** When the next thing happens; infinity where nothing is planned. */
  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** Plans something for a moment, which is not before now. */
  at(atMs: number, action: () => void): Timer {
    const planned = new Planned(Math.max(atMs, this.#nowMs), this.#order++, action);
    const heap = this.#heap;
    let place = heap.length;
    heap.push(planned);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = heap[parent]!;
      if (!planned.isBefore(above)) break;
      heap[place] = above;
      place = parent;
    }
    heap[place] = planned;
    return planned;
  }

  /** Plans something for after a while. */
  after(delayMs: number, action: () => void): Timer {
    return this.at(this.#nowMs + delayMs, action);
  }

  /** Lets the next thing happen; false where nothing is planned. */
  move(): boolean {
    const first = this.#heap[0];
    if (first === undefined) return false;
    const last = this.#heap.pop()!;
    if (this.#heap.length > 0) this.#sink(last);
    if (first.action === null) return true;
    this.#nowMs = first.atMs;
    first.action();
    return true;
  }

  /** Puts it where the first was, and lower as far as others come before it. */
  #sink(planned: Planned): void {
    const heap = this.#heap;
    const { length } = heap;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= length) break;
      if (child + 1 < length && heap[child + 1]!.isBefore(heap[child]!)) child++;
      const below = heap[child]!;
      if (!below.isBefore(planned)) break;
      heap[place] = below;
      place = child;
    }
    heap[place] = planned;
  }
}
