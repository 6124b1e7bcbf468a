/**
 * The k values of largest magnitude. The magnitude's 31 bits are found from the top in three
 * rounds of 11, 10 and 10: a histogram of the next digit among the values whose upper digits are
 * settled says in which bin the k-th lies. A last pass gathers what lies above it, and as many
 * equal ones as are missing, in ascending order.
 */
import { loadUpTo } from "./lanes";

const magnitudeMask: i32 = 0x7fffffff;
const topBins: i32 = 2048;
const bins: i32 = 1024;

/** Two histograms of the top digit, taken in turns so that equal digits wait less, into one. */
function countTop(at: usize, length: i32, counts: usize): void {
  memory.fill(counts, 0, topBins << 3);
  const others = counts + (topBins << 2);
  for (; length >= 2; length -= 2) {
    const one = counts + (((load<u32>(at) & magnitudeMask) >>> 20) << 2);
    const other = others + (((load<u32>(at, 4) & magnitudeMask) >>> 20) << 2);
    store<i32>(one, load<i32>(one) + 1);
    store<i32>(other, load<i32>(other) + 1);
    at += 8;
  }
  if (length > 0) {
    const one = counts + (((load<u32>(at) & magnitudeMask) >>> 20) << 2);
    store<i32>(one, load<i32>(one) + 1);
  }
  for (let bin = 0; bin < topBins << 2; bin += 16) {
    v128.store(counts + bin, i32x4.add(v128.load(counts + bin), v128.load(others + bin)));
  }
}

/** The histogram of ten bits from `shift` among values whose magnitude above them is `upper`. */
function countDigit(at: usize, length: i32, upper: i32, shift: i32, counts: usize): void {
  memory.fill(counts, 0, bins << 2);
  const mask = i32x4.splat(magnitudeMask);
  const uppers = i32x4.splat(upper);
  for (; length > 0; length -= 4) {
    const magnitudes = v128.and(loadUpTo(at, length << 2), mask);
    let hits = i32x4.bitmask(i32x4.eq(i32x4.shr_u(magnitudes, shift + 10), uppers));
    if (length < 4) hits &= (1 << length) - 1;
    while (hits != 0) {
      const magnitude = load<u32>(at + (<usize>ctz(hits) << 2)) & magnitudeMask;
      const bin = counts + (((magnitude >>> shift) & (bins - 1)) << 2);
      store<i32>(bin, load<i32>(bin) + 1);
      hits &= hits - 1;
    }
    at += 16;
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
  const mask = i32x4.splat(magnitudeMask);
  const thresholds = i32x4.splat(threshold);
  for (let index = 0; index < length; index += 4) {
    const left = length - index;
    const magnitudes = v128.and(loadUpTo(at, left << 2), mask);
    let hits = i32x4.bitmask(i32x4.ge_s(magnitudes, thresholds));
    if (left < 4) hits &= (1 << left) - 1;
    while (hits != 0) {
      const lane = ctz(hits);
      hits &= hits - 1;
      const bits = load<i32>(at + (<usize>lane << 2));
      if ((bits & magnitudeMask) == threshold && --ties < 0) continue;
      store<i32>(indices, index + lane);
      store<i32>(picked, bits);
      indices += 4;
      picked += 4;
    }
    at += 16;
  }
}

/** `counts` is scratch of 16 KiB; `k` is 1 at least. */
export function topK(
  at: usize,
  length: i32,
  k: i32,
  counts: usize,
  indices: usize,
  picked: usize,
): void {
  countTop(at, length, counts);
  const top = binOf(counts, topBins - 1, k);
  const upper = <i32>top;
  countDigit(at, length, upper, 10, counts);
  const middle = binOf(counts, bins - 1, <i32>(top >> 32));
  const settled = (upper << 10) | <i32>middle;
  countDigit(at, length, settled, 0, counts);
  const lowest = binOf(counts, bins - 1, <i32>(middle >> 32));
  const threshold = (settled << 10) | <i32>lowest;
  gather(at, length, threshold, <i32>(lowest >> 32), indices, picked);
}
