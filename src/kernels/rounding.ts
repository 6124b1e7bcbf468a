/**
 * Random bits for stochastic rounding, by position instead of by turn: what value i gets depends
 * on the seed and on i alone, so that lanes and threads need no common state.
 *
 *   counter = 4 * floor(i / 8) + i mod 4
 *   word    = mix(mix(seed) + 0x9e3779b9 * counter)      (all modulo 2^32)
 *   bits    = the lower 16 bits of word where i mod 8 < 4, else the upper 16
 *
 * Eight values, two vectors of lanes, thus share four words. `mix` scatters the bits of a word
 * one to one: alternating shifts and odd factors (the "lowbias" family, found by search for the
 * least bias of avalanche).
 */

/** Scatters 32 bits one to one. */
export function mix(word: number): number {
  word ^= word >>> 16;
  word = Math.imul(word, 0x21f0aaad);
  word ^= word >>> 15;
  word = Math.imul(word, 0x735a2d97);
  return (word ^ (word >>> 15)) >>> 0;
}

/** 16 random bits for the value at `index` under a seed whose `mix` is `key`. */
export function roundingBits(key: number, index: number): number {
  const counter = ((index >>> 3) << 2) | (index & 3);
  const word = mix((key + Math.imul(0x9e3779b9, counter)) | 0);
  return (index & 4) === 0 ? word & 0xffff : word >>> 16;
}
