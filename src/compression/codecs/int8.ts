/**
 * Codec 3: blocks of 256 values, each with a scale, and a signed byte a value.
 *
 * The scale of a block is its largest magnitude / 127, and a value becomes one of the two whole
 * multiples of it around the value, the nearer one more likely, so that the mean over many steps
 * is right without error feedback (stochastic rounding, after QSGD: Alistarh et al. 2017). Which
 * one is decided by the seed and the value's place alone.
 *
 * Bytes: the scales as f32, then the bytes of all values. Size: 1 byte a value and 4 a block.
 * Invariant: |decoded - value| <= scale, but for the rounding of f32.
 */
import { PacelineError } from "../../errors.js";
import type { Conversions } from "../../kernels/conversions.js";
import type { Coding } from "./codec.js";
import { type Allocate, accumulateDense, demandBytes, demandFinite } from "./dense.js";

const blockValues = 256;
const scaleBytes = 4;
const floatMax = 3.4028234663852886e38;

/** Bytes with a scale for each block. */
export function int8Codec(conversions: Conversions, scratch: Allocate): Coding {
  const bytesFor = (values: number) => Math.ceil(values / blockValues) * scaleBytes + values;
  const decode = (bytes: Uint8Array, values: Float32Array) => {
    demandBytes("int8", bytes, values.length, bytesFor(values.length));
    const codesAt = bytes.length - values.length;
    const codes = bytes.subarray(codesAt);
    demandScales(bytes.subarray(0, codesAt));
    demandCodes(codes);
    conversions.dequantise(bytes.subarray(0, codesAt), codes, blockValues, values);
  };
  return {
    sizes: (values) => ({ min: bytesFor(values), max: bytesFor(values) }),
    encode(values, bytes, { seed }) {
      demandFinite("int8", conversions, values);
      const used = bytesFor(values.length);
      const codesAt = used - values.length;
      const scales = bytes.subarray(0, codesAt);
      const codes = bytes.subarray(codesAt, used);
      conversions.quantise(values, blockValues, seed, scales, codes);
      lowerScales(scales);
      return used;
    },
    decode,
    accumulate: accumulateDense(conversions, scratch, decode),
  };
}

/** 127 times a scale that was rounded up may lie above the largest f32: takes the next below. */
function lowerScales(scales: Uint8Array): void {
  const view = viewOf(scales);
  for (let offset = 0; offset < scales.length; offset += scaleBytes) {
    if (Math.fround(127 * view.getFloat32(offset, true)) <= floatMax) continue;
    view.setUint32(offset, view.getUint32(offset, true) - 1, true);
  }
}

function demandScales(scales: Uint8Array): void {
  const view = viewOf(scales);
  for (let offset = 0; offset < scales.length; offset += scaleBytes) {
    const scale = view.getFloat32(offset, true);
    if (scale >= 0 && Math.fround(127 * scale) <= floatMax) continue;
    const which = `block ${offset / scaleBytes} of an int8 encoding`;
    throw new PacelineError("protocol", `${which} has the scale ${scale}: it is damaged`);
  }
}

function demandCodes(codes: Uint8Array): void {
  const index = codes.indexOf(128);
  if (index < 0) return;
  const what = `value ${index} of an int8 encoding is -128`;
  throw new PacelineError("protocol", `${what}, where -127 to 127 are written: it is damaged`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
