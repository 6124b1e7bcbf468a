/**
 * Frames: the chunk messages of the public contract as Paceline's own processes exchange them over
 * a bare connection. All numbers are little-endian.
 *
 * Each side first says a greeting of 8 bytes: four that no text, TLS or HTTP/2 connection begins
 * with, the version of this layout (u16), 0 (u16). Then frames follow, each a head of 96 bytes, the
 * run, the detail, the payload:
 *
 *   0 kind u8 | 1 part u8 | 2 outcome u8 | 3 flags u8 | 4 run's bytes u16 | 6 zero u16
 *   8 payload's bytes u32 | 12 detail's bytes u32 | 16 generation u32 | 20 rank i32 | 24 phase u32
 *   28 chunk u32 | 32 codec u32 | 36 term u32 | 40 incarnation u64 | 48 step i64 | 56 version u64
 *   64 fence u64 | 72 examples u64 | 80 staleness u64 | 88 scale f32 | 92 pull u32
 *
 * Words have the public contract's wire values; three more kinds serve the connection itself. Flag
 * 1 says that a reply is wanted, 2 that the run is that of the frame before, 4 that the chunk leads
 * its push, 8 that there is a scale; where there is none its place holds 0.
 */
import { isUtf8 } from "node:buffer";
import { PacelineError } from "../../errors.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import {
  type CarriedBytes,
  checkedNumber,
  checkedScale,
  demandSendable,
  knownWord,
  type NumberField,
  numberRules,
  oversizedPayload,
  oversizedText,
  wordValue,
} from "./chunk-fields.js";
import { detailBytesMax, payloadBytesMax, runBytesMax } from "./limits.js";

/** Bytes of the greeting. */
export const greetingBytes = 8;
/** Bytes of a frame's head. */
export const frameHeadBytes = 96;
/** The layout's version; both sides must have the same. */
export const frameVersion = 4;
/** The first bytes of a connection that carries frames. */
export const frameMagic: Uint8Array = Uint8Array.of(0x8f, 0x50, 0x4c, 0x46);

/** What a connection says of itself: are you there, I am, and why it ends. */
export const frameSignals = ["ping", "pong", "fault"] as const;
/** One of the signals. */
export type FrameSignal = (typeof frameSignals)[number];

/** A frame's head. */
export interface FrameHead extends CarriedBytes {
  /** Null where the frame is a chunk message. */
  readonly signal: FrameSignal | null;
  readonly repeatsRun: boolean;
  /** Without its texts, which follow. */
  readonly header: ChunkHeader;
}

type Width = "u32" | "i32" | "u64" | "i64";

const places: Readonly<Record<NumberField, readonly [offset: number, width: Width]>> = {
  generation: [16, "u32"],
  rank: [20, "i32"],
  phase: [24, "u32"],
  chunk: [28, "u32"],
  codec: [32, "u32"],
  term: [36, "u32"],
  incarnation: [40, "u64"],
  step: [48, "i64"],
  version: [56, "u64"],
  fence: [64, "u64"],
  examples: [72, "u64"],
  staleness: [80, "u64"],
  pull: [92, "u32"],
};
const placedRules = numberRules.map((rule) => {
  const [offset, width] = places[rule.name];
  return { rule, name: rule.name, offset, width };
});
const placed = Object.fromEntries(placedRules.map((one) => [one.name, one])) as Readonly<
  Record<NumberField, (typeof placedRules)[number]>
>;
const signalValues: Readonly<Record<FrameSignal, number>> = { ping: 253, pong: 254, fault: 255 };
const signalOf = new Map(frameSignals.map((signal) => [signalValues[signal], signal]));
const flagWantsReply = 1;
const flagRepeatsRun = 2;
const flagLeads = 4;
const flagHasScale = 8;
const flagsAll = flagWantsReply | flagRepeatsRun | flagLeads | flagHasScale;
const scaleOffset = 88;
const twoTo32 = 4294967296;

/** The greeting. */
export function encodeGreeting(): Buffer {
  const bytes = Buffer.alloc(greetingBytes);
  bytes.set(frameMagic);
  bytes.writeUInt16LE(frameVersion, 4);
  return bytes;
}

/** The version that a greeting names; null where the bytes are no greeting. */
export function greetedVersion(bytes: Buffer): number | null {
  const known = frameMagic.every((byte, index) => bytes[index] === byte);
  return known && bytes.readUInt16LE(6) === 0 ? bytes.readUInt16LE(4) : null;
}

/**
 * Head, run and detail of a chunk message's frame, in one Buffer; the payload follows as it is.
 * @param runBefore the run of the frame before in this direction, "" if there was none.
 */
export function encodeFrame(
  header: ChunkHeader,
  payload: Uint8Array | null,
  runBefore: string,
): Buffer {
  const { runBytes, detailBytes, payloadBytes } = demandSendable(header, payload);
  const repeatsRun = runBytes > 0 && header.run === runBefore;
  const ownRunBytes = repeatsRun ? 0 : runBytes;
  const bytes = Buffer.allocUnsafe(frameHeadBytes + ownRunBytes + detailBytes);
  bytes[0] = wordValue("kind", header.kind);
  bytes[1] = wordValue("part", header.part);
  bytes[2] = wordValue("outcome", header.outcome);
  bytes[3] =
    (header.wantsReply ? flagWantsReply : 0) |
    (repeatsRun ? flagRepeatsRun : 0) |
    (header.leads ? flagLeads : 0) |
    (header.scale === null ? 0 : flagHasScale);
  bytes.writeFloatLE(header.scale ?? 0, scaleOffset);
  writeSizes(bytes, { runBytes: ownRunBytes, detailBytes, payloadBytes });
  for (const { name, offset, width } of placedRules) write(bytes, offset, width, header[name]);
  if (ownRunBytes > 0) bytes.write(header.run, frameHeadBytes, "utf8");
  if (detailBytes > 0) bytes.write(header.detail, frameHeadBytes + ownRunBytes, "utf8");
  return bytes;
}

