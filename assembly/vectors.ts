/** What needs no formula: finite check, copy, fill, sum and difference of two vectors. */
import { loadUpTo, magnitudes, storeUpTo } from "./lanes";

/**
 * The largest magnitude: the bits of that value shifted left by one, 0xff000000 or more where a
 * value is not finite. Sixteen lanes at a time keep the loads busy.
 */
export function largest(at: usize, length: i32): u32 {
  let most0 = i32x4.splat(0);
  let most1 = most0;
  let most2 = most0;
  let most3 = most0;
  for (; length >= 16; length -= 16) {
    most0 = i32x4.max_u(most0, magnitudes(v128.load(at)));
    most1 = i32x4.max_u(most1, magnitudes(v128.load(at, 16)));
    most2 = i32x4.max_u(most2, magnitudes(v128.load(at, 32)));
    most3 = i32x4.max_u(most3, magnitudes(v128.load(at, 48)));
    at += 64;
  }
  for (; length > 0; length -= 4) {
    most0 = i32x4.max_u(most0, magnitudes(loadUpTo(at, length << 2)));
    at += 16;
  }
  const most = i32x4.max_u(i32x4.max_u(most0, most1), i32x4.max_u(most2, most3));
  const first: u32 = i32x4.extract_lane(most, 0);
  const second: u32 = i32x4.extract_lane(most, 1);
  const third: u32 = i32x4.extract_lane(most, 2);
  const fourth: u32 = i32x4.extract_lane(most, 3);
  return max(max(first, second), max(third, fourth));
}

/** 1 when every value is finite. */
export function finite(at: usize, length: i32): i32 {
  return largest(at, length) < 0xff000000 ? 1 : 0;
}

export function copy(from: usize, to: usize, bytes: usize): void {
  memory.copy(to, from, bytes);
}

export function fill(at: usize, length: i32, value: f32): void {
  const values = f32x4.splat(value);
  for (; length >= 4; length -= 4) {
    v128.store(at, values);
    at += 16;
  }
  storeUpTo(at, values, length << 2);
}

export function add(left: usize, right: usize, out: usize, length: i32): void {
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  for (; at < whole; at += 16) {
    v128.store(out + at, f32x4.add(v128.load(left + at), v128.load(right + at)));
  }
  storeUpTo(out + at, f32x4.add(loadUpTo(left + at, rest), loadUpTo(right + at, rest)), rest);
}

export function subtract(left: usize, right: usize, out: usize, length: i32): void {
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  for (; at < whole; at += 16) {
    v128.store(out + at, f32x4.sub(v128.load(left + at), v128.load(right + at)));
  }
  storeUpTo(out + at, f32x4.sub(loadUpTo(left + at, rest), loadUpTo(right + at, rest)), rest);
}
