/**
 * Time and wires of a model cluster: a queue of things to happen in virtual milliseconds, and
 * deliveries whose delay is chance but which keep their order between each two ends.
 */
import { Random } from "../../random.js";

interface Planned {
  readonly atMs: number;
  readonly order: number;
  readonly action: () => void;
}

/** The queue, its clock and its chance. */
export class ModelNetwork {
  readonly random: Random;
  nowMs = 1000;
  readonly #delayMsMax: number;
  readonly #heap: Planned[] = [];
  readonly #lastMs = new Map<string, number>();
  #order = 0;
  /** Called after everything that happens. */
  observe: () => void = () => {};

  constructor(seed: number, delayMsMax: number) {
    this.random = new Random("model network", seed);
    this.#delayMsMax = delayMsMax;
  }

  /** A number of milliseconds in [low, high). */
  between(lowMs: number, highMs: number): number {
    return lowMs + this.random.float() * (highMs - lowMs);
  }

  /** Has something happen after this time. */
  after(delayMs: number, action: () => void): void {
    this.#push({ atMs: this.nowMs + delayMs, order: this.#order++, action });
  }

  /**
   * Has something happen after a random delay, but not before what was sent earlier over the same
   * wire.
   */
  deliver(wire: string, action: () => void): void {
    const atMs = Math.max(
      this.#lastMs.get(wire) ?? 0,
      this.nowMs + this.between(0.1, this.#delayMsMax),
    );
    this.#lastMs.set(wire, atMs);
    this.#push({ atMs, order: this.#order++, action });
  }

  /** Lets the next thing happen; false when there is none. */
  move(): boolean {
    const first = this.#heap[0];
    if (first === undefined) return false;
    const last = this.#heap.pop()!;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink();
    }
    this.nowMs = first.atMs;
    first.action();
    this.observe();
    return true;
  }

  #push(planned: Planned): void {
    const heap = this.#heap;
    heap.push(planned);
    for (let at = heap.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!earlier(heap[at]!, heap[parent]!)) return;
      [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
      at = parent;
    }
  }

  #sink(): void {
    const heap = this.#heap;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && earlier(heap[child]!, heap[least]!)) least = child;
      }
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }
}

function earlier(left: Planned, right: Planned): boolean {
  return left.atMs !== right.atMs ? left.atMs < right.atMs : left.order < right.order;
}
