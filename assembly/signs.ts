/**
 * One bit a value, and the mean magnitude of each block. A block's sum runs in f64 over eight
 * lanes, as src/kernels/conversions.ts says; lanes past the end are zero and change nothing.
 */
import { loadUpTo, storeUpTo } from "./lanes";

@inline
function upperPair(x: v128): v128 {
  return f64x2.promote_low_f32x4(i64x2.shuffle(x, x, 1, 0));
}

@inline
function total(pair: v128): f64 {
  return f64x2.extract_lane(pair, 0) + f64x2.extract_lane(pair, 1);
}

/** Packs the signs of one block and returns the sum of its magnitudes. */
function packBlock(from: usize, length: i32, to: usize): f64 {
  let s01 = f64x2.splat(0);
  let s23 = s01;
  let s45 = s01;
  let s67 = s01;
  for (; length >= 8; length -= 8) {
    const low = v128.load(from);
    const high = v128.load(from, 16);
    store<u8>(to, <u8>(i32x4.bitmask(low) | (i32x4.bitmask(high) << 4)));
    const lowSize = f32x4.abs(low);
    const highSize = f32x4.abs(high);
    s01 = f64x2.add(s01, f64x2.promote_low_f32x4(lowSize));
    s23 = f64x2.add(s23, upperPair(lowSize));
    s45 = f64x2.add(s45, f64x2.promote_low_f32x4(highSize));
    s67 = f64x2.add(s67, upperPair(highSize));
    from += 32;
    to += 1;
  }
  if (length > 0) {
    const low = loadUpTo(from, length << 2);
    const high = loadUpTo(from + 16, (length - 4) << 2);
    store<u8>(to, <u8>(i32x4.bitmask(low) | (i32x4.bitmask(high) << 4)));
    const lowSize = f32x4.abs(low);
    const highSize = f32x4.abs(high);
    s01 = f64x2.add(s01, f64x2.promote_low_f32x4(lowSize));
    s23 = f64x2.add(s23, upperPair(lowSize));
    s45 = f64x2.add(s45, f64x2.promote_low_f32x4(highSize));
    s67 = f64x2.add(s67, upperPair(highSize));
  }
  return total(s01) + total(s23) + (total(s45) + total(s67));
}

export function packSigns(from: usize, length: i32, block: i32, scales: usize, bits: usize): void {
  for (; length > 0; length -= block) {
    const here = min<i32>(block, length);
    store<f32>(scales, <f32>(packBlock(from, here, bits) / <f64>here));
    scales += 4;
    from += <usize>block << 2;
    bits += <usize>block >> 3;
  }
}

/** The sign bits of four values whose lanes' own bits are `lanes`. */
@inline
function signsOf(bits: v128, lanes: v128): v128 {
  return v128.and(i32x4.eq(v128.and(bits, lanes), lanes), i32x4.splat(0x80000000));
}

function unpackBlock(from: usize, scales: v128, to: usize, length: i32): void {
  const lowBits = i32x4(1, 2, 4, 8);
  const highBits = i32x4(16, 32, 64, 128);
  for (; length >= 8; length -= 8) {
    const bits = i32x4.splat(load<u8>(from));
    v128.store(to, v128.xor(scales, signsOf(bits, lowBits)));
    v128.store(to, v128.xor(scales, signsOf(bits, highBits)), 16);
    from += 1;
    to += 32;
  }
  if (length == 0) return;
  const bits = i32x4.splat(load<u8>(from));
  storeUpTo(to, v128.xor(scales, signsOf(bits, lowBits)), length << 2);
  storeUpTo(to + 16, v128.xor(scales, signsOf(bits, highBits)), (length - 4) << 2);
}

export function unpackSigns(scales: usize, bits: usize, block: i32, to: usize, length: i32): void {
  for (; length > 0; length -= block) {
    unpackBlock(bits, v128.load32_splat(scales), to, min<i32>(block, length));
    scales += 4;
    bits += <usize>block >> 3;
    to += <usize>block << 2;
  }
}
