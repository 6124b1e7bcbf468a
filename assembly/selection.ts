/**
 * The k values of largest magnitude, exactly.
 *
 * A sample says which magnitudes are surely too small; the others, not many more than k, are
 * copied out. (Should the sample mislead, all are.) Among them the k-th magnitude's 31 bits are
 * found from the top in digits of 11, 10 and 10: a histogram of the next digit, of those whose
 * upper digits are settled, says in which bin it lies. A last pass gathers what lies above it, and
 * as many equal ones as are missing, in ascending order.
 */
import { loadUpTo } from "./lanes";

const magnitudeMask: i32 = 0x7fffffff;
const bins: i32 = 2048;
const sampleStride: i32 = 16;

/** Which of 16 values from `at` have at least this magnitude, as bits. */
@inline
function hitsOf(a: v128, b: v128, c: v128, d: v128, least: v128): i32 {
  const mask = i32x4.splat(magnitudeMask);
  const low = i16x8.narrow_i32x4_s(
    i32x4.ge_s(v128.and(a, mask), least),
    i32x4.ge_s(v128.and(b, mask), least),
  );
  const high = i16x8.narrow_i32x4_s(
    i32x4.ge_s(v128.and(c, mask), least),
    i32x4.ge_s(v128.and(d, mask), least),
  );
  return i8x16.bitmask(i8x16.narrow_i16x8_s(low, high));
}

/** The same of the last values, fewer than 16. */
function lastHits(at: usize, length: i32, least: v128): i32 {
  const bytes = length << 2;
  const a = loadUpTo(at, bytes);
  const b = loadUpTo(at + 16, bytes - 16);
  const c = loadUpTo(at + 32, bytes - 32);
  const d = loadUpTo(at + 48, bytes - 48);
  return hitsOf(a, b, c, d, least) & ((1 << length) - 1);
}

/**
 * A magnitude that about half as many again as k values reach, by the top digits of every 16th
 * value; 0 where that is all of them.
 */
function floorOf(at: usize, length: i32, k: i32, counts: usize): i32 {
  memory.fill(counts, 0, bins << 2);
  for (let index = 0; index < length; index += sampleStride) {
    const digit = (load<u32>(at + (<usize>index << 2)) & magnitudeMask) >>> 20;
    const bin = counts + (digit << 2);
    store<i32>(bin, load<i32>(bin) + 1);
  }
  let wanted = (k + (k >> 1)) / sampleStride + 16;
  let digit = bins - 1;
  for (; digit > 0; digit--) {
    wanted -= load<i32>(counts + (<usize>digit << 2));
    if (wanted <= 0) break;
  }
  return digit << 20;
}

/** Copies the magnitudes that reach `floor` and returns how many they are. */
function copyLarge(at: usize, length: i32, floor: i32, to: usize): i32 {
  const least = i32x4.splat(floor);
  const start = to;
  for (; length > 0; length -= 16) {
    let hits =
      length >= 16
        ? hitsOf(v128.load(at), v128.load(at, 16), v128.load(at, 32), v128.load(at, 48), least)
        : lastHits(at, length, least);
    for (; hits != 0; hits &= hits - 1) {
      store<i32>(to, load<i32>(at + (<usize>ctz(hits) << 2)) & magnitudeMask);
      to += 4;
    }
    at += 64;
  }
  return <i32>((to - start) >> 2);
}

/** The histogram of a digit of `width` bits from `shift`, of magnitudes that begin with `upper`. */
function countDigit(
  at: usize,
  length: i32,
  upper: i32,
  shift: i32,
  width: i32,
  counts: usize,
): void {
  memory.fill(counts, 0, bins << 2);
  const mask = (1 << width) - 1;
  for (; length > 0; length--) {
    const magnitude = load<i32>(at) >>> shift;
    at += 4;
    if (magnitude >>> width != upper) continue;
    const bin = counts + (<usize>(magnitude & mask) << 2);
    store<i32>(bin, load<i32>(bin) + 1);
  }
}

/** From the highest bin down: the bin of the k-th value, and in the upper half k within it. */
function binOf(counts: usize, last: i32, k: i32): u64 {
  let bin = last;
  for (; bin > 0; bin--) {
    const here = load<i32>(counts + (<usize>bin << 2));
    if (here >= k) break;
    k -= here;
  }
  return (<u64>k << 32) | <u64>bin;
}

/** Writes the values above the threshold and the first `ties` equal to it. */
function gather(
  at: usize,
  length: i32,
  threshold: i32,
  ties: i32,
  indices: usize,
  picked: usize,
): void {
  const least = i32x4.splat(threshold);
  for (let index = 0; index < length; index += 16) {
    const left = length - index;
    let hits =
      left >= 16
        ? hitsOf(v128.load(at), v128.load(at, 16), v128.load(at, 32), v128.load(at, 48), least)
        : lastHits(at, left, least);
    for (; hits != 0; hits &= hits - 1) {
      const lane = ctz(hits);
      const bits = load<i32>(at + (<usize>lane << 2));
      if ((bits & magnitudeMask) == threshold && --ties < 0) continue;
      store<i32>(indices, index + lane);
      store<i32>(picked, bits);
      indices += 4;
      picked += 4;
    }
    at += 64;
  }
}

/** `scratch` has 8 KiB and room for all values; `k` is 1 at least. */
export function topK(
  at: usize,
  length: i32,
  k: i32,
  scratch: usize,
  indices: usize,
  picked: usize,
): void {
  const counts = scratch;
  const large = scratch + (bins << 2);
  let size = copyLarge(at, length, floorOf(at, length, k, counts), large);
  if (size < k) size = copyLarge(at, length, 0, large);
  countDigit(large, size, 0, 20, 11, counts);
  const top = binOf(counts, bins - 1, k);
  const upper = <i32>top;
  countDigit(large, size, upper, 10, 10, counts);
  const middle = binOf(counts, 1023, <i32>(top >> 32));
  const settled = (upper << 10) | <i32>middle;
  countDigit(large, size, settled, 0, 10, counts);
  const lowest = binOf(counts, 1023, <i32>(middle >> 32));
  const threshold = (settled << 10) | <i32>lowest;
  gather(at, length, threshold, <i32>(lowest >> 32), indices, picked);
}
