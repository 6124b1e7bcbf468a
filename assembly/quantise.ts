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
  const mask = i32x4.splat(0x7fffffff);
  let most = i32x4.splat(0);
  let other = most;
  for (; length >= 8; length -= 8) {
    most = i32x4.max_s(most, v128.and(v128.load(at), mask));
    other = i32x4.max_s(other, v128.and(v128.load(at, 16), mask));
    at += 32;
  }
  most = i32x4.max_s(most, v128.and(loadUpTo(at, length << 2), mask));
  other = i32x4.max_s(other, v128.and(loadUpTo(at + 16, (length - 4) << 2), mask));
  most = i32x4.max_s(most, other);
  const two = i32x4.max_s(most, i64x2.shuffle(most, most, 1, 0));
  return max<i32>(i32x4.extract_lane(two, 0), i32x4.extract_lane(two, 1));
}

@inline
function narrowed(a: v128, b: v128, c: v128, d: v128): v128 {
  const codes = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
  return i8x16.max_s(codes, i8x16.splat(-127));
}

/** The codes of a block that starts at value `start` of the whole. */
function codesOf(from: usize, length: i32, start: i32, key: i32, inverse: f32, to: usize): void {
  const inverses = f32x4.splat(inverse);
  const step = i32x4.splat(golden * 4);
  const lanes = i32x4.mul(i32x4(0, 1, 2, 3), i32x4.splat(golden));
  let words = i32x4.add(lanes, i32x4.splat(key + golden * ((start >>> 3) << 2)));
  for (; length >= 16; length -= 16) {
    const first = mix(words);
    words = i32x4.add(words, step);
    const second = mix(words);
    words = i32x4.add(words, step);
    const a = codeOf(v128.load(from), inverses, lowerBits(first));
    const b = codeOf(v128.load(from, 16), inverses, upperBits(first));
    const c = codeOf(v128.load(from, 32), inverses, lowerBits(second));
    const d = codeOf(v128.load(from, 48), inverses, upperBits(second));
    v128.store(to, narrowed(a, b, c, d));
    from += 64;
    to += 16;
  }
  if (length == 0) return;
  const bytes = length << 2;
  const first = mix(words);
  const second = mix(i32x4.add(words, step));
  const a = codeOf(loadUpTo(from, bytes), inverses, lowerBits(first));
  const b = codeOf(loadUpTo(from + 16, bytes - 16), inverses, upperBits(first));
  const c = codeOf(loadUpTo(from + 32, bytes - 32), inverses, lowerBits(second));
  const d = codeOf(loadUpTo(from + 48, bytes - 48), inverses, upperBits(second));
  storeUpTo(to, narrowed(a, b, c, d), length);
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

function valuesOf(from: usize, scale: v128, to: usize, length: i32): void {
  for (; length >= 16; length -= 16) {
    const low = v128.load_ext<i8>(from);
    const high = v128.load_ext<i8>(from, 8);
    v128.store(to, valueOf(i32x4.extend_low_i16x8_s(low), scale));
    v128.store(to, valueOf(i32x4.extend_high_i16x8_s(low), scale), 16);
    v128.store(to, valueOf(i32x4.extend_low_i16x8_s(high), scale), 32);
    v128.store(to, valueOf(i32x4.extend_high_i16x8_s(high), scale), 48);
    from += 16;
    to += 64;
  }
  for (; length > 0; length -= 4) {
    const codes = i16x8.extend_low_i8x16_s(loadUpTo(from, min<i32>(4, length)));
    storeUpTo(to, valueOf(i32x4.extend_low_i16x8_s(codes), scale), length << 2);
    from += 4;
    to += 16;
  }
}

export function dequantise(scales: usize, codes: usize, block: i32, to: usize, length: i32): void {
  for (; length > 0; length -= block) {
    valuesOf(codes, v128.load32_splat(scales), to, min<i32>(block, length));
    scales += 4;
    codes += block;
    to += <usize>block << 2;
  }
}
