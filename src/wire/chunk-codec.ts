/**
 * Chunk messages <-> bytes, by hand: the one message whose size matters. The layout is that of
 * `Chunk` in proto/paceline/v1/parameter_server.proto, so that any protobuf library reads and
 * writes it too. A message is encoded into one Buffer of exactly its size with the payload last,
 * and decoded into a header and a view of the payload, which is never copied here.
 *
 * Invariants: fields at their protobuf default (0, false, "") are left out; what the generated
 * codec writes decodes to the same header and the other way round; whatever bytes come, decoding
 * throws nothing but a PacelineError of code "protocol" and allocates no more than the strings it
 * accepted.
 *
 * Source: Protocol Buffers, "Encoding".
 */
import { isUtf8 } from "node:buffer";
import { assert } from "../assert.js";
import type { ChunkHeader, ChunkKind, ChunkPart, PushOutcome } from "../contract/messages.js";
import { PacelineError } from "../errors.js";
import { detailBytesMax, payloadBytesMax, runBytesMax } from "./limits.js";
import { MessageReader, unzigzag, varintBytes, writeVarint, zigzag } from "./varint.js";

/** A decoded message; `payload` is a view of the bytes it was decoded from. */
export interface DecodedChunk {
  readonly header: ChunkHeader;
  readonly payload: Uint8Array;
}

type NumberField =
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
  | "staleness";
type Words = "kind" | "part" | "outcome";

const wireTypeVarint = 0;
const wireTypeBytes = 2;
const uint32Max = 4294967295;
const sint32Max = 2147483647;
const safeMax = Number.MAX_SAFE_INTEGER;
/** Half of what a number holds, so that the folded value still fits. */
const signedMax = 4503599627370495;

const fields = {
  kind: 1,
  run: 2,
  generation: 3,
  rank: 4,
  incarnation: 5,
  phase: 6,
  step: 7,
  chunk: 8,
  version: 9,
  fence: 10,
  examples: 11,
  codec: 12,
  part: 13,
  outcome: 14,
  staleness: 15,
  wantsReply: 16,
  detail: 17,
  payload: 18,
} as const;

interface NumberRule {
  readonly name: NumberField;
  readonly signed: boolean;
  readonly max: number;
}

const tagRules: readonly NumberRule[] = [
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
];
const stalenessRule: NumberRule = { name: "staleness", signed: false, max: safeMax };
const numberRules = [...tagRules, stalenessRule];
const ruleOfField = new Map(numberRules.map((rule) => [fields[rule.name] as number, rule]));

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

const words: Readonly<Record<Words, readonly string[]>> = {
  kind: Object.keys(kindValues),
  part: Object.keys(partValues),
  outcome: Object.keys(outcomeValues),
};
const wordOfField = new Map<number, Words>([
  [fields.kind, "kind"],
  [fields.part, "part"],
  [fields.outcome, "outcome"],
]);

/**
 * Encodes a message into one Buffer of its exact size.
 * @param payload raw little-endian values, at most 1 MiB; null and empty are the same on the
 *   wire. It is copied.
 * @param allocate gives the Buffer, so that a sender may use the same memory again.
 */
export function encodeChunk(
  header: ChunkHeader,
  payload: Uint8Array | null,
  allocate: (bytes: number) => Buffer = Buffer.allocUnsafe,
): Buffer {
  const payloadBytes = payload?.length ?? 0;
  assert(payloadBytes <= payloadBytesMax, "payload of a chunk fits 1 MiB", { payloadBytes });
  const runBytes = Buffer.byteLength(header.run);
  const detailBytes = Buffer.byteLength(header.detail);
  assert(runBytes <= runBytesMax, "run id within its limit", { runBytes });
  assert(detailBytes <= detailBytesMax, "detail within its limit", { detailBytes });
  const buffer = allocate(encodedBytes(header, runBytes, detailBytes, payloadBytes));
  let offset = writeWord(buffer, "kind", header.kind, 0);
  offset = writeText(buffer, fields.run, header.run, runBytes, offset);
  for (const rule of tagRules) offset = writeNumber(buffer, rule, header[rule.name], offset);
  offset = writeWord(buffer, "part", header.part, offset);
  offset = writeWord(buffer, "outcome", header.outcome, offset);
  offset = writeNumber(buffer, stalenessRule, header.staleness, offset);
  if (header.wantsReply) {
    offset = writeVarint(buffer, fields.wantsReply * 8 + wireTypeVarint, offset);
    buffer[offset++] = 1;
  }
  offset = writeText(buffer, fields.detail, header.detail, detailBytes, offset);
  if (payload !== null && payloadBytes > 0) {
    offset = writeVarint(buffer, fields.payload * 8 + wireTypeBytes, offset);
    offset = writeVarint(buffer, payloadBytes, offset);
    buffer.set(payload, offset);
    offset += payloadBytes;
  }
  assert(offset === buffer.length, "size counted equals bytes written", { offset });
  return buffer;
}

/**
 * Decodes a message; throws a PacelineError of code "protocol" for whatever the protocol forbids.
 */
