/**
 * Virtual time: a heap of things to happen, in the order of their moments and, at one moment, in
 * the order in which they were planned. Nothing passes but by `move`.
 */
import type { Timer } from "../host/clock.js";

interface Planned {
  readonly atMs: number;
  readonly order: number;
  /** Null once it was cancelled. */
  action: (() => void) | null;
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
    const planned: Planned = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, action };
    const heap = this.#heap;
    heap.push(planned);
    for (let place = heap.length - 1; place > 0; ) {
      const parent = (place - 1) >> 1;
      if (!isBefore(heap[place]!, heap[parent]!)) break;
      [heap[place], heap[parent]] = [heap[parent]!, heap[place]!];
      place = parent;
    }
    return {
      cancel: () => {
        planned.action = null;
      },
    };
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
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink();
    }
    if (first.action === null) return true;
    this.#nowMs = first.atMs;
    first.action();
    return true;
  }

  #sink(): void {
    const heap = this.#heap;
    for (let place = 0; ; ) {
      let least = place;
      for (const child of [2 * place + 1, 2 * place + 2]) {
        if (child < heap.length && isBefore(heap[child]!, heap[least]!)) least = child;
      }
      if (least === place) return;
      [heap[place], heap[least]] = [heap[least]!, heap[place]!];
      place = least;
    }
  }
}

function isBefore(left: Planned, right: Planned): boolean {
  return left.atMs !== right.atMs ? left.atMs < right.atMs : left.order < right.order;
}
