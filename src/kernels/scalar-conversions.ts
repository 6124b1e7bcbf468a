/**
 * The scalar conversions, the obvious loops: the definition of every bit, the oracle of the SIMD
 * kernels and the fallback where those can't run.
 *
 * Floats are looked at through their bits, since a NaN that passes through a number may lose its
 * payload.
 */

import {
  checkBlocks,
  checkBytes,
  checkPair,
  checkSelection,
  checkSigns,
} from "./conversion-checks.js";
import type { Conversions, Overflow } from "./conversions.js";
import { mix, roundingBits } from "./rounding.js";
import { xxh32 } from "./xxh32.js";

const fround = Math.fround;
const magnitudeMask = 0x7fffffff;
const infinityBits = 0x7f800000;

/** The scalar conversions. */
export const scalarConversions: Conversions = {
  name: "scalar",

  halvesFromFloats(values, bytes, overflow) {
    checkBytes(values, bytes, 2);
    const bits = bitsOf(values);
    for (let index = 0; index < bits.length; index++) {
      const half = halfBits(bits[index]!, overflow);
      bytes[2 * index] = half;
      bytes[2 * index + 1] = half >>> 8;
    }
  },

  floatsFromHalves(bytes, values) {
    checkBytes(values, bytes, 2);
    const bits = bitsOf(values);
    for (let index = 0; index < bits.length; index++) {
      bits[index] = floatBits(bytes[2 * index]! | (bytes[2 * index + 1]! << 8));
    }
  },

  bfloatsFromFloats(values, bytes, overflow) {
    checkBytes(values, bytes, 2);
    const bits = bitsOf(values);
    for (let index = 0; index < bits.length; index++) {
      const bfloat = bfloatBits(bits[index]!, overflow);
      bytes[2 * index] = bfloat;
      bytes[2 * index + 1] = bfloat >>> 8;
    }
  },

  floatsFromBfloats(bytes, values) {
    checkBytes(values, bytes, 2);
    const bits = bitsOf(values);
    for (let index = 0; index < bits.length; index++) {
      bits[index] = (bytes[2 * index]! << 16) | (bytes[2 * index + 1]! << 24);
    }
  },

  quantise(values, blockValues, seed, scales, codes) {
    checkBlocks(values, blockValues, scales, codes);
    const view = viewOf(scales);
    const key = mix(seed);
    for (let start = 0; start < values.length; start += blockValues) {
      const end = Math.min(values.length, start + blockValues);
      const scale = quantiseBlock(values.subarray(start, end), codes.subarray(start, end), {
        key,
        start,
      });
      view.setUint32((start / blockValues) * 4, scale, true);
    }
  },

  dequantise(scales, codes, blockValues, values) {
    checkBlocks(values, blockValues, scales, codes);
    const view = viewOf(scales);
    for (let index = 0; index < values.length; index++) {
      const scale = view.getFloat32(Math.floor(index / blockValues) * 4, true);
      values[index] = scale * ((codes[index]! << 24) >> 24);
    }
  },

  topK(values, k, indices, picked) {
    checkSelection(values, k, indices, picked);
    const bits = bitsOf(values);
    const magnitudes = Uint32Array.from(bits, (word) => word & magnitudeMask);
    const threshold = k === 0 ? infinityBits * 2 : magnitudes.slice().sort()[values.length - k]!;
    let ties = k;
    for (const magnitude of magnitudes) if (magnitude > threshold) ties--;
    const out = bitsOf(picked);
    let found = 0;
    for (let index = 0; found < k; index++) {
      const magnitude = magnitudes[index]!;
      if (magnitude < threshold || (magnitude === threshold && --ties < 0)) continue;
      indices[found] = index;
      out[found] = bits[index]!;
      found++;
    }
  },

  packSigns(values, blockValues, scales, bits) {
    checkSigns(values, blockValues, scales, bits);
    const view = viewOf(scales);
    const words = bitsOf(values);
    bits.fill(0);
    for (let index = 0; index < values.length; index++) {
      bits[index >> 3] = bits[index >> 3]! | ((words[index]! >>> 31) << (index & 7));
    }
    for (let start = 0; start < values.length; start += blockValues) {
      const mean = meanMagnitude(values.subarray(start, start + blockValues));
      view.setFloat32((start / blockValues) * 4, mean, true);
    }
  },

  unpackSigns(scales, bits, blockValues, values) {
    checkSigns(values, blockValues, scales, bits);
    const view = viewOf(scales);
    for (let index = 0; index < values.length; index++) {
      const scale = view.getFloat32(Math.floor(index / blockValues) * 4, true);
      values[index] = ((bits[index >> 3]! >>> (index & 7)) & 1) === 1 ? -scale : scale;
    }
  },

  add(left, right, out) {
    checkPair(left, right, out);
    for (let index = 0; index < out.length; index++) out[index] = left[index]! + right[index]!;
  },

  subtract(left, right, out) {
    checkPair(left, right, out);
    for (let index = 0; index < out.length; index++) out[index] = left[index]! - right[index]!;
  },

  finite(values) {
    return bitsOf(values).every((word) => (word & infinityBits) !== infinityBits);
  },

  checksum: xxh32,
};

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function meanMagnitude(values: Float32Array): number {
  const sums = [0, 0, 0, 0, 0, 0, 0, 0] as EightSums;
  for (let index = 0; index < values.length; index++) {
    sums[index & 7] = sums[index & 7]! + Math.abs(values[index]!);
  }
  const [a, b, c, d, e, f, g, h] = sums;
  return (a + b + (c + d) + (e + f + (g + h))) / values.length;
}

