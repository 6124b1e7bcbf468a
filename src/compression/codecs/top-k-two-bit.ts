/**
 * Codec 7: the largest values by magnitude, each in two bits, with the gaps between their places;
 * all others are dropped. SparseLoCo sends so what local steps came to (Sarfi et al. 2025, arXiv
 * 2508.15706): a share of 1 to 3 %, with error feedback, in place of an outer momentum.
 *
 * Of the values that are kept each block of 512 has two levels: the mean magnitude of those at or
 * below the block's mean magnitude, and that of those above it. A value becomes the level of its
 * side with its sign, so a block's sum of magnitudes stays. What is kept is chosen as by `topk`.
 *
 * Bytes: count k as u32; for each block its lower and its upper level as f32; two bits a value,
 * the lowest of a byte first, 1 for the upper level, 2 for negative, spare bits 0; then for each
 * value how many places lie between it and the one before, in groups of seven bits, the lowest
 * first, with the high bit set where another follows. At a share of 0.05 a kept value takes some
 * 10.1 bits.
 *
 * Invariant: places have one form that is accepted; no gap is longer than it needs to be.
 */
import type { Conversions } from "../../kernels/conversions.js";
import type { Coding } from "./codec.js";
import { demandFinite } from "./dense.js";
import { damaged, keptMax, keptOf, type Picked, pickedDecoding, readKept } from "./sparse.js";

const name = "topk2bit";
const blockValues = 512;
const levelBytes = 8;
const groupBits = 7;
const more = 1 << groupBits;

/** The k largest values, in two bits each. */
export function topKTwoBitCodec(conversions: Conversions): Coding {
  return {
    sizes: (values) => ({ min: bytesMin(values), max: bytesMax(values) }),
    encode(values, bytes, { share }) {
      demandFinite(name, conversions, values);
      const kept = keptOf(values.length, share);
      const indices = new Uint32Array(kept);
      const picked = new Float32Array(kept);
      if (kept > 0) conversions.topK(values, kept, indices, picked);
      viewOf(bytes).setUint32(0, kept, true);
      writeLevels(picked, bytes);
      return writeGaps(indices, bytes, gapsAt(kept));
    },
    ...pickedDecoding(read),
  };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function codesAt(kept: number): number {
  return 4 + levelBytes * Math.ceil(kept / blockValues);
}

function gapsAt(kept: number): number {
  return codesAt(kept) + Math.ceil(kept / 4);
}

function bytesMin(values: number): number {
  const kept = Math.min(1, values);
  return gapsAt(kept) + kept;
}

/** All gaps together are at most as long as the values, so few can take further groups. */
function bytesMax(values: number): number {
  const kept = keptMax(values);
  let further = 0;
  for (let least = more; least <= values; least *= more) further += Math.floor(values / least);
  return gapsAt(kept) + kept + further;
}

/** @param picked kept values, ascending in their places. */
function writeLevels(picked: Float32Array, bytes: Uint8Array): void {
  const view = viewOf(bytes);
  const codes = bytes.subarray(codesAt(picked.length), gapsAt(picked.length)).fill(0);
  for (let start = 0; start < picked.length; start += blockValues) {
    const end = Math.min(picked.length, start + blockValues);
    const middle = meanOf(picked, start, end, () => true);
    const isUpper = (magnitude: number) => magnitude > middle;
    const lower = meanOf(picked, start, end, (magnitude) => !isUpper(magnitude));
    const upper = Math.max(lower, meanOf(picked, start, end, isUpper));
    const place = 4 + levelBytes * (start / blockValues);
    view.setFloat32(place, lower, true);
    view.setFloat32(place + 4, upper, true);
    for (let at = start; at < end; at++) {
      const value = picked[at]!;
      const code = (isUpper(Math.abs(value)) ? 1 : 0) | (value < 0 ? 2 : 0);
      codes[at >>> 2]! |= code << (2 * (at & 3));
    }
  }
}

/** The mean magnitude of some of the values, in f64; 0 where there are none. */
function meanOf(
  values: Float32Array,
  start: number,
  end: number,
  isMeant: (magnitude: number) => boolean,
): number {
  let [sum, count] = [0, 0];
  for (let at = start; at < end; at++) {
    const magnitude = Math.abs(values[at]!);
    if (!isMeant(magnitude)) continue;
    sum += magnitude;
    count++;
  }
  return count === 0 ? 0 : sum / count;
}

/** Returns where the last byte ends. */
function writeGaps(indices: Uint32Array, bytes: Uint8Array, at: number): number {
  let next = 0;
  let place = at;
  for (const index of indices) {
    let gap = index - next;
    while (gap >= more) {
      bytes[place++] = (gap % more) | more;
      gap = Math.floor(gap / more);
    }
    bytes[place++] = gap;
    next = index + 1;
  }
  return place;
}

function read(bytes: Uint8Array, length: number): Picked {
  const kept = readKept(name, bytes, length);
  const start = gapsAt(kept);
  if (bytes.length < start + kept) {
    throw damaged(
      name,
      `it has ${bytes.length} bytes, ${kept} values take ${start + kept} or more`,
    );
  }
  return { values: readLevels(bytes, kept), indices: readGaps(bytes, kept, length) };
}

function readLevels(bytes: Uint8Array, kept: number): Float32Array {
  const view = viewOf(bytes);
  const codes = bytes.subarray(codesAt(kept), gapsAt(kept));
  const values = new Float32Array(kept);
  for (let start = 0; start < kept; start += blockValues) {
    const place = 4 + levelBytes * (start / blockValues);
    const [lower, upper] = [view.getFloat32(place, true), view.getFloat32(place + 4, true)];
    if (!(lower >= 0 && lower <= upper && upper < Number.POSITIVE_INFINITY)) {
      throw damaged(name, `block ${start / blockValues} has the levels ${lower} and ${upper}`);
    }
    for (let at = start; at < Math.min(kept, start + blockValues); at++) {
      const code = (codes[at >>> 2]! >>> (2 * (at & 3))) & 3;
      const magnitude = (code & 1) === 0 ? lower : upper;
      values[at] = (code & 2) === 0 ? magnitude : -magnitude;
    }
  }
  const used = kept % 4;
  if (used > 0 && codes[codes.length - 1]! >>> (2 * used) !== 0) {
    throw damaged(name, "spare bits are set");
  }
  return values;
}

function readGaps(bytes: Uint8Array, kept: number, length: number): Uint32Array {
  const indices = new Uint32Array(kept);
  let place = gapsAt(kept);
  let next = 0;
  for (let at = 0; at < kept; at++) {
    let [gap, scale, byte] = [0, 1, more];
    while (byte >= more) {
      if (place >= bytes.length) throw damaged(name, `it ends amid the place of value ${at}`);
      byte = bytes[place++]!;
      gap += (byte % more) * scale;
      if (byte === 0 && scale > 1) throw damaged(name, `the gap before value ${at} is too long`);
      scale *= more;
      if (next + gap >= length) {
        throw damaged(name, `index ${next + gap} is past the last of ${length} values`);
      }
      if (scale > 2 ** 35) throw damaged(name, `the gap before value ${at} is too long`);
    }
    indices[at] = next + gap;
    next += gap + 1;
  }
  if (place === bytes.length) return indices;
  throw damaged(name, `${bytes.length - place} bytes follow the last of ${kept} values`);
}
