/**
 * `--compress auto` at work: the first steps are pushed raw while a worker measures, then it
 * chooses once, by itself, and says why.
 *
 * The link is measured by asking for the smallest and the largest chunk once in each step, while
 * it is computed: what the larger takes longer is its bytes' time, free of latency. The best of
 * several steps counts, since a busy computer makes a link seem slow and nothing makes it seem
 * fast. These pulls are for no step, as an evaluation's are, so that no server takes one for the
 * beginning of a step; the replies carry a step of -1 and are thrown away. Codecs are measured on
 * the gradients of the largest chunk. What is taken depends on these times, so a run with `auto`
 * has no bits to repeat.
 */
import { type Compression, uncompressed } from "../protocol/compression.js";
import type { Chunk, Layout } from "../protocol/layout.js";
import type { ChunkHeader } from "../protocol/messages.js";
import { chooseCompression, type PushCost } from "./choose-compression.js";
import { autoCandidates, type RunCodecs } from "./run-codecs.js";

/** What it needs around it. */
export interface AutoCompressionParts {
  readonly layout: Layout;
  readonly codecs: RunCodecs;
  /** The flat vector of f32 values. */
  readonly gradients: Float32Array;
  nowMs(): number;
  /** Where the chunk's server is reached. */
  addressOf(chunk: number): string;
  /** Asks for a chunk; the header is that of a pull. */
  pull(header: ChunkHeader): void;
  choose(compression: Compression): void;
  log(text: string): void;
}

const probes = 10;
/** A loopback address, or a socket in the file system. */
const localAddress = /^(unix:|\/|(tcp:)?(127\.|localhost:|\[::1\]))/;
/** Steps without an answer after which a probe is sent again. */
const patienceSteps = 20;

/** The measurement of one worker in one job. */
export class AutoCompression {
  readonly #parts: AutoCompressionParts;
  readonly #small: Chunk;
  readonly #large: Chunk | undefined;
  /** Tags of a push, from which those of a pull are made. */
  #tags: ChunkHeader | null = null;
  #stepMs: number[] = [];
  #startedMs: number | null = null;
  #asked: { readonly chunk: Chunk; readonly atMs: number; steps: number } | null = null;
  readonly #answerMs = new Map<Chunk, number[]>();
  readonly #answerBytes = new Map<Chunk, number>();
  #costs: readonly PushCost[] | null = null;
  #isOver = false;

  constructor(parts: AutoCompressionParts) {
    this.#parts = parts;
    const byLength = [...parts.layout.chunks].sort((a, b) => a.length - b.length);
    this.#small = byLength[0]!;
    this.#large = byLength.filter(({ group }) => group === "weight").at(-1);
    this.#isOver = this.#large === undefined;
  }

  /** A step begins. */
  stepBegins(): void {
    if (this.#isOver) return;
    const nowMs = this.#parts.nowMs();
    if (this.#startedMs !== null) this.#stepMs.push(nowMs - this.#startedMs);
    this.#startedMs = nowMs;
    if (this.#asked !== null && ++this.#asked.steps > patienceSteps) this.#asked = null;
    this.#decide();
    if (!this.#isOver && this.#asked === null) this.#ask(this.#small);
  }

  /** A push goes out. */
  pushed(header: ChunkHeader): void {
    if (this.#isOver || header.examples === 0) return;
    this.#tags ??= header;
    // The first step warms everything up.
    if (this.#costs !== null || this.#stepMs.length < 1) return;
    if (header.chunk === this.#large?.index) this.#costs = this.#measureCodecs(this.#large);
  }

  /** A reply has come; those of other steps than -1 are not meant. */
  answered(header: ChunkHeader): void {
    const asked = this.#asked;
    if (asked === null || header.step !== -1 || header.chunk !== asked.chunk.index) return;
    const answers = this.#answerMs.get(asked.chunk) ?? [];
    answers.push(this.#parts.nowMs() - asked.atMs);
    this.#answerMs.set(asked.chunk, answers);
    const { max } = this.#parts.codecs.sizesOf(header, asked.chunk.length);
    this.#answerBytes.set(asked.chunk, max);
    this.#asked = null;
    if (asked.chunk === this.#small && asked.chunk !== this.#large) this.#ask(this.#large!);
  }

  #ask(chunk: Chunk): void {
    if (this.#tags === null) return;
    this.#asked = { chunk, atMs: this.#parts.nowMs(), steps: 0 };
    const about = { chunk: chunk.index, step: -1, version: 0, examples: 0, codec: 0 };
    this.#parts.pull({ ...this.#tags, ...about, kind: "pull", wantsReply: false });
  }

  /** What pushing all weights takes as each candidate. */
  #measureCodecs(chunk: Chunk): PushCost[] | null {
    const { gradients, codecs, layout } = this.#parts;
    const values = gradients.subarray(chunk.offset, chunk.offset + chunk.length);
    const total = layout.chunks
      .filter(({ group }) => group === "weight")
      .reduce((sum, { length }) => sum + length, 0);
    if (!codecs.conversions.finite(values)) return null;
    return autoCandidates.map((compression) => {
      const { codec, share } = codecs.chosen(compression)!;
      const bytes = new Uint8Array(codec.sizes(values.length).max);
      const decoded = new Float32Array(values.length);
      let leastMs = Number.POSITIVE_INFINITY;
      let used = 0;
      for (let turn = 0; turn < 3; turn++) {
        const startedMs = this.#parts.nowMs();
        used = codec.encode(values, bytes, { share, seed: turn });
        codec.decode(bytes.subarray(0, used), decoded);
        leastMs = Math.min(leastMs, this.#parts.nowMs() - startedMs);
      }
      const times = total / values.length;
      return { compression, bytes: used * times, codecSeconds: (leastMs * times) / 1000 };
    });
  }

  #decide(): void {
    const small = this.#answerMs.get(this.#small) ?? [];
    const large = this.#answerMs.get(this.#large!) ?? [];
    const costs = this.#costs;
    if (costs === null || large.length < probes) return;
    this.#isOver = true;
    const weights = this.#parts.layout.chunks.filter(({ group }) => group === "weight");
    const bytes = weights.reduce((sum, { length }) => sum + length * 4, 0);
    const raw = { compression: uncompressed.push, bytes, codecSeconds: 0 };
    const stepSeconds = Math.min(...this.#stepMs.slice(1)) / 1000;
    const isLocal = localAddress.test(this.#parts.addressOf(this.#large!.index));
    const link = { bytesPerSecond: this.#bytesPerSecond(small, large), stepSeconds, isLocal };
    const { compression, reason } = chooseCompression(link, raw, costs);
    this.#parts.log(reason);
    if (compression.codec !== "none") this.#parts.choose(compression);
  }

  #bytesPerSecond(small: readonly number[], large: readonly number[]): number {
    const isOne = this.#small === this.#large;
    const milliseconds = Math.min(...large) - (isOne ? 0 : Math.min(...small));
    const bytesOf = (chunk: Chunk) => this.#answerBytes.get(chunk) ?? 0;
    const bytes = bytesOf(this.#large!) - (isOne ? 0 : bytesOf(this.#small));
    return milliseconds > 0 ? (bytes * 1000) / milliseconds : Number.POSITIVE_INFINITY;
  }
}
