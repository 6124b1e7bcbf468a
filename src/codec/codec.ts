/**
 * Codecs turn a chunk's f32 values into bytes for the wire and back.
 *
 * A codec is two verbs and a bound. It keeps no state of its own: what a lossy one drops is the
 * business of the error feedback around it. The wire names a codec by a small number, and one plain
 * table says which is which.
 *
 * Invariant: ids are 0, 1, 2, ... without gaps and never change their meaning; the table is checked
 * when this file loads. Bytes that come from a peer are validated, never asserted.
 */
import { assert } from "../assert.js";
import { PacelineError } from "../errors.js";
import { rawCodec } from "./raw.js";

/** The names users choose from; the position is the wire id. */
export const codecNames = ["raw"] as const;
/** One of the names. */
export type CodecName = (typeof codecNames)[number];

/** One way to write f32 values as bytes. */
export interface Codec {
  /** What a chunk header carries. */
  readonly id: number;
  readonly name: CodecName;

  /** The most bytes that `encode` writes for this many values. */
  bytesMax(values: number): number;

  /**
   * Writes `values` at the start of `bytes` (at least bytesMax long) and returns the bytes used.
   */
  encode(values: Float32Array, bytes: Uint8Array): number;

  /**
   * Fills `values` from exactly the bytes that `encode` used. Throws "protocol" when the bytes
   * can't be an encoding of values.length values; `values` may then be partly written.
   */
  decode(bytes: Uint8Array, values: Float32Array): void;
}

/** Wire id to codec. */
export const codecs: readonly Codec[] = [rawCodec];

codecNames.forEach((name, id) => {
  const codec = codecs[id];
  assert(codec?.id === id && codec.name === name, "the codec table is complete", { name, id });
});
assert(codecs.length === codecNames.length, "every codec has a name", { codecs: codecs.length });

/** The codec of a wire id that a peer sent; throws "protocol" for one that doesn't exist. */
export function codecOfId(id: number): Codec {
  const codec = codecs[id];
  if (codec === undefined) {
    const known = codecs.map((each) => `${each.id} (${each.name})`).join(", ");
    throw new PacelineError("protocol", `codec ${id} is unknown here; known are ${known}`);
  }
  return codec;
}

/** The codec of a name. */
export function codecOfName(name: CodecName): Codec {
  return codecs[codecNames.indexOf(name)]!;
}
