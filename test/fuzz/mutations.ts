/**
 * Bytes made of other bytes by a seeded stream: bits turned, numbers set to the edges of their
 * ranges, parts cut out, said twice, put in from elsewhere. Frames are changed within their layout
 * as well, with sizes that fit, so that what is behind the first check is reached.
 */
import type { Random } from "../../dist/random.js";
import { frameHeadBytes, greetingBytes } from "../../dist/transport/wire/frame-codec.js";

/** The most bytes of one piece. */
export const pieceBytesMax = 8192;

/** Values at which something changes: ends of widths, powers, limits of the wire. */
const edges = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x100000, 0x7fffffff];

type Mutation = (bytes: Buffer, random: Random, other: Buffer) => Buffer;

const mutations: readonly Mutation[] = [
  turnBit,
  setByte,
  setNumber,
  removePart,
  repeatPart,
  insertOther,
  truncate,
  swapParts,
];

/** A piece that differs from this one by some changes; `other` is where parts are from. */
export function mutated(bytes: Buffer, random: Random, other: Buffer): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let left = 1 + random.below(4); left > 0; left--) {
    const mutation = mutations[random.below(mutations.length)]!;
    if (result.length > 0) result = mutation(result, random, other);
  }
  return result.subarray(0, pieceBytesMax);
}

/** A frame of which a field of the head, or a text behind it, is another; its sizes are right. */
export function mutatedFrame(frame: Buffer, random: Random): Buffer {
  if (frame.length < frameHeadBytes) return frame;
  const result = Buffer.from(frame);
  // Kind, part, outcome and flags; then numbers of four bytes from the generation on.
  const place = random.below(4 + 19);
  if (place < 4) result[place] = random.below(place === 0 ? 24 : 8);
  else setAt(result, 16 + 4 * (place - 4), random);
  return result;
}

/** Frames of one connection, taken apart behind the greeting; the last may be torn. */
export function framesOf(stream: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = greetingBytes; at + frameHeadBytes <= stream.length; ) {
    const texts = stream.readUInt16LE(at + 4) + stream.readUInt32LE(at + 12);
    const end = at + frameHeadBytes + texts + stream.readUInt32LE(at + 8);
    frames.push(stream.subarray(at, end));
    at = end;
  }
  return frames;
}

function turnBit(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length);
  bytes[at] = bytes[at]! ^ (1 << random.below(8));
  return bytes;
}

function setByte(bytes: Buffer, random: Random): Buffer {
  bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

function setNumber(bytes: Buffer, random: Random): Buffer {
  if (bytes.length >= 4) setAt(bytes, random.below(bytes.length - 3), random);
  return bytes;
}

function setAt(bytes: Buffer, at: number, random: Random): void {
  const value = edges[random.below(edges.length)]!;
  const signed = random.below(4) === 0 ? (-value | 0) >>> 0 : value;
  if (random.below(2) === 0) bytes.writeUInt32LE(signed, at);
  else bytes.writeUInt32BE(signed, at);
}

function removePart(bytes: Buffer, random: Random): Buffer {
  const [from, to] = partOf(bytes, random);
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
}

function repeatPart(bytes: Buffer, random: Random): Buffer {
  const [from, to] = partOf(bytes, random);
  const times = 1 + random.below(8);
  const part = bytes.subarray(from, to);
  const repeated = Array.from({ length: times }, () => part);
  return Buffer.concat([bytes.subarray(0, to), ...repeated, bytes.subarray(to)]);
}

function insertOther(bytes: Buffer, random: Random, other: Buffer): Buffer {
  if (other.length === 0) return bytes;
  const [from, to] = partOf(other, random);
  const at = random.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), other.subarray(from, to), bytes.subarray(at)]);
}

function truncate(bytes: Buffer, random: Random): Buffer {
  return bytes.subarray(0, random.below(bytes.length + 1));
}

function swapParts(bytes: Buffer, random: Random): Buffer {
  const [from, to] = partOf(bytes, random);
  return Buffer.concat([bytes.subarray(from, to), bytes.subarray(0, from), bytes.subarray(to)]);
}

function partOf(bytes: Buffer, random: Random): [from: number, to: number] {
  const from = random.below(bytes.length);
  return [from, from + 1 + random.below(Math.min(64, bytes.length - from))];
}
