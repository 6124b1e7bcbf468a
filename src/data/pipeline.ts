/**
 * From stored bytes to input values: cropped, flipped and normalised, one example after the other.
 * The random choices come from a stream that the caller names, so that a batch has the same values
 * wherever it is computed.
 *
 * The order is that of the published trainings: pad with zero bytes and crop at random, flip at
 * random, then normalise each channel or standardise each picture. Evaluation leaves the first two
 * out.
 */
import { assert } from "../assert.js";
import type { Random } from "../random.js";

/** What is done to a training example, and how bytes become values. */
export interface PipelineFacts {
  /** (C, H, W) of an example. */
  readonly shape: readonly [number, number, number];
  /** A value is (byte / 255 - mean) / std, with one of each a channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly augment: {
    /** Pixels of zeros around the picture before a crop of its own size; 0 for no crop. */
    readonly cropPadding: number;
    /** Mirror left and right in half the cases. */
    readonly flip: boolean;
    /**
     * Instead of mean and std: bring each picture to mean 0 and deviation 1, that is (byte - mean)
     * / max(deviation, 1 / sqrt(values)), both over all its values.
     */
    readonly standardise: boolean;
  };
}

/** Makes input values; holds no memory but a table a channel. */
export class InputPipeline {
  readonly #facts: PipelineFacts;
  readonly #tables: readonly Float32Array[];
  /** The example's bytes after crop and flip. */
  readonly #picture: Uint8Array;

  constructor(facts: PipelineFacts) {
    const [channels, height, width] = facts.shape;
    this.#facts = facts;
    this.#picture = new Uint8Array(channels * height * width);
    this.#tables = Array.from({ length: channels }, (_, channel) => {
      const { mean, std } = facts;
      assert(channel < mean.length && channel < std.length, "a mean and std a channel", { mean });
      return inputTable(mean[channel] as number, std[channel] as number);
    });
  }

  /** Bytes, and values, of one example. */
  get valueCount(): number {
    return this.#picture.length;
  }

  /**
   * Writes `n` examples into x, shape (n, C, H, W).
   * @param pixels shape (n, C, H, W), one byte each.
   * @param random the batch's stream while training; null in evaluation.
   */
  fill(pixels: Uint8Array, n: number, x: Float32Array, random: Random | null): void {
    const size = this.#picture.length;
    assert(pixels.length >= n * size && x.length >= n * size, "batch memory", { n });
    for (let example = 0; example < n; example++) {
      const stored = pixels.subarray(example * size, (example + 1) * size);
      const bytes = random === null ? stored : this.#augmented(stored, random);
      const values = x.subarray(example * size, (example + 1) * size);
      if (this.#facts.augment.standardise) standardise(bytes, values);
      else this.#normalise(bytes, values);
    }
  }

  #augmented(stored: Uint8Array, random: Random): Uint8Array {
    const { cropPadding, flip } = this.#facts.augment;
    if (cropPadding === 0 && !flip) return stored;
    const shifts = 2 * cropPadding + 1;
    const down = cropPadding === 0 ? 0 : random.below(shifts) - cropPadding;
    const right = cropPadding === 0 ? 0 : random.below(shifts) - cropPadding;
    const mirrored = flip && random.below(2) === 1;
    this.#shift(stored, down, right, mirrored);
    return this.#picture;
  }

  /** The picture at (row, column) is the stored one at (row + down, column + right), else zero. */
  #shift(stored: Uint8Array, down: number, right: number, mirrored: boolean): void {
    const [channels, height, width] = this.#facts.shape;
    const picture = this.#picture;
    for (let channel = 0, at = 0; channel < channels; channel++) {
      for (let row = 0; row < height; row++) {
        const from = row + down;
        const inside = from >= 0 && from < height;
        const start = (channel * height + from) * width;
        for (let column = 0; column < width; column++, at++) {
          const place = (mirrored ? width - 1 - column : column) + right;
          const known = inside && place >= 0 && place < width;
          picture[at] = known ? (stored[start + place] as number) : 0;
        }
      }
    }
  }

  #normalise(bytes: Uint8Array, values: Float32Array): void {
    const planeCount = values.length / this.#tables.length;
    for (let channel = 0, at = 0; channel < this.#tables.length; channel++) {
      const table = this.#tables[channel] as Float32Array;
      const end = at + planeCount;
      for (; at < end; at++) values[at] = table[bytes[at] as number] as number;
    }
  }
}

function standardise(bytes: Uint8Array, values: Float32Array): void {
  const count = bytes.length;
  let sum = 0;
  let squares = 0;
  for (let at = 0; at < count; at++) {
    const byte = bytes[at] as number;
    sum += byte;
    squares += byte * byte;
  }
  const mean = sum / count;
  const deviation = Math.sqrt(Math.max(0, squares / count - mean * mean));
  const divisor = Math.max(deviation, 1 / Math.sqrt(count));
  for (let at = 0; at < count; at++) values[at] = ((bytes[at] as number) - mean) / divisor;
}

/** The input value of each byte, each operation rounded to f32 as PyTorch's transforms round. */
function inputTable(mean: number, std: number): Float32Array {
  const table = new Float32Array(256);
  const centre = Math.fround(mean);
  for (let byte = 0; byte < 256; byte++) {
    table[byte] = Math.fround(Math.fround(byte / 255) - centre) / Math.fround(std);
  }
  return table;
}
