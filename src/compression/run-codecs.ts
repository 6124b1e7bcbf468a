/**
 * Which codec a run's messages may be written as. Only chunks of the group "weight" are ever
 * compressed, and raw values are understood everywhere: a sender that can't or doesn't want to
 * encode sends them.
 *
 * Invariant: a server takes in no payload whose codec the run spec doesn't name, nor one that is
 * longer than that codec's bound.
 */

import { PacelineError, toPacelineError } from "../errors.js";
import type { Conversions } from "../kernels/conversions.js";
import { type Compression, compressionTitle } from "../protocol/compression.js";
import type { Layout } from "../protocol/layout.js";
import type { ChunkHeader } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { type Codec, type CodecName, CodecTable, type SizeBounds } from "./codecs/codec.js";
import { type Allocate, allocateAnywhere } from "./codecs/dense.js";

/** A codec with the share of the values that it keeps. */
export interface ChosenCodec {
  readonly codec: Codec;
  readonly share: number;
}

/** What `--compress auto` chooses from, from the gentlest to the strongest; none stands before. */
export const autoCandidates: readonly Compression[] = [
  { codec: "fp16", share: 1 },
  { codec: "int8", share: 1 },
  { codec: "topk", share: 0.01 },
];

/** The codecs of one run. */
export class RunCodecs {
  readonly conversions: Conversions;
  /** Gives memory that lasts as long as the run, where the conversions use it in place. */
  readonly allocate: Allocate;
  readonly #spec: RunSpec;
  readonly #layout: Layout;
  readonly #table: CodecTable;

  constructor(
    spec: RunSpec,
    layout: Layout,
    conversions: Conversions,
    allocate: Allocate = allocateAnywhere,
  ) {
    this.#spec = spec;
    this.#layout = layout;
    const longest = Math.max(0, ...layout.chunks.map(({ length }) => length));
    this.allocate = (values) => allocate(Math.max(values, 1)).subarray(0, values);
    this.#table = new CodecTable(conversions, () => this.allocate(longest));
    this.conversions = conversions;
  }

  /** A way of writing values as a codec; null for the values as they are. */
  chosen({ codec, share }: Compression): ChosenCodec | null {
    if (codec === "none" || codec === "auto") return null;
    return { codec: this.#table.named(codec), share };
  }

  /** What replies with this chunk are written as; null for the weights as they are. */
  ofPull(chunk: number): ChosenCodec | null {
    return this.compresses(chunk) ? this.chosen(this.#spec.compression.pull) : null;
  }

  /** True for chunks that may be compressed. */
  compresses(chunk: number): boolean {
    return this.#layout.chunks[chunk]?.group === "weight";
  }

  /** Why a message can't be taken in as it is written; null when it can. */
  objection(header: ChunkHeader): string | null {
    const { codec: id, kind, chunk } = header;
    if (id === 0) return null;
    let name: CodecName;
    try {
      ({ name } = this.#table.ofId(id));
    } catch (thrown) {
      return toPacelineError(thrown).message;
    }
    const { push, pull } = this.#spec.compression;
    const way = kind === "push" ? push : pull;
    const named = way.codec === "auto" ? autoCandidates.map(({ codec }) => codec) : [way.codec];
    if ((kind !== "push" && kind !== "reply") || !named.some((one) => one === name)) {
      const asked = kind === "push" ? `--compress ${compressionTitle(push)}` : "raw values";
      return `${kind} of chunk ${chunk} is written as ${name}, and this run has ${asked}: send raw`;
    }
    if (this.compresses(chunk)) return null;
    const group = this.#layout.chunks[chunk]?.group ?? "no";
    const which = `chunk ${chunk} is of the group ${group}`;
    return `${which}, which is never compressed: send raw, not ${name}`;
  }

  /** How long the payload of a message may be that carries so many values. */
  sizesOf(header: ChunkHeader, values: number): SizeBounds {
    return this.#table.ofId(header.codec).sizes(values);
  }

  /** Fills values from the payload of a push, or of a reply with rounded weights. */
  decode(header: ChunkHeader, bytes: Uint8Array, values: Float32Array): void {
    this.#table.ofId(header.codec).decode(bytes, values);
  }

  /**
   * Brings a worker's weights up to a reply: sets them, or adds the difference where the codec is
   * one that drops values.
   */
  receive(header: ChunkHeader, bytes: Uint8Array, weights: Float32Array): void {
    const codec = this.#table.ofId(header.codec);
    if (codec.wantsFeedback) codec.accumulate(bytes, weights, 1);
    else codec.decode(bytes, weights);
  }
}

/** True for what encoding throws where values are no longer finite. */
export function isDiverged(thrown: unknown): boolean {
  return thrown instanceof PacelineError && thrown.code === "diverged";
}
