/**
 * Loads and stores of less than a vector, so that each formula is written once, over four lanes,
 * and serves the last values of a slot too. What lies beyond them is neither read nor written.
 *
 * Loops over whole vectors don't use them: a call in a loop, taken or not, has every constant of
 * the loop read from memory again.
 */

/** The lanes' bits without their signs, which order like their magnitudes. */
@inline
export function magnitudes(values: v128): v128 {
  return i32x4.shl(values, 1);
}

/** 1 when no lane of the largest magnitudes is an infinity or not a number. */
@inline
export function allFinite(most: v128): i32 {
  return v128.any_true(i32x4.ge_u(most, i32x4.splat(0xff000000))) ? 0 : 1;
}

/** Up to 16 bytes as a vector; lanes past them are zero. A count of 0 or less loads nothing. */
@inline
export function loadUpTo(at: usize, bytes: i32): v128 {
  return bytes >= 16 ? v128.load(at) : loadPart(at, bytes);
}

/** The first bytes of a vector, 16 at most. */
@inline
export function storeUpTo(at: usize, value: v128, bytes: i32): void {
  if (bytes >= 16) v128.store(at, value);
  else storePart(at, value, bytes);
}

function loadPart(at: usize, bytes: i32): v128 {
  if (bytes <= 0) return i64x2.splat(0);
  const whole = bytes & 8;
  const first: u64 = whole ? load<u64>(at) : 0;
  if (whole) at += 8;
  let rest: u64 = 0;
  let shift: u64 = 0;
  if (bytes & 4) {
    rest = load<u32>(at);
    at += 4;
    shift = 32;
  }
  if (bytes & 2) {
    rest |= (<u64>load<u16>(at)) << shift;
    at += 2;
    shift += 16;
  }
  if (bytes & 1) rest |= (<u64>load<u8>(at)) << shift;
  return whole ? i64x2(first, rest) : i64x2(rest, 0);
}

function storePart(at: usize, value: v128, bytes: i32): void {
  if (bytes <= 0) return;
  let word: u64 = i64x2.extract_lane(value, 0);
  if (bytes & 8) {
    store<u64>(at, word);
    word = i64x2.extract_lane(value, 1);
    at += 8;
  }
  if (bytes & 4) {
    store<u32>(at, <u32>word);
    word >>= 32;
    at += 4;
  }
  if (bytes & 2) {
    store<u16>(at, <u16>word);
    word >>= 16;
    at += 2;
  }
  if (bytes & 1) store<u8>(at, <u8>word);
}
