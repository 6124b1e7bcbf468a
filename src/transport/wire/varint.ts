/**
 * Protobuf's variable-length integers over a Buffer, for JavaScript numbers up to 2^53 - 1 without
 * bigints. Seven bits a byte, the lowest first, the top bit set on every byte but the last; signed
 * (`sint`) values are folded onto unsigned ones as 0, -1, 1, -2, ... (zigzag).
 *
 * Invariant: a reader never goes past `end`, and a value that a number can't hold is refused with a
 * PacelineError of code "protocol" instead of being rounded.
 *
 * Source: Protocol Buffers, "Encoding".
 */
import { PacelineError } from "../../errors.js";

/** Bytes that an unsigned whole number takes as a varint. */
export function varintBytes(value: number): number {
  let bytes = 1;
  while (value >= 128) {
    value = Math.floor(value / 128);
    bytes++;
  }
  return bytes;
}

/** Writes an unsigned whole number at `offset` and returns the offset behind it. */
export function writeVarint(buffer: Uint8Array, value: number, offset: number): number {
  while (value > 0x7fffffff) {
    buffer[offset++] = (value % 128) | 128;
    value = Math.floor(value / 128);
  }
  while (value >= 128) {
    buffer[offset++] = (value & 127) | 128;
    value >>>= 7;
  }
  buffer[offset++] = value;
  return offset;
}

/** Folds a signed whole number of magnitude below 2^52 onto an unsigned one. */
export function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

/** Undoes `zigzag`. */
export function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

/** Reads bytes [offset, end) of a message step by step. */
export class MessageReader {
  offset: number;
  readonly #bytes: Uint8Array;
  readonly #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.offset = 0;
    this.#end = bytes.length;
  }

  /** True while bytes are left. */
  get more(): boolean {
    return this.offset < this.#end;
  }

  /** The next varint; refuses what exceeds 2^53 - 1. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let index = 0; index < 8; index++) {
      const byte = this.#byte();
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 128;
    }
    throw new PacelineError("protocol", "an integer in a message is larger than 2^53 - 1");
  }

  /** The length that opens a string, bytes or nested message; it never exceeds what is left. */
  length(): number {
    const length = this.varint();
    const left = this.#end - this.offset;
    if (length > left) {
      throw new PacelineError(
        "protocol",
        `a message is cut off: a field of ${length} bytes where ${left} are left`,
      );
    }
    return length;
  }

  /** Passes over a field of this wire type whose tag has been read. */
  skip(wireType: number): void {
    if (wireType === 0) {
      for (let index = 0; index < 10; index++) if (this.#byte() < 128) return;
      throw new PacelineError("protocol", "an integer in a message is longer than 10 bytes");
    }
    if (wireType !== 1 && wireType !== 2 && wireType !== 5) {
      throw new PacelineError("protocol", `a message has a field of unknown wire type ${wireType}`);
    }
    const length = wireType === 2 ? this.length() : wireType === 1 ? 8 : 4;
    if (length > this.#end - this.offset) throw cutOff();
    this.offset += length;
  }

  #byte(): number {
    if (this.offset >= this.#end) throw cutOff();
    return this.#bytes[this.offset++] as number;
  }
}

function cutOff(): PacelineError {
  return new PacelineError("protocol", "a message is cut off in the middle of a field");
}
