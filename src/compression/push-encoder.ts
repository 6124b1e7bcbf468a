/**
 * A worker's pushes as bytes. A chunk's gradient is encoded once, when it is ready; the bytes are
 * kept until its next step and sent again as they are. Raw gradients are not copied at all.
 *
 * What topk, randomk and onebit drop is kept in a residual of each chunk, as long as the chunk, to
 * be added to its next gradient, whichever of them writes it. Residuals live in this worker's
 * memory, and from a checkpoint's barrier on in the checkpoint: a resumed run goes on with them; a
 * life that begins amid a run starts with zeros and says so. A push that a server rejects as stale
 * takes with it what its residual had added.
 *
 * Invariants: the same push is always the same bytes, however an earlier sending ended; the
 * bytes depend on seed, rank, step, chunk and gradients only; memory that a transport still reads
 * is not written to.
 */

import { type Compression, compressionTitle } from "../protocol/compression.js";
import type { Layout } from "../protocol/layout.js";
import type { ChunkHeader } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { Random } from "../random.js";
import { ErrorFeedback } from "./codecs/error-feedback.js";
import { type ChosenCodec, isDiverged, type RunCodecs } from "./run-codecs.js";

/** What goes out for a push. */
export interface PushMessage {
  readonly header: ChunkHeader;
  readonly payload: Uint8Array | null;
  /** To be called when the transport is done with the payload. */
  readonly sent: () => void;
}

interface Encoded {
  readonly step: number;
  readonly codec: number;
  readonly memory: Uint8Array;
  readonly used: number;
  sendings: number;
  retired: boolean;
}

/** Who encodes what. */
export interface PushEncoderParts {
  readonly spec: RunSpec;
  readonly layout: Layout;
  readonly codecs: RunCodecs;
  /** The flat vector of f32 values. */
  readonly gradients: Float32Array;
  readonly rank: number;
  /** Residuals by chunk to go on with, which are the encoder's from then on; none if left out. */
  readonly inherited?: ReadonlyMap<number, Float32Array>;
  log(text: string): void;
}

/** The pushes of one worker in one job. */
export class PushEncoder {
  readonly #parts: PushEncoderParts;
  readonly #encoded = new Map<number, Encoded>();
  /** The step whose push went raw, by chunk: sent again, it goes raw whatever was chosen since. */
  readonly #rawSteps = new Map<number, number>();
  readonly #residuals: Map<number, Float32Array>;
  /** Memory that is free to be written to, by chunk. */
  readonly #spare = new Map<number, Uint8Array[]>();
  #chosen: ChosenCodec | null = null;
  #feedback: ErrorFeedback | null = null;

  constructor(parts: PushEncoderParts) {
    this.#parts = parts;
    this.#residuals = new Map(parts.inherited);
    this.choose(parts.spec.compression.push);
  }

  /** What pushes have dropped so far, by chunk; lent, and changed by the next push of a chunk. */
  get residuals(): ReadonlyMap<number, Float32Array> {
    return this.#residuals;
  }

  /** Writes pushes in another way from the next gradient on. */
  choose(compression: Compression): void {
    const { spec, layout, codecs, log } = this.#parts;
    this.#chosen = codecs.chosen(compression);
    this.#feedback = null;
    // With auto they wait for what is chosen.
    if (compression.codec === "auto") return;
    const title = compressionTitle(compression);
    const isLossy = this.#chosen?.codec.wantsFeedback === true;
    if (isLossy && !spec.compression.feedback) {
      log(`pushes are sent as ${title} without error feedback: what is dropped is lost`);
    }
    if (!isLossy || !spec.compression.feedback) {
      if (this.#residuals.size > 0) log(`residuals of ${this.#held()} are dropped`);
      this.#residuals.clear();
      return;
    }
    const longest = Math.max(...layout.chunks.map(({ length }) => length));
    const memory = () => codecs.allocate(longest);
    this.#feedback = new ErrorFeedback(this.#chosen!.codec, codecs.conversions, memory);
    const how = this.#residuals.size === 0 ? "start at zero" : `of ${this.#held()} are restored`;
    log(`pushes are sent as ${title} with error feedback: residuals ${how}`);
  }

  /** How much is held, in words. */
  #held(): string {
    const values = [...this.#residuals.values()].reduce((sum, { length }) => sum + length, 0);
    const chunks = this.#residuals.size;
    return `${chunks} chunk${chunks === 1 ? "" : "s"} (${values} values) from the checkpoint`;
  }

  /** What to send for a push, for the first time or again; of one that is rejected no values. */
  message(header: ChunkHeader): PushMessage {
    const raw = { header, payload: null, sent: () => {} };
    if (header.examples === 0 || header.scale === 0) return raw;
    const values = this.#gradientOf(header.chunk);
    const encoded = this.#encodedOf(header, values);
    if (encoded === null) {
      this.#rawSteps.set(header.chunk, header.step);
      return { ...raw, payload: bytesOf(values) };
    }
    encoded.sendings++;
    return {
      header: { ...header, codec: encoded.codec },
      payload: encoded.memory.subarray(0, encoded.used),
      sent: () => {
        encoded.sendings--;
        this.#recycle(header.chunk, encoded);
      },
    };
  }

  /** The bytes of a push; null where it goes as it is. */
  #encodedOf(header: ChunkHeader, values: Float32Array): Encoded | null {
    const { chunk, step } = header;
    const kept = this.#encoded.get(chunk);
    if (kept?.step === step) return kept;
    if (this.#rawSteps.get(chunk) === step) return null;
    if (kept !== undefined) {
      kept.retired = true;
      this.#encoded.delete(chunk);
      this.#recycle(chunk, kept);
    }
    const chosen = this.#chosen;
    if (chosen === null || !this.#parts.codecs.compresses(chunk)) return null;
    const memory = this.#memoryFor(chunk, chosen.codec.sizes(values.length).max);
    try {
      const used = this.#encode(header, chosen, values, memory);
      const { id } = chosen.codec;
      const encoded = { step, codec: id, memory, used, sendings: 0, retired: false };
      this.#encoded.set(chunk, encoded);
      return encoded;
    } catch (thrown) {
      // Not finite: the server says so of the raw gradient, as it does without compression.
      if (isDiverged(thrown)) return null;
      throw thrown;
    }
  }

  #encode(
    { step, chunk }: ChunkHeader,
    { codec, share }: ChosenCodec,
    values: Float32Array,
    memory: Uint8Array,
  ): number {
    const { spec, rank } = this.#parts;
    const seed = new Random(spec.seed, "push", rank, step, chunk).uint32();
    const settings = { share, seed };
    if (this.#feedback === null) return codec.encode(values, memory, settings);
    let residual = this.#residuals.get(chunk);
    if (residual === undefined) {
      residual = this.#parts.codecs.allocate(values.length).fill(0);
      this.#residuals.set(chunk, residual);
    }
    return this.#feedback.encode(values, residual, memory, settings);
  }

  #memoryFor(chunk: number, bytes: number): Uint8Array {
    const spare = this.#spare.get(chunk)?.pop();
    return spare?.length === bytes ? spare : new Uint8Array(bytes);
  }

  #recycle(chunk: number, { memory, sendings, retired }: Encoded): void {
    if (!retired || sendings > 0) return;
    const spare = this.#spare.get(chunk) ?? [];
    spare.push(memory);
    this.#spare.set(chunk, spare);
  }

  #gradientOf(chunk: number): Float32Array {
    const { offset, length } = this.#parts.layout.chunks[chunk]!;
    return this.#parts.gradients.subarray(offset, offset + length);
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
