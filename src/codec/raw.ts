/**
 * Codec 0: the values as they are, four little-endian bytes of IEEE 754 each, in order.
 *
 * Exact for every bit pattern, so it is what everybody understands and what biases, norms and
 * saved state always use. Size: 4 bytes a value. Both verbs are one copy of memory: Paceline runs
 * only where numbers are little-endian, as WebAssembly's memory always is, and says so when it
 * loads elsewhere.
 */
import { PacelineError } from "../errors.js";
import type { Codec } from "./codec.js";

const bytesPerValue = 4;

if (new Uint8Array(Uint32Array.of(1).buffer)[0] !== 1) {
  throw new PacelineError(
    "internal",
    "this processor is big-endian, which Paceline doesn't support; use a little-endian machine",
  );
}

/** Raw little-endian f32. */
export const rawCodec: Codec = {
  id: 0,
  name: "raw",

  bytesMax(values) {
    return values * bytesPerValue;
  },

  encode(values, bytes) {
    bytes.set(bytesOf(values));
    return values.length * bytesPerValue;
  },

  decode(bytes, values) {
    if (bytes.length !== values.length * bytesPerValue) {
      throw new PacelineError(
        "protocol",
        `${bytes.length} bytes can't hold ${values.length} raw f32 values, which take ` +
          `${values.length * bytesPerValue}; check that both sides have the same model`,
      );
    }
    bytesOf(values).set(bytes);
  },
};

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
