/**
 * Reads and writes safetensors files (format: github.com/huggingface/safetensors): 8 bytes of
 * little-endian header length, a JSON header padded with spaces to a multiple of 8, then the
 * tensors' raw little-endian values back to back. Values go from and to the caller's memory without
 * a copy of the whole.
 */
import { assert } from "../../assert.js";
import type { ReadableFile } from "../files.js";
import {
  corrupt,
  type DataKind,
  headerBytesMax,
  parseHeader,
  type SafetensorsIndex,
  type StoredTensor,
  valueBytes,
} from "./safetensors-header.js";

/** Values of a tensor: F32 or I64. */
export type TensorValues = Float32Array | BigInt64Array;

/** Values of 16 bits, as their bits; they are written for other programs, never read back. */
export interface HalfValues {
  readonly kind: "F16" | "BF16";
  readonly bits: Uint16Array;
}

/** A tensor to write; its values are read while they are written and must stay as they are. */
export interface TensorToWrite {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: TensorValues | HalfValues;
}

/** Bytes handed on at a time: small enough that hashing one does not hold up the event loop. */
const pieceBytes = 1024 * 1024;

assert(new Uint8Array(Float32Array.of(1).buffer)[3] === 0x3f, "the machine is little-endian");

/**
 * Writes tensors through `write`, at most 1 MiB a call, in the order given, but I64 before F32
 * and these before 16 bits, so that every tensor is aligned to its own values.
 */
export async function writeSafetensors(
  write: (bytes: Uint8Array) => Promise<void>,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const ordered = [8, 4, 2].flatMap((size) =>
    tensors.filter(({ values }) => arrayOf(values).BYTES_PER_ELEMENT === size),
  );
  await write(encodeHeader(ordered, metadata));
  for (const { values } of ordered) {
    const { buffer, byteOffset, byteLength } = arrayOf(values);
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    for (let start = 0; start < bytes.length; start += pieceBytes) {
      await write(bytes.subarray(start, start + pieceBytes));
    }
  }
}

/** Reads and checks the header; a lie in it is a `checkpoint` error. */
export async function readSafetensorsIndex(
  file: ReadableFile,
  path: string,
): Promise<SafetensorsIndex & { readonly dataStart: number }> {
  if (file.bytes < 8) throw corrupt(path, `it has ${file.bytes} bytes and needs at least 8`);
  const prefix = Buffer.alloc(8);
  await file.read(prefix, 0);
  const headerBytes = prefix.readBigUInt64LE();
  if (headerBytes > BigInt(headerBytesMax)) {
    throw corrupt(path, `its header of ${headerBytes} bytes exceeds ${headerBytesMax}`);
  }
  const dataStart = 8 + Number(headerBytes);
  if (dataStart > file.bytes) {
    throw corrupt(path, `its header of ${headerBytes} bytes exceeds the file's ${file.bytes}`);
  }
  const header = Buffer.alloc(Number(headerBytes));
  await file.read(header, 8);
  return { ...parseHeader(header, file.bytes - dataStart, path), dataStart };
}

/**
 * Reads every tensor, in the order of the file, into the memory that `destinationOf` supplies
 * (exactly `tensor.bytes` long). It is asked for all of them before the first value is read, and
 * may refuse by throwing.
 */
export async function readSafetensors(
  file: ReadableFile,
  path: string,
  destinationOf: (tensor: StoredTensor) => Uint8Array,
): Promise<void> {
  const index = await readSafetensorsIndex(file, path);
  const destinations = index.tensors.map(destinationOf);
  for (const [number, tensor] of index.tensors.entries()) {
    const into = destinations[number]!;
    assert(into.byteLength === tensor.bytes, "destination has the tensor's size", { ...tensor });
    for (let at = 0; at < tensor.bytes; at += pieceBytes) {
      const piece = into.subarray(at, at + pieceBytes);
      await file.read(piece, index.dataStart + tensor.start + at);
    }
  }
}

/** Reads a whole file into fresh memory, at most as much as the file is long. */
export async function readAllTensors(
  file: ReadableFile,
  path: string,
): Promise<Map<string, { readonly shape: readonly number[]; readonly values: TensorValues }>> {
  const tensors = new Map<string, { shape: readonly number[]; values: TensorValues }>();
  await readSafetensors(file, path, (tensor) => {
    const count = tensor.bytes / valueBytes[tensor.kind];
    const values = tensor.kind === "F32" ? new Float32Array(count) : new BigInt64Array(count);
    tensors.set(tensor.name, { shape: tensor.shape, values });
    return new Uint8Array(values.buffer);
  });
  return tensors;
}

function encodeHeader(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const names = new Set(["__metadata__"]);
  let start = 0;
  for (const { name, shape, values } of tensors) {
    assert(!names.has(name), "tensor names are unique", { name });
    names.add(name);
    const count = shape.reduce((product, extent) => product * extent, 1);
    const array = arrayOf(values);
    assert(count === array.length, "shape matches the values", { name, shape });
    const end = start + array.byteLength;
    const place = { dtype: kindOf(values), shape, data_offsets: [start, end] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(place)}`);
    start = end;
  }
  const text = Buffer.from(`{${fields.join(",")}}`);
  const padded = Math.ceil(text.length / 8) * 8;
  assert(padded <= headerBytesMax, "header within the limit", { bytes: padded });
  const encoded = Buffer.alloc(8 + padded, " ");
  encoded.writeBigUInt64LE(BigInt(padded));
  text.copy(encoded, 8);
  return encoded;
}

function kindOf(values: TensorToWrite["values"]): DataKind | HalfValues["kind"] {
  if ("kind" in values) return values.kind;
  return values instanceof Float32Array ? "F32" : "I64";
}

function arrayOf(values: TensorToWrite["values"]): TensorValues | Uint16Array {
  return "kind" in values ? values.bits : values;
}
