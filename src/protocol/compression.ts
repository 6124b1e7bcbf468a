/**
 * How a run makes its pushes and pulls shorter: which codec, which share of the values, and whether
 * what a push drops is added to the next one. Only chunks of the group "weight" are compressed;
 * biases, norms, buffers and counters travel exactly as they are.
 */

/** What pushes may be written as; `auto` measures and chooses. */
export const pushCompressions = [
  "none",
  "fp16",
  "bf16",
  "int8",
  "topk",
  "randomk",
  "onebit",
  "auto",
] as const;

/**
 * What pulls may be written as: rounded weights, or the difference to what the worker received
 * last by its largest values or by signs.
 */
export const pullCompressions = ["none", "fp16", "bf16", "topk", "onebit"] as const;

/** One way of writing values, with the share of the values that it keeps; 1 where it keeps all. */
export interface Compression {
  readonly codec: (typeof pushCompressions)[number];
  readonly share: number;
}

/** Both ways. */
export interface CompressionSpec {
  readonly push: Compression;
  /** One of pullCompressions. */
  readonly pull: Compression;
  /** Whether what a push drops is added to the next one. */
  readonly feedback: boolean;
}

/** Everything as it is. */
export const uncompressed: CompressionSpec = {
  push: { codec: "none", share: 1 },
  pull: { codec: "none", share: 1 },
  feedback: true,
};

/** Codecs that drop so much that it is kept and added to what comes next. */
export const feedbackCodecs: readonly string[] = ["topk", "randomk", "onebit"];

/** True where workers keep what their pushes drop; with `auto` they may come to it. */
export function keepsResiduals({ push, feedback }: CompressionSpec): boolean {
  return feedback && (push.codec === "auto" || feedbackCodecs.includes(push.codec));
}

/** True where replies are differences, so that what a worker has lags behind the servers. */
export function pullsDifferences({ pull }: CompressionSpec): boolean {
  return feedbackCodecs.includes(pull.codec);
}

/** Codecs that keep a share of the values, which is written behind their name. */
export const sharedCodecs: readonly string[] = ["topk", "randomk"];
/** The share where none is written. */
export const shareDefault = 0.01;
/** The largest share: with indices an encoding is then half as long as the values. */
export const shareMax = 0.25;

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
