/**
 * Where a step waits for parameters that have not come back from the servers: one cell a chunk in
 * memory that the main thread and the compute thread share. The main thread says which chunks a
 * step lacks before it asks for the step, and opens each when its last byte is in place; what was
 * written before is visible to a thread that finds the cell open.
 *
 * Invariant: no wait outlasts the job. Once the gate is given up, every cell stays so, and
 * each present and later wait throws.
 */
import { PacelineError } from "../../errors.js";

const open = 0;
const lacking = 1;
const givenUp = 2;
/** Lacking, and somebody sleeps until it is there: waking is dear, and seldom needed. */
const awaited = 3;

/** A step was given up while it waited; nobody wants to hear of it. */
export class StepGivenUp extends PacelineError {
  constructor() {
    super("unavailable", "the step was abandoned before its parameters arrived");
  }
}

/** Memory for a gate of so many chunks, all of them open. */
export function gateMemory(chunkCount: number): SharedArrayBuffer {
  return new SharedArrayBuffer(Math.max(1, chunkCount) * Int32Array.BYTES_PER_ELEMENT);
}

/** One side's view of the gate. */
export class ArrivalGate {
  readonly #cells: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Int32Array(memory);
  }

  /** The step that is asked for next lacks these chunks. */
  lack(chunks: readonly number[]): void {
    for (const chunk of chunks) Atomics.compareExchange(this.#cells, chunk, open, lacking);
  }

  /** A chunk is in place. */
  arrive(chunk: number): void {
    const before = Atomics.compareExchange(this.#cells, chunk, lacking, open);
    if (before !== awaited) return;
    Atomics.compareExchange(this.#cells, chunk, awaited, open);
    Atomics.notify(this.#cells, chunk);
  }

  /** Ends every wait, for good. */
  giveUp(): void {
    for (let chunk = 0; chunk < this.#cells.length; chunk++) {
      Atomics.store(this.#cells, chunk, givenUp);
      Atomics.notify(this.#cells, chunk);
    }
  }

  /** True when the chunk is in place. @throws StepGivenUp once the gate is given up. */
  isOpen(chunk: number): boolean {
    const state = Atomics.load(this.#cells, chunk);
    if (state === givenUp) throw new StepGivenUp();
    return state === open;
  }

  /**
   * Blocks the calling thread until the chunk is in place.
   * @throws StepGivenUp once the gate is given up.
   */
  await(chunk: number): void {
    while (!this.isOpen(chunk)) {
      Atomics.compareExchange(this.#cells, chunk, lacking, awaited);
      Atomics.wait(this.#cells, chunk, awaited);
    }
  }
}
