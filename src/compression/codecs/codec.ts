/**
 * Codecs turn a chunk's f32 values into bytes for the wire and back.
 *
 * A codec is three verbs and two bounds. It keeps no state of its own: what a lossy one drops is
 * the business of the error feedback around it. Which codecs there are, their ids on the wire and
 * what they drop says the list in `protocol`; here is one file for each, and the compiler asks for
 * the one that lacks.
 *
 * Invariants: the same values and settings give the same bytes on any machine, and the same bytes
 * the same values. Bytes that come from a peer are validated, never asserted.
 */
import { PacelineError } from "../../errors.js";
import type { Conversions } from "../../kernels/conversions.js";
import { type CodecWord, codecs } from "../../protocol/compression.js";
import { type Allocate, allocateAnywhere, reused } from "./dense.js";
import { bf16Codec, fp16Codec } from "./halves.js";
import { int8Codec } from "./int8.js";
import { oneBitCodec } from "./one-bit.js";
import { randomKCodec } from "./random-k.js";
import { rawCodec } from "./raw.js";
import { topKCodec } from "./top-k.js";
import { topKTwoBitCodec } from "./top-k-two-bit.js";

/** The name of a codec: what a run's list calls "none" is raw here. */
export type CodecName = Exclude<CodecWord, "none"> | "raw";

/** The names; the position is the wire id. */
export const codecNames: readonly CodecName[] = codecs.map(({ name }) =>
  name === "none" ? "raw" : name,
);

/** What an encoding depends on besides the values. */
export interface EncodeSettings {
  /** Share of the values that topk and randomk keep: above 0, at most shareMax. */
  readonly share: number;
  /** Whole number below 2^32 by which int8 rounds and randomk picks. */
  readonly seed: number;
}

/** How many bytes an encoding of so many values may have, both bounds included. */
export interface SizeBounds {
  readonly min: number;
  readonly max: number;
}

/** One way to write f32 values as bytes. */
export interface Coding {
  /** What an encoding of this many values may take, whatever the settings. */
  sizes(values: number): SizeBounds;

  /**
   * Writes `values` at the start of `bytes` (at least sizes().max long) and returns the bytes
   * used. Throws "diverged" for what it can't write: not a number, and infinities where it scales.
   */
  encode(values: Float32Array, bytes: Uint8Array, settings: EncodeSettings): number;

  /**
   * Fills `values` from exactly the bytes that `encode` used. Throws "protocol" when the bytes
   * can't be an encoding of values.length values; `values` may then be partly written.
   */
  decode(bytes: Uint8Array, values: Float32Array): void;

  /**
   * Adds what the bytes hold to `values`, or with sign -1 takes it away; each result is rounded
   * to f32. Values that a sparse codec left out stay as they are. Throws as `decode` does, before
   * anything is changed.
   */
  accumulate(bytes: Uint8Array, values: Float32Array, sign: 1 | -1): void;
}

/** A coding with what the list says of it. */
export interface Codec extends Coding {
  /** What a chunk header carries. */
  readonly id: number;
  readonly name: CodecName;
  /** True where so much is dropped that it has to be added to what comes next (error feedback). */
  readonly wantsFeedback: boolean;
}

const makers: Readonly<Record<CodecName, (given: Conversions, scratch: Allocate) => Coding>> = {
  raw: rawCodec,
  fp16: fp16Codec,
  bf16: bf16Codec,
  int8: int8Codec,
  topk: topKCodec,
  randomk: randomKCodec,
  onebit: oneBitCodec,
  topk2bit: topKTwoBitCodec,
};

/** The codecs, by wire id and by name. */
export class CodecTable {
  readonly all: readonly Codec[];

  /**
   * @param conversions what runs the loops.
   * @param allocate gives memory, best where the conversions use it in place.
   */
  constructor(conversions: Conversions, allocate: Allocate = allocateAnywhere) {
    const scratch = reused(allocate);
    this.all = codecs.map(({ wantsFeedback }, id) => {
      const name = codecNames[id]!;
      return { ...makers[name](conversions, scratch), id, name, wantsFeedback };
    });
  }

  /** The codec of a wire id that a peer sent; throws "protocol" for one that doesn't exist. */
  ofId(id: number): Codec {
    const codec = this.all[id];
    if (codec === undefined) {
      const known = this.all.map((each) => `${each.id} (${each.name})`).join(", ");
      throw new PacelineError("protocol", `codec ${id} is unknown here; known codecs are ${known}`);
    }
    return codec;
  }

  /** The codec of a name. */
  named(name: CodecName): Codec {
    return this.all[codecNames.indexOf(name)]!;
  }
}
