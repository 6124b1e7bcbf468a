/**
 * How a run makes its pushes and pulls shorter: which codec, which share of the values, and whether
 * what a push drops is added to the next one. Only chunks of the group "weight" are compressed;
 * biases, norms, buffers and counters travel exactly as they are.
 *
 * The list of codecs stands here; `compression/codecs` has one file for each.
 */
import { flag, oneOf, real, record, type SpecOf } from "./spec-field.js";
import { option } from "./spec-option.js";

/** What is to be known of a codec besides its bytes. */
export interface CodecFacts {
  /** What the user writes; the table in `compression` calls "none" raw. */
  readonly name: string;
  /** Whether pulls may be written so: rounded weights, or the difference to what came last. */
  readonly pulls: boolean;
  /** Whether so much is dropped that it is kept and added to what comes next. */
  readonly wantsFeedback: boolean;
  /** Whether it keeps a share of the values, which is written behind its name. */
  readonly hasShare: boolean;
}

/** Every codec. Its place is its id on the wire: one that is added goes to the end. */
export const codecs = [
  { name: "none", pulls: true, wantsFeedback: false, hasShare: false },
  { name: "fp16", pulls: true, wantsFeedback: false, hasShare: false },
  { name: "bf16", pulls: true, wantsFeedback: false, hasShare: false },
  { name: "int8", pulls: false, wantsFeedback: false, hasShare: false },
  { name: "topk", pulls: true, wantsFeedback: true, hasShare: true },
  { name: "randomk", pulls: false, wantsFeedback: true, hasShare: true },
  { name: "onebit", pulls: true, wantsFeedback: true, hasShare: false },
  { name: "topk2bit", pulls: true, wantsFeedback: true, hasShare: true },
] as const satisfies readonly CodecFacts[];

/** The name of a codec as the user writes it. */
export type CodecWord = (typeof codecs)[number]["name"];

const namesOf = (some: readonly (typeof codecs)[number][]) => some.map(({ name }) => name);

/** What pushes may be written as; `auto` measures and chooses. */
export const pushCompressions: readonly (CodecWord | "auto")[] = [...namesOf(codecs), "auto"];

/**
 * What pulls may be written as: rounded weights, or the difference to what the worker received
 * last by its largest values or by signs.
 */
export const pullCompressions: readonly CodecWord[] = namesOf(codecs.filter(({ pulls }) => pulls));

/** Codecs that drop so much that it is kept and added to what comes next. */
export const feedbackCodecs: readonly string[] = namesOf(
  codecs.filter(({ wantsFeedback }) => wantsFeedback),
);

/** Codecs that keep a share of the values, which is written behind their name. */
export const sharedCodecs: readonly string[] = namesOf(codecs.filter(({ hasShare }) => hasShare));
/** The share where none is written. */
export const shareDefault = 0.01;
/** The largest share: with indices an encoding is then half as long as the values. */
export const shareMax = 0.25;
/** The shares that can be kept. */
export const shareRange = `(0, ${shareMax}]` as const;

const compressionFields = {
  codec: oneOf(pushCompressions),
  /** Share of the values that is kept; 1 where all are. */
  share: real("(0, 1]"),
};

/** One way of writing values, with the share of the values that it keeps; 1 where it keeps all. */
export interface Compression extends SpecOf<typeof compressionFields> {}

const everything: Compression = { codec: "none", share: 1 };
const place = { group: "wire", scope: "run" } as const;

/** How pushes and pulls are written. */
export const compressionSpecFields = {
  push: option("compress", record<Compression>(compressionFields), {
    default: everything,
    sentence: "compression of pushed gradients; auto measures link and codecs and chooses",
    ...place,
  }),
  /** One of pullCompressions. */
  pull: option("compressPull", record<Compression>(compressionFields), {
    default: everything,
    sentence: "compression of pulled weights; topk, topk2bit and onebit send differences",
    ...place,
  }),
  /** Whether what a push drops is added to the next one. */
  feedback: option("errorFeedback", flag, {
    default: true,
    sentence: "add what topk, topk2bit, randomk or onebit drops to the next push (error feedback)",
    ...place,
  }),
};

/** Both ways. */
export interface CompressionSpec extends SpecOf<typeof compressionSpecFields> {}

/** Everything as it is. */
export const uncompressed: CompressionSpec = { push: everything, pull: everything, feedback: true };

/** True where workers keep what their pushes drop; with `auto` they may come to it. */
export function keepsResiduals({ push, feedback }: CompressionSpec): boolean {
  return feedback && (push.codec === "auto" || feedbackCodecs.includes(push.codec));
}

/** True where the weights of a reply are not what the server has, but something near it. */
export function pullsEncoded({ pull }: CompressionSpec): boolean {
  return pull.codec !== "none";
}

/** True where replies are differences, so that what a worker has lags behind the servers. */
export function pullsDifferences({ pull }: CompressionSpec): boolean {
  return feedbackCodecs.includes(pull.codec);
}

/** What is wrong with a spec that came from elsewhere; null when nothing is. */
export function compressionProblem({ push, pull }: CompressionSpec): string | null {
  if (!(pullCompressions as readonly string[]).includes(pull.codec)) {
    return `pulls can't be written as ${pull.codec}: ${pullCompressions.join(", ")} are possible`;
  }
  const wrong = [push, pull].find(
    ({ codec, share }) => !(share > 0 && share <= (sharedCodecs.includes(codec) ? shareMax : 1)),
  );
  if (wrong === undefined) return null;
  return `${wrong.codec} can't keep a share of ${wrong.share}: above 0 and at most ${shareMax}`;
}

/** As people write it: topk:0.01, fp16. */
export function compressionTitle({ codec, share }: Compression): string {
  return sharedCodecs.includes(codec) ? `${codec}:${share}` : codec;
}
