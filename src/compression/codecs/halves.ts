/**
 * Codecs 1 and 2: each value in two bytes, little-endian, rounded to the nearest (ties to even).
 *
 * fp16 is IEEE 754 binary16: 11 significant bits, from 6e-8 to 65504. bf16 is the upper half of an
 * f32: 8 significant bits and f32's whole range. A finite value beyond the range becomes the
 * largest finite one, so that a single large gradient does not end a run; infinities stay what
 * they are and what is not a number is refused.
 *
 * Size: 2 bytes a value. Whatever two bytes come, they decode to something; whether values are
 * finite is asked of the decoded ones, as for raw.
 */
import type { Conversions } from "../../kernels/conversions.js";
import type { CodecName, Coding } from "./codec.js";
import { type Allocate, accumulateDense, demandBytes, demandNumbers } from "./dense.js";

const bytesPerValue = 2;

/** IEEE 754 binary16. */
export function fp16Codec(conversions: Conversions, scratch: Allocate): Coding {
  return halvesCodec(conversions, scratch, {
    name: "fp16",
    write: conversions.halvesFromFloats,
    read: conversions.floatsFromHalves,
  });
}

/** The upper halves of f32 values. */
export function bf16Codec(conversions: Conversions, scratch: Allocate): Coding {
  return halvesCodec(conversions, scratch, {
    name: "bf16",
    write: conversions.bfloatsFromFloats,
    read: conversions.floatsFromBfloats,
  });
}

interface Half {
  readonly name: CodecName;
  readonly write: Conversions["halvesFromFloats"];
  readonly read: Conversions["floatsFromHalves"];
}

function halvesCodec(
  conversions: Conversions,
  scratch: Allocate,
  { name, write, read }: Half,
): Coding {
  const decode = (bytes: Uint8Array, values: Float32Array) => {
    demandBytes(name, bytes, values.length, values.length * bytesPerValue);
    read.call(conversions, bytes, values);
  };
  return {
    sizes: (values) => ({ min: values * bytesPerValue, max: values * bytesPerValue }),
    encode(values, bytes) {
      demandNumbers(name, conversions, values);
      const used = values.length * bytesPerValue;
      write.call(conversions, values, bytes.subarray(0, used), "saturate");
      return used;
    },
    decode,
    accumulate: accumulateDense(conversions, scratch, decode),
  };
}
