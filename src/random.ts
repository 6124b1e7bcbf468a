/**
 * Seeded randomness for every room. A stream is named by a list of numbers and words, for instance
 * (seed, "permutation", epoch), so that no generator state has to be carried from step to step: the
 * same name gives the same stream on any machine, and a checkpoint needs the seed alone.
 *
 * The name is hashed with MurmurHash3's 32-bit mixing (A. Appleby) into the four words of an sfc32
 * generator (C. Doty-Humphrey, PractRand).
 */

/** A seeded stream of numbers. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #count: number;

  /** @param name what the stream is for; equal names give equal streams. */
  constructor(...name: readonly (number | string)[]) {
    const text = name.join("\u0000");
    this.#a = hashText(text, 0x9e3779b9);
    this.#b = hashText(text, 0x243f6a88);
    this.#c = hashText(text, 0xb7e15162);
    this.#count = 1;
    for (let round = 0; round < 12; round++) this.uint32();
  }

  /** A whole number in [0, 2^32). */
  uint32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11) | 0;
    this.#c = (this.#c + sum) | 0;
    return sum >>> 0;
  }

  /** A number in [0, 1) with 53 random bits. */
  float(): number {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** A whole number in [0, limit), without modulo bias. */
  below(limit: number): number {
    const threshold = 4294967296 - (4294967296 % limit);
    let value = this.uint32();
    while (value >= threshold) value = this.uint32();
    return value % limit;
  }

  /** A standard normal number (Box-Muller, cosine branch). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.float()));
    return radius * Math.cos(2 * Math.PI * this.float());
  }

  /** Shuffles in place (Fisher-Yates) and returns the same array. */
  shuffle<T extends { length: number; [index: number]: number }>(values: T): T {
    for (let index = values.length - 1; index > 0; index--) {
      const other = this.below(index + 1);
      const kept = values[index] as number;
      values[index] = values[other] as number;
      values[other] = kept;
    }
    return values;
  }
}

function hashText(text: string, seed: number): number {
  let hash = seed | 0;
  for (let index = 0; index < text.length; index++) {
    let word = Math.imul(text.charCodeAt(index), 0xcc9e2d51);
    word = (word << 15) | (word >>> 17);
    hash ^= Math.imul(word, 0x1b873593);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  hash ^= text.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
