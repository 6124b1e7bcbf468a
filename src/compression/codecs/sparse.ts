/**
 * What codecs that keep a few of the values have in common: how many they keep, and bytes as 32-bit
 * words.
 *
 * Invariant: at least one of any values is kept, so that every gradient moves something, and never
 * more than a quarter, so that an encoding with indices is half as long as raw values at the most.
 */

import { PacelineError } from "../../errors.js";
import type { CodecName, Coding } from "./codec.js";

/** The largest share of values that a sparse codec keeps. */
export const shareMax = 0.25;

/** How many of so many values are kept. */
export function keptOf(values: number, share: number): number {
  if (values === 0) return 0;
  return Math.min(keptMax(values), Math.max(1, Math.round(share * values)));
}

/** How many of so many values may be kept at the most. */
export function keptMax(values: number): number {
  return Math.ceil(values * shareMax);
}

/** How many an encoding says that it keeps; throws "protocol" for what can't be. */
export function readKept(name: CodecName, bytes: Uint8Array, values: number): number {
  const least = Math.min(1, values);
  const most = keptMax(values);
  if (bytes.length >= 4) {
    const kept = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    if (kept >= least && kept <= most) return kept;
    throw damaged(name, `it keeps ${kept} of ${values} values, where ${least} to ${most} may be`);
  }
  throw damaged(name, `it has ${bytes.length} bytes and takes 4 to say how many values it keeps`);
}

/** The error for bytes that are no encoding. */
export function damaged(name: CodecName, why: string): PacelineError {
  return new PacelineError("protocol", `${name} encoding is damaged: ${why}`);
}

/** The words of a part of the bytes, in place where that can be, else a copy. */
export function wordsOf(
  bytes: Uint8Array,
  offset: number,
  count: number,
): { readonly indices: Uint32Array; readonly floats: Float32Array } {
  const inPlace = (bytes.byteOffset + offset) % 4 === 0;
  const part = inPlace ? bytes : bytes.slice(offset, offset + count * 4);
  const start = inPlace ? bytes.byteOffset + offset : 0;
  return {
    indices: new Uint32Array(part.buffer, start, count),
    floats: new Float32Array(part.buffer, start, count),
  };
}

/** Values that were kept, and their places, ascending. */
export interface Picked {
  readonly indices: Uint32Array;
  readonly values: Float32Array;
}

/** The decoding of a codec that sends places with values, by what reads these. */
export function pickedDecoding(
  read: (bytes: Uint8Array, length: number) => Picked,
): Pick<Coding, "decode" | "accumulate"> {
  return {
    decode(bytes, values) {
      const picked = read(bytes, values.length);
      values.fill(0);
      for (let at = 0; at < picked.indices.length; at++) {
        values[picked.indices[at]!] = picked.values[at]!;
      }
    },
    accumulate(bytes, values, sign) {
      const picked = read(bytes, values.length);
      for (let at = 0; at < picked.indices.length; at++) {
        const index = picked.indices[at]!;
        values[index] = values[index]! + sign * picked.values[at]!;
      }
    },
  };
}
