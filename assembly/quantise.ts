/**
 * Blocks of f32 to one scale and one signed byte a value, rounded at random. The formula and its
 * order of rounding are those of src/kernels/conversions.ts, the random bits those of
 * src/kernels/rounding.ts: four words serve eight values, lower halves first.
 */
import { loadUpTo, storeUpTo } from "./lanes";

const golden: i32 = 0x9e3779b9;
const infinity: i32 = 0x7f800000;

@inline
function mix(word: v128): v128 {
  word = v128.xor(word, i32x4.shr_u(word, 16));
  word = i32x4.mul(word, i32x4.splat(0x21f0aaad));
  word = v128.xor(word, i32x4.shr_u(word, 15));
  word = i32x4.mul(word, i32x4.splat(0x735a2d97));
  return v128.xor(word, i32x4.shr_u(word, 15));
}

/** Codes of four values as i32 lanes; `random` holds 16 bits in bits 7 to 22. */
@inline
function codeOf(x: v128, inverse: v128, random: v128): v128 {
  // 1 + u, since bit 6 of the fraction is 2^-17.
  const above = v128.or(random, i32x4.splat(0x3f800040));
  const u = f32x4.sub(above, f32x4.splat(1));
  const code = f32x4.floor(f32x4.add(f32x4.mul(x, inverse), u));
  // 1.5 * 2^23 has an ulp of 1: the sum's bits count whole numbers.
  return i32x4.sub(f32x4.add(code, f32x4.splat(12582912)), i32x4.splat(0x4b400000));
}

@inline
function lowerBits(words: v128): v128 {
  return i32x4.shl(v128.and(words, i32x4.splat(0xffff)), 7);
}

@inline
function upperBits(words: v128): v128 {
  return i32x4.shl(i32x4.shr_u(words, 16), 7);
}

/** The largest magnitude as bits. */
function largestOf(at: usize, length: i32): i32 {
  let most = i32x4.splat(0);
  for (; length > 0; length -= 4) {
    const x = loadUpTo(at, length << 2);
    most = i32x4.max_s(most, v128.and(x, i32x4.splat(0x7fffffff)));
    at += 16;
  }
  const two = i32x4.max_s(most, i64x2.shuffle(most, most, 1, 0));
  return max<i32>(i32x4.extract_lane(two, 0), i32x4.extract_lane(two, 1));
}

/** The codes of a block that starts at value `start` of the whole. */
function codesOf(from: usize, length: i32, start: i32, key: i32, inverse: f32, to: usize): void {
  const inverses = f32x4.splat(inverse);
  const step = i32x4.splat(golden * 4);
  const lanes = i32x4.mul(i32x4(0, 1, 2, 3), i32x4.splat(golden));
  let words = i32x4.add(lanes, i32x4.splat(key + golden * ((start >>> 3) << 2)));
  for (; length > 0; length -= 16) {
    const bytes = length << 2;
    const first = mix(words);
    words = i32x4.add(words, step);
    const second = mix(words);
    words = i32x4.add(words, step);
    const a = codeOf(loadUpTo(from, bytes), inverses, lowerBits(first));
    const b = codeOf(loadUpTo(from + 16, bytes - 16), inverses, upperBits(first));
    const c = codeOf(loadUpTo(from + 32, bytes - 32), inverses, lowerBits(second));
    const d = codeOf(loadUpTo(from + 48, bytes - 48), inverses, upperBits(second));
    const low = i16x8.narrow_i32x4_s(a, b);
    const codes = i8x16.narrow_i16x8_s(low, i16x8.narrow_i32x4_s(c, d));
    storeUpTo(to, i8x16.max_s(codes, i8x16.splat(-127)), length);
    from += 64;
    to += 16;
  }
}

export function quantise(
  from: usize,
  length: i32,
  block: i32,
  key: i32,
  scales: usize,
  codes: usize,
): void {
  for (let start = 0; start < length; start += block) {
    const here = min<i32>(block, length - start);
    const at = from + (<usize>start << 2);
    const largest = largestOf(at, here);
    const inverse: f32 = <f32>127 / reinterpret<f32>(largest);
    if (largest >= infinity || inverse == <f32>Infinity) {
      store<i32>(scales, largest >= infinity ? largest : 0);
      memory.fill(codes + start, 0, here);
    } else {
      store<f32>(scales, reinterpret<f32>(largest) / <f32>127);
      codesOf(at, here, start, key, inverse, codes + start);
    }
    scales += 4;
  }
}

@inline
function valueOf(codes: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(codes), scale);
}

export function dequantise(scales: usize, codes: usize, block: i32, to: usize, length: i32): void {
  for (let start = 0; start < length; start += block) {
    const scale = v128.load32_splat(scales);
    scales += 4;
    for (let left = min<i32>(block, length - start); left > 0; left -= 16) {
      const bytes = loadUpTo(codes, left);
      const low = i16x8.extend_low_i8x16_s(bytes);
      const high = i16x8.extend_high_i8x16_s(bytes);
      const size = left << 2;
      storeUpTo(to, valueOf(i32x4.extend_low_i16x8_s(low), scale), size);
      storeUpTo(to + 16, valueOf(i32x4.extend_high_i16x8_s(low), scale), size - 16);
      storeUpTo(to + 32, valueOf(i32x4.extend_low_i16x8_s(high), scale), size - 32);
      storeUpTo(to + 48, valueOf(i32x4.extend_high_i16x8_s(high), scale), size - 48);
      codes += 16;
      to += 64;
    }
  }
}
