/** XXH32, its four accumulators as four lanes. See src/kernels/xxh32.ts. */

const prime1: u32 = 0x9e3779b1;
const prime2: u32 = 0x85ebca77;
const prime3: u32 = 0xc2b2ae3d;
const prime4: u32 = 0x27d4eb2f;
const prime5: u32 = 0x165667b1;

export function checksum(at: usize, bytes: u32, seed: u32): u32 {
  let left = bytes;
  let sum = seed + prime5;
  if (bytes >= 16) {
    const prime1s = i32x4.splat(prime1);
    const prime2s = i32x4.splat(prime2);
    let lanes = i32x4(seed + prime1 + prime2, seed + prime2, seed, seed - prime1);
    for (; left >= 16; left -= 16) {
      lanes = i32x4.add(lanes, i32x4.mul(v128.load(at), prime2s));
      lanes = i32x4.mul(v128.or(i32x4.shl(lanes, 13), i32x4.shr_u(lanes, 19)), prime1s);
      at += 16;
    }
    sum =
      rotl<u32>(i32x4.extract_lane(lanes, 0), 1) +
      rotl<u32>(i32x4.extract_lane(lanes, 1), 7) +
      rotl<u32>(i32x4.extract_lane(lanes, 2), 12) +
      rotl<u32>(i32x4.extract_lane(lanes, 3), 18);
  }
  sum += bytes;
  for (; left >= 4; left -= 4) {
    sum = rotl<u32>(sum + load<u32>(at) * prime3, 17) * prime4;
    at += 4;
  }
  for (; left > 0; left--) {
    sum = rotl<u32>(sum + <u32>load<u8>(at) * prime5, 11) * prime1;
    at += 1;
  }
  sum = (sum ^ (sum >> 15)) * prime2;
  sum = (sum ^ (sum >> 13)) * prime3;
  return sum ^ (sum >> 16);
}
