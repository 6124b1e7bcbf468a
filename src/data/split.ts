/** Examples of one split, and how a batch of them is written into the caller's memory. */
import { assert } from "../assert.js";

/** The training or the test examples of a data set. */
export interface Split {
  readonly count: number;
  /**
   * Writes the examples `indices[from]` to `indices[to - 1]`: inputs into `x`, shape (to - from,
   * C, H, W), normalised, and labels into `y`. Memory beyond the batch is left as it is.
   */
  fill(indices: ArrayLike<number>, from: number, to: number, x: Float32Array, y: Int32Array): void;
}

/**
 * What turns a pixel byte into an input value: (pixel / 255 - mean) / std, one of each a channel.
 */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** A split whose pixels are all in memory. */
export class MemorySplit implements Split {
  readonly count: number;
  readonly #valueCount: number;
  readonly #planeCount: number;
  readonly #tables: readonly Float32Array[];

  /**
   * @param pixels shape (count, C, H, W), one byte each; not copied.
   * @param labels one of each example; not copied.
   * @param inputShape (C, H, W).
   */
  constructor(
    readonly pixels: Uint8Array,
    readonly labels: Uint8Array,
    inputShape: readonly number[],
    normalisation: Normalisation,
  ) {
    const [channels, height, width] = inputShape as [number, number, number];
    this.count = labels.length;
    this.#planeCount = height * width;
    this.#valueCount = channels * this.#planeCount;
    this.#tables = Array.from({ length: channels }, (_, channel) =>
      inputTable(normalisation.mean[channel] as number, normalisation.std[channel] as number),
    );
    const expected = this.count * this.#valueCount;
    assert(pixels.length === expected, "pixels fit labels", { found: pixels.length, expected });
  }

  fill(indices: ArrayLike<number>, from: number, to: number, x: Float32Array, y: Int32Array): void {
    const examples = to - from;
    assert(from >= 0 && from <= to && to <= indices.length, "batch positions", { from, to });
    assert(x.length >= examples * this.#valueCount && y.length >= examples, "batch memory", {
      examples,
      x: x.length,
      y: y.length,
    });
    for (let position = from; position < to; position++) {
      const index = indices[position] as number;
      assert(index >= 0 && index < this.count, "example index", { index, count: this.count });
      this.#fillOne(index, x, (position - from) * this.#valueCount);
      y[position - from] = this.labels[index] as number;
    }
  }

  #fillOne(index: number, x: Float32Array, target: number): void {
    let source = index * this.#valueCount;
    for (const table of this.#tables) {
      const end = source + this.#planeCount;
      while (source < end) x[target++] = table[this.pixels[source++] as number] as number;
    }
  }
}

/**
 * The input value of each pixel byte, each operation rounded to f32 as torchvision's ToTensor and
 * Normalize do.
 */
function inputTable(mean: number, std: number): Float32Array {
  const table = new Float32Array(256);
  for (let pixel = 0; pixel < 256; pixel++) {
    const centred = Math.fround(Math.fround(pixel / 255) - Math.fround(mean));
    table[pixel] = centred / Math.fround(std);
  }
  return table;
}
