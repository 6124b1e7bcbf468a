/**
 * XXH32 in plain TypeScript, after its published description (Collet, "xxHash fast digest
 * algorithm", version 0.1.1): four accumulators take turns over words of four bytes, are rotated
 * into one, and the rest of the bytes and the bits of the sum are mixed in.
 */

const prime1 = 0x9e3779b1;
const prime2 = 0x85ebca77;
const prime3 = 0xc2b2ae3d;
const prime4 = 0x27d4eb2f;
const prime5 = 0x165667b1;
const stripeBytes = 16;

/** The 32-bit hash of bytes under a seed. */
export function xxh32(bytes: Uint8Array, seed: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let position = 0;
  let sum = seed + prime5;
  if (bytes.length >= stripeBytes) {
    const lanes = [seed + prime1 + prime2, seed + prime2, seed, seed - prime1];
    for (; position + stripeBytes <= bytes.length; position += stripeBytes) {
      for (let lane = 0; lane < 4; lane++) {
        const word = view.getUint32(position + 4 * lane, true);
        lanes[lane] = Math.imul(rotate(lanes[lane]! + Math.imul(word, prime2), 13), prime1);
      }
    }
    sum =
      rotate(lanes[0]!, 1) + rotate(lanes[1]!, 7) + rotate(lanes[2]!, 12) + rotate(lanes[3]!, 18);
  }
  sum = (sum + bytes.length) | 0;
  for (; position + 4 <= bytes.length; position += 4) {
    const word = view.getUint32(position, true);
    sum = Math.imul(rotate(sum + Math.imul(word, prime3), 17), prime4);
  }
  for (; position < bytes.length; position++) {
    sum = Math.imul(rotate(sum + Math.imul(bytes[position]!, prime5), 11), prime1);
  }
  sum = Math.imul(sum ^ (sum >>> 15), prime2);
  sum = Math.imul(sum ^ (sum >>> 13), prime3);
  return (sum ^ (sum >>> 16)) >>> 0;
}

function rotate(word: number, places: number): number {
  return (word << places) | (word >>> (32 - places));
}
