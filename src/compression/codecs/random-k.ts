/**
 * Codec 5: values at random places; all others are dropped.
 *
 * The values are cut into k runs of equal length, and of each run one is kept, so that every value
 * is as likely as any other and the places are distinct and ascending. Places follow from a seed
 * that travels with them: this costs half of top-k's bytes and no search, and keeps less of what
 * matters. Values are kept as they are, not scaled up; what is dropped is for error feedback to
 * bring back (Stich et al. 2018).
 *
 * Bytes: count k as u32, seed as u32, k values as f32. Size: 8 + 4 k.
 */
import type { Conversions } from "../../kernels/conversions.js";
import type { Coding } from "./codec.js";
import { demandFinite } from "./dense.js";
import { damaged, keptMax, keptOf, readKept, wordsOf } from "./sparse.js";

/** Values at k random places. */
export function randomKCodec(conversions: Conversions): Coding {
  return {
    sizes: (values) => ({ min: bytesFor(Math.min(1, values)), max: bytesFor(keptMax(values)) }),
    encode(values, bytes, { share, seed }) {
      demandFinite("randomk", conversions, values);
      const kept = keptOf(values.length, share);
      const words = new Uint32Array(2 + kept);
      words[0] = kept;
      words[1] = seed;
      const picked = new Float32Array(words.buffer, 8, kept);
      eachPlace(seed, kept, values.length, (at, index) => {
        picked[at] = values[index]!;
      });
      bytes.set(new Uint8Array(words.buffer));
      return words.byteLength;
    },
    decode(bytes, values) {
      const { seed, picked } = read(bytes, values.length);
      values.fill(0);
      eachPlace(seed, picked.length, values.length, (at, index) => {
        values[index] = picked[at]!;
      });
    },
    accumulate(bytes, values, sign) {
      const { seed, picked } = read(bytes, values.length);
      eachPlace(seed, picked.length, values.length, (at, index) => {
        values[index] = values[index]! + sign * picked[at]!;
      });
    },
  };
}

function bytesFor(kept: number): number {
  return 8 + 4 * kept;
}

function read(
  bytes: Uint8Array,
  length: number,
): { readonly seed: number; readonly picked: Float32Array } {
  const kept = readKept("randomk", bytes, length);
  if (bytes.length !== bytesFor(kept)) {
    const takes = `${kept} values take ${bytesFor(kept)}`;
    throw damaged("randomk", `it has ${bytes.length} bytes and ${takes}`);
  }
  const seed = new DataView(bytes.buffer, bytes.byteOffset, 8).getUint32(4, true);
  return { seed, picked: wordsOf(bytes, 8, kept).floats };
}

/** Calls with each place: the at-th one lies in the at-th of `kept` runs. */
function eachPlace(
  seed: number,
  kept: number,
  length: number,
  visit: (at: number, index: number) => void,
): void {
  let start = 0;
  for (let at = 0; at < kept; at++) {
    const end = Math.floor(((at + 1) * length) / kept);
    visit(at, start + Math.floor((mixed(seed, at) / 4294967296) * (end - start)));
    start = end;
  }
}

/** 32 random bits for a seed and a count: MurmurHash3's finaliser (A. Appleby). */
function mixed(seed: number, count: number): number {
  let hash = (seed + Math.imul(count + 1, 0x9e3779b9)) | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
