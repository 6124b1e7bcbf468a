/**
 * f32 to binary16 and bfloat16 and back, eight values at a time. Everything but one sum and one
 * product of denormals is integer arithmetic on the bits, so that a NaN's payload and a denormal
 * survive on every machine.
 */
import { loadUpTo, storeUpTo } from "./lanes";

const infinity: i32 = 0x7f800000;

/** Four f32 as binary16 in the lower half of each lane; finite values stop at `ceiling`. */
@inline
function halfOf(x: v128, ceiling: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const moved = i32x4.add(magnitude, i32x4.splat(0xfff - 0x38000000));
  const normal = i32x4.shr_u(i32x4.add(moved, odd), 13);
  // The ulp of [0.5, 1) is that of denormal halves, so this sum rounds as they are rounded.
  const sum = f32x4.add(magnitude, f32x4.splat(0.5));
  const denormal = i32x4.sub(sum, i32x4.splat(0x3f000000));
  const small = i32x4.lt_s(magnitude, i32x4.splat(0x38800000));
  const bounded = i32x4.min_s(v128.bitselect(denormal, normal, small), ceiling);
  const special = i32x4.ge_s(magnitude, i32x4.splat(infinity));
  const isNaN = i32x4.gt_s(magnitude, i32x4.splat(infinity));
  const quiet = v128.and(isNaN, i32x4.splat(0x200));
  const half = v128.bitselect(v128.or(i32x4.splat(0x7c00), quiet), bounded, special);
  return v128.or(half, v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000)));
}

/** Four f32 from binary16 in the lower half of each lane. */
@inline
function floatOf(half: v128): v128 {
  const magnitude = v128.and(half, i32x4.splat(0x7fff));
  const special = i32x4.ge_s(magnitude, i32x4.splat(0x7c00));
  const rebiased = v128.bitselect(i32x4.splat(0x70000000), i32x4.splat(0x38000000), special);
  const normal = i32x4.add(i32x4.shl(magnitude, 13), rebiased);
  const scaled = f32x4.mul(f32x4.convert_i32x4_s(magnitude), f32x4.splat(5.9604644775390625e-8));
  const small = i32x4.lt_s(magnitude, i32x4.splat(0x400));
  const sign = i32x4.shl(v128.and(half, i32x4.splat(0x8000)), 16);
  return v128.or(v128.bitselect(scaled, normal, small), sign);
}

/** Four f32 as bfloat16 in the lower half of each lane; `stop` has all bits set to saturate. */
@inline
function bfloatOf(x: v128, stop: v128): v128 {
  const upper = i32x4.shr_u(x, 16);
  const odd = v128.and(upper, i32x4.splat(1));
  const sum = i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd);
  const rounded = i32x4.shr_u(sum, 16);
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const isFinite = i32x4.lt_s(magnitude, i32x4.splat(infinity));
  const reached = i32x4.eq(v128.and(rounded, i32x4.splat(0x7fff)), i32x4.splat(0x7f80));
  const bounded = i32x4.add(rounded, v128.and(v128.and(isFinite, reached), stop));
  const isNaN = i32x4.gt_s(magnitude, i32x4.splat(infinity));
  return v128.bitselect(v128.or(upper, i32x4.splat(0x40)), bounded, isNaN);
}

export function halvesFromFloats(from: usize, to: usize, length: i32, saturate: i32): void {
  const ceiling = i32x4.splat(saturate ? 0x7bff : 0x7c00);
  for (; length >= 8; length -= 8) {
    const low = halfOf(v128.load(from), ceiling);
    v128.store(to, i16x8.narrow_i32x4_u(low, halfOf(v128.load(from, 16), ceiling)));
    from += 32;
    to += 16;
  }
  if (length == 0) return;
  const low = halfOf(loadUpTo(from, length << 2), ceiling);
  const high = halfOf(loadUpTo(from + 16, (length - 4) << 2), ceiling);
  storeUpTo(to, i16x8.narrow_i32x4_u(low, high), length << 1);
}

export function floatsFromHalves(from: usize, to: usize, length: i32): void {
  for (; length >= 8; length -= 8) {
    const halves = v128.load(from);
    v128.store(to, floatOf(i32x4.extend_low_i16x8_u(halves)));
    v128.store(to, floatOf(i32x4.extend_high_i16x8_u(halves)), 16);
    from += 16;
    to += 32;
  }
  if (length == 0) return;
  const halves = loadUpTo(from, length << 1);
  storeUpTo(to, floatOf(i32x4.extend_low_i16x8_u(halves)), length << 2);
  storeUpTo(to + 16, floatOf(i32x4.extend_high_i16x8_u(halves)), (length - 4) << 2);
}

export function bfloatsFromFloats(from: usize, to: usize, length: i32, saturate: i32): void {
  const stop = i32x4.splat(saturate ? -1 : 0);
  for (; length >= 8; length -= 8) {
    const low = bfloatOf(v128.load(from), stop);
    v128.store(to, i16x8.narrow_i32x4_u(low, bfloatOf(v128.load(from, 16), stop)));
    from += 32;
    to += 16;
  }
  if (length == 0) return;
  const low = bfloatOf(loadUpTo(from, length << 2), stop);
  const high = bfloatOf(loadUpTo(from + 16, (length - 4) << 2), stop);
  storeUpTo(to, i16x8.narrow_i32x4_u(low, high), length << 1);
}

export function floatsFromBfloats(from: usize, to: usize, length: i32): void {
  for (; length >= 8; length -= 8) {
    const bfloats = v128.load(from);
    v128.store(to, i32x4.shl(i32x4.extend_low_i16x8_u(bfloats), 16));
    v128.store(to, i32x4.shl(i32x4.extend_high_i16x8_u(bfloats), 16), 16);
    from += 16;
    to += 32;
  }
  if (length == 0) return;
  const bfloats = loadUpTo(from, length << 1);
  storeUpTo(to, i32x4.shl(i32x4.extend_low_i16x8_u(bfloats), 16), length << 2);
  storeUpTo(to + 16, i32x4.shl(i32x4.extend_high_i16x8_u(bfloats), 16), (length - 4) << 2);
}
