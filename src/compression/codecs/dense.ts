/**
 * What codecs that write every value have in common: their size says exactly how many values there
 * are, what is not a number is refused, and adding an encoding to values is decoding it and adding
 * each value, rounded.
 *
 * Invariant: a refusal comes before a value is changed.
 */
import { PacelineError } from "../../errors.js";
import type { Conversions } from "../../kernels/conversions.js";
import type { Codec, CodecName } from "./codec.js";

/** Throws "protocol" unless there are exactly as many bytes as so many values take. */
export function demandBytes(
  name: CodecName,
  bytes: Uint8Array,
  values: number,
  expected: number,
): void {
  if (bytes.length === expected) return;
  throw new PacelineError(
    "protocol",
    `${bytes.length} bytes can't hold ${values} values as ${name}, which take ${expected}; ` +
      "check that both sides have the same model",
  );
}

/** Memory for a number of values that lasts as long as its caller. */
export type Allocate = (values: number) => Float32Array;

/** Memory anywhere. */
export const allocateAnywhere: Allocate = (values) => new Float32Array(values);

/** One piece of memory that is given again and again, and grows where more is asked for. */
export function reused(allocate: Allocate): Allocate {
  let memory: Float32Array = new Float32Array(0);
  return (values) => {
    if (memory.length < values) memory = allocate(values);
    return memory.subarray(0, values);
  };
}

/** `accumulate` by way of `decode`, into memory that is kept for the next time. */
export function accumulateDense(
  conversions: Conversions,
  scratch: Allocate,
  decode: Codec["decode"],
): Codec["accumulate"] {
  return (bytes, values, sign) => {
    const decoded = scratch(values.length);
    decode(bytes, decoded);
    if (sign === 1) conversions.add(values, decoded, values);
    else conversions.subtract(values, decoded, values);
  };
}

/** Throws "diverged" where a value is not a number. */
export function demandNumbers(
  name: CodecName,
  conversions: Conversions,
  values: Float32Array,
): void {
  if (conversions.finite(values) || !values.some(Number.isNaN)) return;
  refuse(name, values, Number.isNaN);
}

/** Throws "diverged" where a value is not a number or infinite. */
export function demandFinite(
  name: CodecName,
  conversions: Conversions,
  values: Float32Array,
): void {
  if (!conversions.finite(values)) refuse(name, values, (value) => !Number.isFinite(value));
}

function refuse(name: CodecName, values: Float32Array, wrong: (value: number) => boolean): never {
  const index = values.findIndex(wrong);
  throw new PacelineError("diverged", `value ${index} is ${values[index]}; ${name} can't hold it`);
}
