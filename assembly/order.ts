/**
 * Two vectors put in order value by value, as a step of a sorting network: the lesser of each pair
 * goes to the first, the greater to the second. The order is that of the bits as signed numbers
 * with the magnitudes of negative ones turned round: -NaN, -infinity, ..., -0, 0, ..., infinity,
 * NaN. It is total, so that no value is lost and results depend on nothing else.
 */
import { loadUpTo, storeUpTo } from "./lanes";

/** From bits to numbers that order like them, and back. */
@inline
function keys(bits: v128): v128 {
  return v128.xor(bits, v128.and(i32x4.shr_s(bits, 31), i32x4.splat(0x7fffffff)));
}

export function exchange(low: usize, high: usize, length: i32): void {
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  for (; at < whole; at += 16) {
    const left = keys(v128.load(low + at));
    const right = keys(v128.load(high + at));
    v128.store(low + at, keys(i32x4.min_s(left, right)));
    v128.store(high + at, keys(i32x4.max_s(left, right)));
  }
  if (rest == 0) return;
  const left = keys(loadUpTo(low + at, rest));
  const right = keys(loadUpTo(high + at, rest));
  storeUpTo(low + at, keys(i32x4.min_s(left, right)), rest);
  storeUpTo(high + at, keys(i32x4.max_s(left, right)), rest);
}
