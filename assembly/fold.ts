/**
 * Rank-order folds of up to four vectors in one pass: (((f0 x0 + f1 x1) + f2 x2) + f3 x3) * last,
 * every operation rounded. More vectors take several passes, of which each begins with the sum so
 * far and a factor of 1; a plain sum has factors of 1, which change no bit. `out` may be `x0`.
 * Each returns 1 when every value that it wrote is finite, which costs no further pass.
 */
import { allFinite, loadUpTo, magnitudes, storeUpTo } from "./lanes";

@inline
function plus(sum: v128, factor: v128, x: v128): v128 {
  return f32x4.add(sum, f32x4.mul(factor, x));
}

export function fold1(out: usize, x0: usize, length: i32, f0: f32, last: f32): i32 {
  const f0s = f32x4.splat(f0);
  const lasts = f32x4.splat(last);
  const whole = <usize>(length & ~3) << 2;
  const wide = <usize>(length & ~15) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  let most = i32x4.splat(0);
  let most1 = most;
  // The fold of a single worker: four vectors at a time keep the loads busy.
  for (; at < wide; at += 64) {
    const value0 = f32x4.mul(f32x4.mul(f0s, v128.load(x0 + at)), lasts);
    const value1 = f32x4.mul(f32x4.mul(f0s, v128.load(x0 + at, 16)), lasts);
    const value2 = f32x4.mul(f32x4.mul(f0s, v128.load(x0 + at, 32)), lasts);
    const value3 = f32x4.mul(f32x4.mul(f0s, v128.load(x0 + at, 48)), lasts);
    v128.store(out + at, value0);
    v128.store(out + at, value1, 16);
    v128.store(out + at, value2, 32);
    v128.store(out + at, value3, 48);
    most = i32x4.max_u(most, i32x4.max_u(magnitudes(value0), magnitudes(value1)));
    most1 = i32x4.max_u(most1, i32x4.max_u(magnitudes(value2), magnitudes(value3)));
  }
  most = i32x4.max_u(most, most1);
  for (; at < whole; at += 16) {
    const value = f32x4.mul(f32x4.mul(f0s, v128.load(x0 + at)), lasts);
    v128.store(out + at, value);
    most = i32x4.max_u(most, magnitudes(value));
  }
  if (rest == 0) return allFinite(most);
  const value = f32x4.mul(f32x4.mul(f0s, loadUpTo(x0 + at, rest)), lasts);
  storeUpTo(out + at, value, rest);
  return allFinite(i32x4.max_u(most, magnitudes(value)));
}

export function fold2(
  out: usize,
  x0: usize,
  x1: usize,
  length: i32,
  f0: f32,
  f1: f32,
  last: f32,
): i32 {
  const f0s = f32x4.splat(f0);
  const f1s = f32x4.splat(f1);
  const lasts = f32x4.splat(last);
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  let most = i32x4.splat(0);
  for (; at < whole; at += 16) {
    const sum = plus(f32x4.mul(f0s, v128.load(x0 + at)), f1s, v128.load(x1 + at));
    const value = f32x4.mul(sum, lasts);
    v128.store(out + at, value);
    most = i32x4.max_u(most, magnitudes(value));
  }
  if (rest == 0) return allFinite(most);
  const sum = plus(f32x4.mul(f0s, loadUpTo(x0 + at, rest)), f1s, loadUpTo(x1 + at, rest));
  const value = f32x4.mul(sum, lasts);
  storeUpTo(out + at, value, rest);
  return allFinite(i32x4.max_u(most, magnitudes(value)));
}

export function fold3(
  out: usize,
  x0: usize,
  x1: usize,
  x2: usize,
  length: i32,
  f0: f32,
  f1: f32,
  f2: f32,
  last: f32,
): i32 {
  const f0s = f32x4.splat(f0);
  const f1s = f32x4.splat(f1);
  const f2s = f32x4.splat(f2);
  const lasts = f32x4.splat(last);
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  let most = i32x4.splat(0);
  for (; at < whole; at += 16) {
    const two = plus(f32x4.mul(f0s, v128.load(x0 + at)), f1s, v128.load(x1 + at));
    const value = f32x4.mul(plus(two, f2s, v128.load(x2 + at)), lasts);
    v128.store(out + at, value);
    most = i32x4.max_u(most, magnitudes(value));
  }
  if (rest == 0) return allFinite(most);
  const two = plus(f32x4.mul(f0s, loadUpTo(x0 + at, rest)), f1s, loadUpTo(x1 + at, rest));
  const value = f32x4.mul(plus(two, f2s, loadUpTo(x2 + at, rest)), lasts);
  storeUpTo(out + at, value, rest);
  return allFinite(i32x4.max_u(most, magnitudes(value)));
}

export function fold4(
  out: usize,
  x0: usize,
  x1: usize,
  x2: usize,
  x3: usize,
  length: i32,
  f0: f32,
  f1: f32,
  f2: f32,
  f3: f32,
  last: f32,
): i32 {
  const f0s = f32x4.splat(f0);
  const f1s = f32x4.splat(f1);
  const f2s = f32x4.splat(f2);
  const f3s = f32x4.splat(f3);
  const lasts = f32x4.splat(last);
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  let most = i32x4.splat(0);
  for (; at < whole; at += 16) {
    const two = plus(f32x4.mul(f0s, v128.load(x0 + at)), f1s, v128.load(x1 + at));
    const three = plus(two, f2s, v128.load(x2 + at));
    const value = f32x4.mul(plus(three, f3s, v128.load(x3 + at)), lasts);
    v128.store(out + at, value);
    most = i32x4.max_u(most, magnitudes(value));
  }
  if (rest == 0) return allFinite(most);
  const two = plus(f32x4.mul(f0s, loadUpTo(x0 + at, rest)), f1s, loadUpTo(x1 + at, rest));
  const three = plus(two, f2s, loadUpTo(x2 + at, rest));
  const value = f32x4.mul(plus(three, f3s, loadUpTo(x3 + at, rest)), lasts);
  storeUpTo(out + at, value, rest);
  return allFinite(i32x4.max_u(most, magnitudes(value)));
}
