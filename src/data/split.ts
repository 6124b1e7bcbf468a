/**
 * Stored examples: bytes as they lie in files, before any arithmetic. What makes input values of
 * them is the pipeline (pipeline.ts), so that a set can be held in memory, read slice by slice or
 * sent by somebody else, and gives the same values.
 */
import { assert } from "../assert.js";
import type { DataIdentity } from "./identity.js";

/** The training or the test examples of a data set. */
export interface Split {
  readonly count: number;
  /**
   * Copies the examples `indices[from]` to `indices[to - 1]`: pixels, shape (to - from, C, H, W),
   * one byte each, and labels. Memory beyond the batch is left as it is.
   * @throws PacelineError `data` where the files turn out broken.
   */
  read(
    indices: ArrayLike<number>,
    from: number,
    to: number,
    pixels: Uint8Array,
    labels: Int32Array,
  ): void;
}

/** Training and test examples. */
export interface Dataset {
  /** Known where it was asked for. */
  readonly identity?: DataIdentity;
  readonly name: string;
  /** Labels are 0 to classes - 1. */
  readonly classes: number;
  /** (C, H, W) of one example. */
  readonly shape: readonly [number, number, number];
  readonly train: Split;
  readonly test: Split;
  /** Closes files that are open; reading opens them again. */
  close?(): void;
}

/** A split whose pixels are all in memory. */
export class MemorySplit implements Split {
  readonly count: number;
  readonly #valueCount: number;

  /**
   * @param pixels shape (count, C, H, W), one byte each; not copied.
   * @param labels one of each example; not copied.
   * @param valueCount values of one example, C * H * W.
   */
  constructor(
    readonly pixels: Uint8Array,
    readonly labels: Uint8Array | Uint16Array,
    valueCount: number,
  ) {
    this.count = labels.length;
    this.#valueCount = valueCount;
    const expected = this.count * valueCount;
    assert(pixels.length === expected, "pixels fit labels", { found: pixels.length, expected });
  }

  read(
    indices: ArrayLike<number>,
    from: number,
    to: number,
    pixels: Uint8Array,
    labels: Int32Array,
  ): void {
    const examples = to - from;
    assert(from >= 0 && from <= to && to <= indices.length, "batch positions", { from, to });
    assert(
      pixels.length >= examples * this.#valueCount && labels.length >= examples,
      "batch memory",
      { examples, pixels: pixels.length, labels: labels.length },
    );
    for (let position = from; position < to; position++) {
      const index = indices[position] as number;
      assert(index < this.count, "example index", { index, count: this.count });
      const start = index * this.#valueCount;
      const image = this.pixels.subarray(start, start + this.#valueCount);
      pixels.set(image, (position - from) * this.#valueCount);
      labels[position - from] = this.labels[index] as number;
    }
  }
}
