/**
 * What codecs ask of kernels: values to fewer bytes and back, selections, sums and checksums.
 *
 * Every implementation gives the same bits, and scalar-conversions.ts writes them down.
 * Bytes are little-endian and need no alignment. Views that a call writes overlap none that it
 * reads, unless it says so.
 */

/** How a finite value that is too large for its form is written: as infinity, or as the largest. */
export type Overflow = "infinity" | "saturate";

/** One implementation of the conversions. */
export interface Conversions {
  /** For manifests and reports. */
  readonly name: string;

  /**
   * f32 to IEEE 754 binary16, two bytes a value, to the nearest and ties to even, denormals
   * included. Infinities stay; a NaN becomes the quiet one of its sign.
   */
  halvesFromFloats(values: Float32Array, bytes: Uint8Array, overflow: Overflow): void;

  /** Binary16 to f32, exact; a NaN keeps its payload. */
  floatsFromHalves(bytes: Uint8Array, values: Float32Array): void;

  /**
   * f32 to bfloat16, two bytes a value, to the nearest and ties to even. Infinities stay; a NaN
   * keeps its upper bits and becomes quiet.
   */
  bfloatsFromFloats(values: Float32Array, bytes: Uint8Array, overflow: Overflow): void;

  /** bfloat16 to f32, exact. */
  floatsFromBfloats(bytes: Uint8Array, values: Float32Array): void;

  /**
   * Blocks of `blockValues` (a multiple of 16) to one f32 scale in `scales` and one signed byte a
   * value in `codes`, rounded at random so that the mean is right: with a = max |x| of the block,
   *
   *   scale = fround(a / 127), code = floor(fround(fround(x * fround(127 / a)) + u)) in -127 .. 127
   *
   * where u = (2 r + 1) / 2^17 and r are the 16 bits that rounding.ts gives for (seed, index of
   * the value). A whole multiple of the scale therefore keeps its value. Where 127 / a has no f32,
   * scale and codes are 0; where a is an infinity or a NaN it is the scale, and the codes are 0, so
   * that the block comes back as NaN and is refused.
   */
  quantise(
    values: Float32Array,
    blockValues: number,
    seed: number,
    scales: Uint8Array,
    codes: Uint8Array,
  ): void;

  /** value = fround(scale * code). */
  dequantise(
    scales: Uint8Array,
    codes: Uint8Array,
    blockValues: number,
    values: Float32Array,
  ): void;

  /**
   * The `k` values of largest magnitude, equal ones by the lowest index: their indices, ascending,
   * and the values as they are. A NaN counts as larger than everything.
   */
  topK(values: Float32Array, k: number, indices: Uint32Array, picked: Float32Array): void;

  /**
   * One bit a value in `bits`, set where the sign is negative (-0 too), and for each block of
   * `blockValues` (a multiple of 16) the mean of |x| as f32 in `scales`. Value i is bit i & 7 of
   * byte i >> 3; bits past the last value are 0. The mean is rounded once: sums in f64 of the
   * block's values at indices equal modulo 8, in ascending order, then ((s0 + s1) + (s2 + s3)) +
   * ((s4 + s5) + (s6 + s7)), divided by their count.
   */
  packSigns(values: Float32Array, blockValues: number, scales: Uint8Array, bits: Uint8Array): void;

  /** -scale where the bit is set, else scale. */
  unpackSigns(
    scales: Uint8Array,
    bits: Uint8Array,
    blockValues: number,
    values: Float32Array,
  ): void;

  /** out = left + right; `out` may be either. */
  add(left: Float32Array, right: Float32Array, out: Float32Array): void;

  /** out = left - right; `out` may be either. */
  subtract(left: Float32Array, right: Float32Array, out: Float32Array): void;

  /** False when any value is an infinity or not a number. */
  finite(values: Float32Array): boolean;

  /** XXH32 (Collet, "xxHash fast digest algorithm"), an unsigned 32-bit number. */
  checksum(bytes: Uint8Array, seed: number): number;
}
