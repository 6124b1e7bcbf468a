/**
 * Error feedback around a codec: what an encoding drops of one gradient is kept in a residual and
 * added to the next, so that nothing is lost, only late (Seide et al. 2014; Karimireddy et al.
 * 2019).
 *
 * With every operation rounded to f32: sum = values + residual; the bytes are those of the sum;
 * residual = sum - decoded. So a value that a sparse codec keeps leaves a residual of exactly zero,
 * and one that it drops stays whole.
 *
 * Invariant: an encoding that fails leaves the residual as it was.
 */
import type { Conversions } from "../../kernels/conversions.js";
import type { Codec, EncodeSettings } from "./codec.js";
import { type Allocate, allocateAnywhere, reused } from "./dense.js";

/** One codec with feedback; the caller keeps a residual for each stream of gradients. */
export class ErrorFeedback {
  readonly #codec: Codec;
  readonly #conversions: Conversions;
  readonly #scratch: Allocate;

  /** @param allocate gives memory, best where the conversions use it in place. */
  constructor(codec: Codec, conversions: Conversions, allocate: Allocate = allocateAnywhere) {
    this.#codec = codec;
    this.#conversions = conversions;
    this.#scratch = reused(allocate);
  }

  /**
   * Encodes values with what was dropped before, and keeps what is dropped in the residual.
   * @param residual as long as the values; zeros to begin with.
   * @returns the bytes used. Throws as the codec does.
   */
  encode(
    values: Float32Array,
    residual: Float32Array,
    bytes: Uint8Array,
    settings: EncodeSettings,
  ): number {
    const sum = this.#scratch(values.length);
    this.#conversions.add(values, residual, sum);
    const used = this.#codec.encode(sum, bytes, settings);
    residual.set(sum);
    this.#codec.accumulate(bytes.subarray(0, used), residual, -1);
    return used;
  }
}
