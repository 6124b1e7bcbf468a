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
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import {
  checkedNumber,
  checkedScale,
  demandSendable,
  knownWord,
  type NumberRule,
  numberRules,
  oversizedPayload,
  oversizedText,
  type WordField,
  words,
  wordValue,
} from "./chunk-fields.js";
import { detailBytesMax, payloadBytesMax, runBytesMax } from "./limits.js";
import { MessageReader, unzigzag, varintBytes, writeVarint, zigzag } from "./varint.js";

/** A decoded message; `payload` is a view of the bytes it was decoded from. */
export interface DecodedChunk {
  readonly header: ChunkHeader;
  readonly payload: Uint8Array;
}

const wireTypeVarint = 0;
const wireTypeBytes = 2;
const wireTypeFixed32 = 5;

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
  term: 18,
  scale: 19,
  leads: 20,
  pull: 21,
  payload: 22,
} as const;

const stalenessRule = numberRules.find(({ name }) => name === "staleness")!;
const termRule = numberRules.find(({ name }) => name === "term")!;
const pullRule = numberRules.find(({ name }) => name === "pull")!;
const laterRules = [stalenessRule, termRule, pullRule];
const tagRules = numberRules.filter((rule) => !laterRules.includes(rule));
const ruleOfField = new Map(numberRules.map((rule) => [fields[rule.name] as number, rule]));

const wordOfField = new Map<number, WordField>([
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
  const { runBytes, detailBytes, payloadBytes } = demandSendable(header, payload);
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
  offset = writeNumber(buffer, termRule, header.term, offset);
  if (header.scale !== null) {
    offset = writeVarint(buffer, fields.scale * 8 + wireTypeFixed32, offset);
    offset = buffer.writeFloatLE(header.scale, offset);
  }
  if (header.leads) {
    offset = writeVarint(buffer, fields.leads * 8 + wireTypeVarint, offset);
    buffer[offset++] = 1;
  }
  offset = writeNumber(buffer, pullRule, header.pull, offset);
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
    if (wireType === wireTypeFixed32 && field === fields.scale) {
      header.scale = readScale(bytes, reader);
      continue;
    }
    const rule = ruleOfField.get(field);
    const word = wordOfField.get(field);
    if (wireType !== wireTypeVarint) reader.skip(wireType);
    else if (rule !== undefined) header[rule.name] = readNumber(rule, reader.varint());
    else if (word !== undefined)
      Object.assign(header, { [word]: knownWord(word, reader.varint()) });
    else if (field === fields.wantsReply) header.wantsReply = reader.varint() !== 0;
    else if (field === fields.leads) header.leads = reader.varint() !== 0;
    else reader.skip(wireType);
  }
  return { header, payload };
}

const noBytes = new Uint8Array(0);

const wireDefaults: ChunkHeader = {
  kind: "hello",
  run: "",
  generation: 0,
  term: 0,
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
  scale: null,
  leads: false,
  pull: 0,
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
    const unsigned = rule.signed ? zigzag(value) : value;
    if (value !== 0) total += varintBytes(fields[rule.name] * 8) + varintBytes(unsigned);
  }
  if (header.scale !== null) total += varintBytes(fields.scale * 8) + 4;
  if (header.leads) total += varintBytes(fields.leads * 8) + 1;
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

function writeWord(buffer: Buffer, name: WordField, word: string, offset: number): number {
  const value = wordValue(name, word);
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

function readScale(bytes: Buffer, reader: MessageReader): number {
  const start = reader.offset;
  reader.skip(wireTypeFixed32);
  return checkedScale(bytes.readFloatLE(start));
}

function readText(
  bytes: Buffer,
  reader: MessageReader,
  name: "run" | "detail",
  bytesMax: number,
): string {
  const length = reader.length();
  if (length > bytesMax) throw oversizedText(name, length);
  const start = reader.offset;
  reader.offset += length;
  if (!isUtf8(bytes.subarray(start, reader.offset))) {
    throw new PacelineError("protocol", `${name} of a chunk message is not valid UTF-8`);
  }
  return bytes.toString("utf8", start, reader.offset);
}

function readPayload(bytes: Buffer, reader: MessageReader): Uint8Array {
  const length = reader.length();
  if (length > payloadBytesMax) throw oversizedPayload(length);
  const start = reader.offset;
  reader.offset += length;
  return bytes.subarray(start, reader.offset);
}

function readNumber(rule: NumberRule, unsigned: number): number {
  return checkedNumber(rule, rule.signed ? unzigzag(unsigned) : unsigned);
}
