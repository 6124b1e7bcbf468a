/**
 * Codec 6: the sign of each value, and for each block of 1,024 the mean magnitude.
 *
 * A value becomes plus or minus its block's scale, negative zero minus. Meant to be used with error
 * feedback, without which it does not converge in general (Seide et al. 2014; Karimireddy et al.
 * 2019).
 *
 * Bytes: the scales as f32, then one bit a value, the lowest bit of a byte first, 1 for negative;
 * spare bits of the last byte are 0. Size: 1 bit a value, up to whole bytes, and 4 bytes a block.
 */
import { PacelineError } from "../../errors.js";
import type { Conversions } from "../../kernels/conversions.js";
import type { Coding } from "./codec.js";
import { type Allocate, accumulateDense, demandBytes, demandFinite } from "./dense.js";

const blockValues = 1024;
const scaleBytes = 4;

/** Signs with a scale for each block. */
export function oneBitCodec(conversions: Conversions, scratch: Allocate): Coding {
  const decode = (bytes: Uint8Array, values: Float32Array) => {
    demandBytes("onebit", bytes, values.length, bytesFor(values.length));
    demandSpareBits(bytes, values.length);
    const bitsAt = bitsAtOf(values.length);
    const scales = bytes.subarray(0, bitsAt);
    demandScales(scales);
    conversions.unpackSigns(scales, bytes.subarray(bitsAt), blockValues, values);
  };
  return {
    sizes: (values) => ({ min: bytesFor(values), max: bytesFor(values) }),
    encode(values, bytes) {
      demandFinite("onebit", conversions, values);
      const used = bytesFor(values.length);
      const bitsAt = bitsAtOf(values.length);
      const scales = bytes.subarray(0, bitsAt);
      conversions.packSigns(values, blockValues, scales, bytes.subarray(bitsAt, used));
      return used;
    },
    decode,
    accumulate: accumulateDense(conversions, scratch, decode),
  };
}

function bitsAtOf(values: number): number {
  return Math.ceil(values / blockValues) * scaleBytes;
}

function bytesFor(values: number): number {
  return bitsAtOf(values) + Math.ceil(values / 8);
}

function demandScales(scales: Uint8Array): void {
  const view = new DataView(scales.buffer, scales.byteOffset, scales.length);
  for (let offset = 0; offset < scales.length; offset += scaleBytes) {
    const scale = view.getFloat32(offset, true);
    if (scale >= 0 && scale < Number.POSITIVE_INFINITY) continue;
    const which = `block ${offset / scaleBytes} of a onebit encoding`;
    throw new PacelineError("protocol", `${which} has the scale ${scale}: it is damaged`);
  }
}

function demandSpareBits(bytes: Uint8Array, values: number): void {
  if (values % 8 === 0) return;
  const spare = bytes[bytes.length - 1]! >>> (values % 8);
  if (spare === 0) return;
  throw new PacelineError("protocol", "a onebit encoding has spare bits set: it is damaged");
}
