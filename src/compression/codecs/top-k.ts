/**
 * Codec 4: the largest values by magnitude, with their places; all others are dropped.
 *
 * Of values of equal magnitude the first are kept. Meant to be used with error feedback: what is
 * dropped grows in the residual until it is among the largest (Stich et al. 2018, "Sparsified SGD
 * with memory").
 *
 * Bytes: count k as u32, k indices as u32 in ascending order, k values as f32. Size: 4 + 8 k.
 */
import type { Conversions } from "../../kernels/conversions.js";
import type { Coding } from "./codec.js";
import { demandFinite } from "./dense.js";
import {
  damaged,
  keptMax,
  keptOf,
  type Picked,
  pickedDecoding,
  readKept,
  wordsOf,
} from "./sparse.js";

/** The k largest values. */
export function topKCodec(conversions: Conversions): Coding {
  return {
    sizes: (values) => ({ min: bytesFor(Math.min(1, values)), max: bytesFor(keptMax(values)) }),
    encode(values, bytes, { share }) {
      demandFinite("topk", conversions, values);
      const kept = keptOf(values.length, share);
      const words = new Uint32Array(1 + 2 * kept);
      words[0] = kept;
      const indices = words.subarray(1, 1 + kept);
      const picked = new Float32Array(words.buffer, indices.byteOffset + indices.byteLength, kept);
      if (kept > 0) conversions.topK(values, kept, indices, picked);
      bytes.set(new Uint8Array(words.buffer));
      return words.byteLength;
    },
    ...pickedDecoding(read),
  };
}

function bytesFor(kept: number): number {
  return 4 + 8 * kept;
}

function read(bytes: Uint8Array, length: number): Picked {
  const kept = readKept("topk", bytes, length);
  if (bytes.length !== bytesFor(kept)) {
    const takes = `${kept} values take ${bytesFor(kept)}`;
    throw damaged("topk", `it has ${bytes.length} bytes and ${takes}`);
  }
  const { indices } = wordsOf(bytes, 4, kept);
  let last = -1;
  for (let at = 0; at < kept; at++) {
    const index = indices[at]!;
    if (index <= last) throw damaged("topk", `index ${index} comes after ${last}`);
    last = index;
  }
  if (last >= length) throw damaged("topk", `index ${last} is past the last of ${length} values`);
  return { indices, values: wordsOf(bytes, 4 + 4 * kept, kept).floats };
}
