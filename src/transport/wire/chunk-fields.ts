/**
 * What the fields of a chunk message may be, for every codec that carries one: the range of each
 * number, the words of each closed list with their wire values, the limits of its texts.
 *
 * Invariant: one table; a header that one codec accepts is accepted by the others.
 */
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import { termMax } from "../../protocol/ids.js";
import type { ChunkHeader, ChunkKind, ChunkPart, PushOutcome } from "../../protocol/messages.js";
import { detailBytesMax, payloadBytesMax, runBytesMax } from "./limits.js";

/** Header fields that are numbers. */
export type NumberField =
  | "generation"
  | "rank"
  | "incarnation"
  | "phase"
  | "step"
  | "chunk"
  | "version"
  | "fence"
  | "examples"
  | "codec"
  | "staleness"
  | "term"
  | "pull";

/** Header fields that are words of a closed list. */
export type WordField = "kind" | "part" | "outcome";

/** The range of a number: 0 to `max`, or -max to `max` where it is signed. */
export interface NumberRule {
  readonly name: NumberField;
  readonly signed: boolean;
  readonly max: number;
}

const uint32Max = 4294967295;
const sint32Max = 2147483647;
const safeMax = Number.MAX_SAFE_INTEGER;
/** Half of what a number holds, so that a folded value still fits. */
const signedMax = 4503599627370495;

/** In the order of the public contract's fields. */
export const numberRules: readonly NumberRule[] = [
  { name: "generation", signed: false, max: uint32Max },
  { name: "rank", signed: true, max: sint32Max },
  { name: "incarnation", signed: false, max: safeMax },
  { name: "phase", signed: false, max: uint32Max },
  { name: "step", signed: true, max: signedMax },
  { name: "chunk", signed: false, max: uint32Max },
  { name: "version", signed: false, max: safeMax },
  { name: "fence", signed: false, max: safeMax },
  { name: "examples", signed: false, max: safeMax },
  { name: "codec", signed: false, max: uint32Max },
  { name: "staleness", signed: false, max: safeMax },
  { name: "term", signed: false, max: termMax },
  { name: "pull", signed: false, max: uint32Max },
];

/**
 * Wire values; the compiler sees that none is missing, a test that core lists them in this order.
 */
const kindValues: Readonly<Record<ChunkKind, number>> = {
  hello: 0,
  welcome: 1,
  refusal: 2,
  push: 3,
  pull: 4,
  reply: 5,
  load: 6,
  loaded: 7,
  save: 8,
  saved: 9,
  follow: 10,
  snapshot: 11,
  entry: 12,
  received: 13,
  copy: 14,
  copied: 15,
  discard: 16,
  mark: 17,
  cut: 18,
  watch: 19,
  sealed: 20,
};
const partValues: Readonly<Record<ChunkPart, number>> = { weights: 0, state1: 1, state2: 2 };
const outcomeValues: Readonly<Record<PushOutcome, number>> = {
  none: 0,
  applied: 1,
  duplicate: 2,
  rejected: 3,
  dropped: 4,
  refused: 5,
  nonfinite: 6,
};

/** The words of each list; a word's wire value is its place, counted from 0. */
export const words: Readonly<Record<WordField, readonly string[]>> = {
  kind: Object.keys(kindValues),
  part: Object.keys(partValues),
  outcome: Object.keys(outcomeValues),
};

/** The sizes of what a message carries besides numbers and words. */
export interface CarriedBytes {
  readonly runBytes: number;
  readonly detailBytes: number;
  readonly payloadBytes: number;
}

/** Counts a message's bytes and asserts that header and payload can be sent at all. */
export function demandSendable(header: ChunkHeader, payload: Uint8Array | null): CarriedBytes {
  const payloadBytes = payload?.length ?? 0;
  assert(payloadBytes <= payloadBytesMax, "payload of a chunk fits 1 MiB", { payloadBytes });
  const runBytes = Buffer.byteLength(header.run);
  const detailBytes = Buffer.byteLength(header.detail);
  assert(runBytes <= runBytesMax, "run id within its limit", { runBytes });
  assert(detailBytes <= detailBytesMax, "detail within its limit", { detailBytes });
  for (const { name, signed, max } of numberRules) {
    const value = header[name];
    const fits = Number.isSafeInteger(value) && value <= max && value >= (signed ? -max : 0);
    if (!fits) assert(false, "header field in range", { [name]: value });
  }
  const { scale } = header;
  if (scale !== null) {
    assert(isScale(scale) && Math.fround(scale) === scale, "a scale is f32", { scale });
  }
  return { runBytes, detailBytes, payloadBytes };
}

/** The number as it came, which throws "protocol" where it is out of its range. */
export function checkedNumber({ name, signed, max }: NumberRule, value: number): number {
  if (Math.abs(value) <= max && (signed || value >= 0)) return value;
  throw new PacelineError(
    "protocol",
    `${name} of a chunk message is ${value}, at most ${max} is allowed`,
  );
}

/** The verdict as it came, which throws "protocol" where it is none. */
export function checkedScale(scale: number): number {
  if (isScale(scale)) return scale;
  const allowed = "a number from 0 to 1 is allowed";
  throw new PacelineError("protocol", `scale of a chunk message is ${scale}, ${allowed}`);
}

function isScale(scale: number): boolean {
  return scale >= 0 && scale <= 1;
}

/** The word of a wire value; throws "protocol" where there is none. */
export function knownWord(name: WordField, value: number): string {
  const word = words[name][value];
  if (word !== undefined) return word;
  throw new PacelineError("protocol", `${name} of a chunk message has the unknown value ${value}`);
}

/** The wire value of a word. */
export function wordValue(name: WordField, word: string): number {
  const value = words[name].indexOf(word);
  if (value < 0) assert(false, "header word is known", { [name]: word });
  return value;
}

/** What a payload that is longer than a chunk is answered with. */
export function oversizedPayload(bytes: number): PacelineError {
  const remedy = `at most ${payloadBytesMax} are allowed; send it as several chunks`;
  return new PacelineError("protocol", `a chunk message carries ${bytes} bytes, ${remedy}`);
}

/** What a text past its limit is answered with. */
export function oversizedText(name: "run" | "detail", bytes: number): PacelineError {
  const bytesMax = name === "run" ? runBytesMax : detailBytesMax;
  const has = `${name} of a chunk message has ${bytes} bytes`;
  return new PacelineError("protocol", `${has}, at most ${bytesMax} are allowed`);
}
