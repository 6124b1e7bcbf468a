/** What every implementation of the conversions demands of its arguments. */
import { assert } from "../assert.js";

/** `bytes` has room for exactly the values. */
export function checkBytes(values: Float32Array, bytes: Uint8Array, bytesPerValue: number): void {
  assert(bytes.length === values.length * bytesPerValue, "bytes and values agree", {
    values: values.length,
    bytes: bytes.length,
  });
}

/** Blocks are whole groups of 16 values, with a scale each and a code for each value. */
export function checkBlocks(
  values: Float32Array,
  blockValues: number,
  scales: Uint8Array,
  codes: Uint8Array,
): void {
  checkScales(values, blockValues, scales);
  assert(codes.length === values.length, "there is one code a value", {
    values: values.length,
    codes: codes.length,
  });
}

/** As checkBlocks, with one bit for each value. */
export function checkSigns(
  values: Float32Array,
  blockValues: number,
  scales: Uint8Array,
  bits: Uint8Array,
): void {
  checkScales(values, blockValues, scales);
  assert(bits.length === Math.ceil(values.length / 8), "there is one bit a value", {
    values: values.length,
    bytes: bits.length,
  });
}

function checkScales(values: Float32Array, blockValues: number, scales: Uint8Array): void {
  assert(blockValues >= 16 && blockValues % 16 === 0, "a block is a multiple of 16 values", {
    blockValues,
  });
  assert(scales.length === 4 * Math.ceil(values.length / blockValues), "blocks have a scale each", {
    values: values.length,
    blockValues,
    scaleBytes: scales.length,
  });
}

/** A selection is no larger than the values, and its two outputs have room for just it. */
export function checkSelection(
  values: Float32Array,
  k: number,
  indices: Uint32Array,
  picked: Float32Array,
): void {
  assert(Number.isInteger(k) && k >= 0 && k <= values.length, "k values can be selected", {
    k,
    values: values.length,
  });
  assert(indices.length === k && picked.length === k, "a selection fits its outputs", {
    k,
    indices: indices.length,
    picked: picked.length,
  });
}

/** Three vectors of one length. */
export function checkPair(left: Float32Array, right: Float32Array, out: Float32Array): void {
  assert(left.length === out.length && right.length === out.length, "vectors are equally long", {
    left: left.length,
    right: right.length,
    out: out.length,
  });
}