type EightSums = [number, number, number, number, number, number, number, number];

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function halfBits(bits: number, overflow: Overflow): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & magnitudeMask;
  if (magnitude > infinityBits) return sign | 0x7e00;
  if (magnitude === infinityBits) return sign | 0x7c00;
  // 65520 lies halfway between the largest half and the next power of two.
  if (magnitude >= 0x477ff000) return sign | (overflow === "saturate" ? 0x7bff : 0x7c00);
  // Below 2^-14 halves are whole multiples of 2^-24; 1024 of them carry into the first normal one.
  if (magnitude < 0x38800000) return sign | roundToEven(floatOf(magnitude) * 2 ** 24);
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return below + (rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? 1 : 0);
}

function floatBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00) return sign | infinityBits | ((magnitude & 0x3ff) << 13);
  if (magnitude >= 0x400) return sign | ((magnitude << 13) + 0x38000000);
  return sign | wordOf(magnitude * 2 ** -24);
}

function bfloatBits(bits: number, overflow: Overflow): number {
  const magnitude = bits & magnitudeMask;
  if (magnitude > infinityBits) return (bits >>> 16) | 0x40;
  const rounded = (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  const overflowed = (rounded & 0x7fff) === 0x7f80 && magnitude !== infinityBits;
  return overflowed && overflow === "saturate" ? rounded - 1 : rounded;
}

/** Fills the codes of one block and returns the bits of its scale. */
function quantiseBlock(
  values: Float32Array,
  codes: Uint8Array,
  { key, start }: { readonly key: number; readonly start: number },
): number {
  const largest = bitsOf(values).reduce((most, word) => Math.max(most, word & magnitudeMask), 0);
  const inverse = fround(127 / floatOf(largest));
  if (largest >= infinityBits || inverse === Number.POSITIVE_INFINITY) {
    codes.fill(0);
    return largest >= infinityBits ? largest : 0;
  }
  for (let index = 0; index < values.length; index++) {
    const u = (2 * roundingBits(key, start + index) + 1) / 2 ** 17;
    const code = Math.floor(fround(fround(values[index]! * inverse) + u));
    codes[index] = Math.max(-127, Math.min(127, code));
  }
  return wordOf(floatOf(largest) / 127);
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

function floatOf(bits: number): number {
  word[0] = bits;
  return float[0]!;
}

function wordOf(value: number): number {
  float[0] = value;
  return word[0]!;
}