/** A signal's frame. Of a fault, the run's place holds the error's code and detail its sentence. */
export function encodeSignal(signal: FrameSignal, code = "", sentence = ""): Buffer {
  const runBytes = Buffer.byteLength(code);
  const detailBytes = Buffer.byteLength(sentence);
  const bytes = Buffer.alloc(frameHeadBytes + runBytes + detailBytes);
  bytes[0] = signalValues[signal];
  writeSizes(bytes, { runBytes, detailBytes, payloadBytes: 0 });
  bytes.write(code, frameHeadBytes, "utf8");
  bytes.write(sentence, frameHeadBytes + runBytes, "utf8");
  return bytes;
}

/** Reads and validates a head; throws "protocol" for whatever the layout forbids. */
export function decodeFrameHead(bytes: Buffer): FrameHead {
  const kind = bytes[0]!;
  const flags = bytes[3]!;
  const runBytes = bytes.readUInt16LE(4);
  const payloadBytes = bytes.readUInt32LE(8);
  const detailBytes = bytes.readUInt32LE(12);
  if (runBytes > runBytesMax) throw oversizedText("run", runBytes);
  if (detailBytes > detailBytesMax) throw oversizedText("detail", detailBytes);
  if (payloadBytes > payloadBytesMax) throw oversizedPayload(payloadBytes);
  const repeatsRun = (flags & flagRepeatsRun) !== 0;
  const spare = bytes.readUInt16LE(6);
  const hasScale = (flags & flagHasScale) !== 0;
  const stray = !hasScale && bytes.readUInt32LE(scaleOffset) !== 0;
  if (flags > flagsAll || spare > 0 || stray || (repeatsRun && runBytes > 0)) {
    throw new PacelineError("protocol", "a frame's head has bits that must be zero");
  }
  const signal = signalOf.get(kind) ?? null;
  if (signal !== null && payloadBytes > 0) {
    throw new PacelineError("protocol", `a ${signal} frame carries ${payloadBytes} bytes, not 0`);
  }
  const header = {
    kind: signal === null ? knownWord("kind", kind) : "hello",
    run: "",
    generation: read(bytes, "generation"),
    term: read(bytes, "term"),
    rank: read(bytes, "rank"),
    incarnation: read(bytes, "incarnation"),
    phase: read(bytes, "phase"),
    step: read(bytes, "step"),
    chunk: read(bytes, "chunk"),
    version: read(bytes, "version"),
    fence: read(bytes, "fence"),
    examples: read(bytes, "examples"),
    codec: read(bytes, "codec"),
    part: knownWord("part", bytes[1]!),
    outcome: knownWord("outcome", bytes[2]!),
    staleness: read(bytes, "staleness"),
    scale: hasScale ? checkedScale(bytes.readFloatLE(scaleOffset)) : null,
    leads: (flags & flagLeads) !== 0,
    pull: read(bytes, "pull"),
    wantsReply: (flags & flagWantsReply) !== 0,
    detail: "",
  } as ChunkHeader;
  return { signal, repeatsRun, header, runBytes, detailBytes, payloadBytes };
}

/** The header whole, with the texts that followed its head. */
export function completeHeader(
  { header, repeatsRun, runBytes }: FrameHead,
  texts: Buffer,
  runBefore: string,
): ChunkHeader {
  const run = repeatsRun ? runBefore : decodeText(texts.subarray(0, runBytes), "run");
  return { ...header, run, detail: decodeText(texts.subarray(runBytes), "detail") };
}

function decodeText(bytes: Buffer, name: string): string {
  if (bytes.length === 0) return "";
  if (isUtf8(bytes)) return bytes.toString("utf8");
  throw new PacelineError("protocol", `${name} of a chunk message is not valid UTF-8`);
}

function writeSizes(bytes: Buffer, { runBytes, detailBytes, payloadBytes }: CarriedBytes): void {
  bytes.writeUInt16LE(runBytes, 4);
  bytes.writeUInt16LE(0, 6);
  bytes.writeUInt32LE(payloadBytes, 8);
  bytes.writeUInt32LE(detailBytes, 12);
}

function write(bytes: Buffer, offset: number, width: Width, value: number): void {
  if (width === "u32") bytes.writeUInt32LE(value, offset);
  else if (width === "i32") bytes.writeInt32LE(value, offset);
  else {
    const high = Math.floor(value / twoTo32);
    bytes.writeUInt32LE(value - high * twoTo32, offset);
    bytes.writeInt32LE(high, offset + 4);
  }
}

function read(bytes: Buffer, name: NumberField): number {
  const { rule, offset, width } = placed[name];
  return checkedNumber(rule, readWidth(bytes, offset, width));
}

/** A 64-bit number past 2^53 comes out inexact, and past every range. */
function readWidth(bytes: Buffer, offset: number, width: Width): number {
  if (width === "u32") return bytes.readUInt32LE(offset);
  if (width === "i32") return bytes.readInt32LE(offset);
  const low = bytes.readUInt32LE(offset);
  const high = width === "i64" ? bytes.readInt32LE(offset + 4) : bytes.readUInt32LE(offset + 4);
  return high * twoTo32 + low;
}
