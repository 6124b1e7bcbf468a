/**
 * Codec 0: the values as they are, four little-endian bytes of IEEE 754 each, in order.
 *
 * Exact for every bit pattern, so it is what everybody understands and what biases, norms and
 * saved state always use. Size: 4 bytes a value. Both verbs are one copy of memory: Paceline runs
 * only where numbers are little-endian, as WebAssembly's memory always is, and says so when it
 * loads elsewhere.
 */
import { PacelineError } from "../../errors.js";
import type { Conversions } from "../../kernels/conversions.js";
import type { Coding } from "./codec.js";
import { type Allocate, accumulateDense, demandBytes } from "./dense.js";

const bytesPerValue = 4;

if (new Uint8Array(Uint32Array.of(1).buffer)[0] !== 1) {
  throw new PacelineError(
    "internal",
    "this processor is big-endian, which Paceline doesn't support; use a little-endian machine",
  );
}

/** Raw little-endian f32. */
export function rawCodec(conversions: Conversions, scratch: Allocate): Coding {
  const decode = (bytes: Uint8Array, values: Float32Array) => {
    demandBytes("raw", bytes, values.length, values.length * bytesPerValue);
    bytesOf(values).set(bytes);
  };
  return {
    sizes: (values) => ({ min: values * bytesPerValue, max: values * bytesPerValue }),
    encode(values, bytes) {
      bytes.set(bytesOf(values));
      return values.length * bytesPerValue;
    },
    decode,
    accumulate: accumulateDense(conversions, scratch, decode),
  };
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