export function decodeChunk(bytes: Buffer): DecodedChunk {
  const header: { -readonly [Name in keyof ChunkHeader]: ChunkHeader[Name] } = { ...wireDefaults };
  let payload: Uint8Array = noBytes;
  const reader = new MessageReader(bytes);
  while (reader.more) {
    const tag = reader.varint();
    const wireType = tag % 8;
    const field = (tag - wireType) / 8;
    if (field === 0) throw new PacelineError("protocol", "a chunk message has a field numbered 0");
    if (wireType === wireTypeBytes && field >= fields.run) {
      if (field === fields.run) header.run = readText(bytes, reader, "run", runBytesMax);
      else if (field === fields.detail)
        header.detail = readText(bytes, reader, "detail", detailBytesMax);
      else if (field === fields.payload) payload = readPayload(bytes, reader);
      else reader.skip(wireType);
      continue;
    }
    const rule = ruleOfField.get(field);
    const word = wordOfField.get(field);
    if (wireType !== wireTypeVarint) reader.skip(wireType);
    else if (rule !== undefined) header[rule.name] = checkedNumber(rule, reader.varint());
    else if (word !== undefined)
      Object.assign(header, { [word]: knownWord(word, reader.varint()) });
    else if (field === fields.wantsReply) header.wantsReply = reader.varint() !== 0;
    else reader.skip(wireType);
  }
  return { header, payload };
}

const noBytes = new Uint8Array(0);

const wireDefaults: ChunkHeader = {
  kind: "hello",
  run: "",
  generation: 0,
  rank: 0,
  incarnation: 0,
  phase: 0,
  step: 0,
  chunk: 0,
  version: 0,
  fence: 0,
  examples: 0,
  codec: 0,
  part: "weights",
  outcome: "none",
  staleness: 0,
  wantsReply: false,
  detail: "",
};

function encodedBytes(
  header: ChunkHeader,
  runBytes: number,
  detailBytes: number,
  payloadBytes: number,
): number {
  let total = header.wantsReply ? varintBytes(fields.wantsReply * 8) + 1 : 0;
  for (const rule of numberRules) {
    const value = header[rule.name];
    assert(Number.isSafeInteger(value) && Math.abs(value) <= rule.max, "header field in range", {
      [rule.name]: value,
    });
    assert(rule.signed || value >= 0, "header field is not negative", { [rule.name]: value });
    const unsigned = rule.signed ? zigzag(value) : value;
    if (value !== 0) total += varintBytes(fields[rule.name] * 8) + varintBytes(unsigned);
  }
  for (const name of ["kind", "part", "outcome"] as const) {
    if (header[name] !== words[name][0]) total += varintBytes(fields[name] * 8) + 1;
  }
  total += lengthOfBytes(fields.run, runBytes) + lengthOfBytes(fields.detail, detailBytes);
  return total + lengthOfBytes(fields.payload, payloadBytes);
}

function lengthOfBytes(field: number, bytes: number): number {
  return bytes === 0 ? 0 : varintBytes(field * 8) + varintBytes(bytes) + bytes;
}

function writeNumber(buffer: Buffer, rule: NumberRule, value: number, offset: number): number {
  if (value === 0) return offset;
  offset = writeVarint(buffer, fields[rule.name] * 8 + wireTypeVarint, offset);
  return writeVarint(buffer, rule.signed ? zigzag(value) : value, offset);
}

function writeWord(buffer: Buffer, name: Words, word: string, offset: number): number {
  const value = words[name].indexOf(word);
  assert(value >= 0, "header word is known", { [name]: word });
  if (value === 0) return offset;
  offset = writeVarint(buffer, fields[name] * 8 + wireTypeVarint, offset);
  return writeVarint(buffer, value, offset);
}

function writeText(
  buffer: Buffer,
  field: number,
  text: string,
  bytes: number,
  offset: number,
): number {
  if (bytes === 0) return offset;
  offset = writeVarint(buffer, field * 8 + wireTypeBytes, offset);
  offset = writeVarint(buffer, bytes, offset);
  return offset + buffer.write(text, offset, bytes, "utf8");
}

function readText(bytes: Buffer, reader: MessageReader, name: string, bytesMax: number): string {
  const length = reader.length();
  if (length > bytesMax) {
    const has = `${name} of a chunk message has ${length} bytes`;
    throw new PacelineError("protocol", `${has}, at most ${bytesMax} are allowed`);
  }
  const start = reader.offset;
  reader.offset += length;
  if (!isUtf8(bytes.subarray(start, reader.offset))) {
    throw new PacelineError("protocol", `${name} of a chunk message is not valid UTF-8`);
  }
  return bytes.toString("utf8", start, reader.offset);
}

function readPayload(bytes: Buffer, reader: MessageReader): Uint8Array {
  const length = reader.length();
  if (length > payloadBytesMax) {
    const remedy = `at most ${payloadBytesMax} are allowed; send it as several chunks`;
    throw new PacelineError("protocol", `a chunk message carries ${length} bytes, ${remedy}`);
  }
  const start = reader.offset;
  reader.offset += length;
  return bytes.subarray(start, reader.offset);
}

function checkedNumber(rule: NumberRule, unsigned: number): number {
  const value = rule.signed ? unzigzag(unsigned) : unsigned;
  if (Math.abs(value) <= rule.max) return value;
  throw new PacelineError(
    "protocol",
    `${rule.name} of a chunk message is ${value}, at most ${rule.max} is allowed`,
  );
}

function knownWord(name: Words, value: number): string {
  const word = words[name][value];
  if (word !== undefined) return word;
  throw new PacelineError("protocol", `${name} of a chunk message has the unknown value ${value}`);
}
