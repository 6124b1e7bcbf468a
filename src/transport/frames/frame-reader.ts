/**
 * Bytes of one direction of a connection -> greeting and frames, wherever the bytes are cut. The
 * reader says which memory the next bytes shall be read into: small things (heads, texts, short
 * payloads, and whatever follows them) into a buffer of its own, the body of a payload straight
 * into the memory that the receiver supplies.
 *
 * Nothing is allocated on a peer's word but a frame's texts, whose limits are checked before.
 */
import type { ChunkHeader } from "../../protocol/messages.js";
import {
  completeHeader,
  decodeFrameHead,
  type FrameHead,
  type FrameSignal,
  frameHeadBytes,
  greetingBytes,
} from "../wire/frame-codec.js";

/** What is done with what is read; a PacelineError that is thrown ends the connection. */
export interface FrameSink {
  onGreeting(bytes: Buffer): void;
  /** Memory of exactly `payloadBytes`, or null to have them thrown away. */
  onHeader(header: ChunkHeader, payloadBytes: number): Uint8Array | null;
  onFrame(header: ChunkHeader, destination: Uint8Array | null): void;
  onSignal(signal: FrameSignal, code: string, sentence: string): void;
}

/** Room for what is read ahead: one read takes many small frames. */
const aheadBytes = 16384;
/** What is left of a payload is read straight into its memory from this size on. */
const directBytesMin = 4096;
/** Bytes nobody wants are read into this, whichever connection they come by. */
const discarded = new Uint8Array(65536);

/** The frame that is being read. */
interface Current {
  readonly head: FrameHead;
  header: ChunkHeader | null;
}

/** The reader of one connection's incoming half. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #ahead = Buffer.allocUnsafeSlow(aheadBytes);
  #start = 0;
  #end = 0;
  #greeted = false;
  #current: Current | null = null;
  /** What the bytes of the text or the payload go to; null to throw them away. */
  #target: Uint8Array | null = null;
  #targetBytes = 0;
  #targetFilled = 0;
  #lent: "ahead" | "target" | "discarded" = "ahead";
  #run = "";
  #stopped = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** True while a frame, or the greeting, has begun and not ended. */
  get isMidFrame(): boolean {
    return this.#current !== null || this.#end > this.#start;
  }

  /**
   * True while the memory that was last given out is the receiver's: the next bytes that are read
   * will be written there.
   */
  get isInPayload(): boolean {
    return this.#lent === "target" && this.#current?.header !== null;
  }

  /** Memory for the next bytes, never empty. */
  next(): Uint8Array {
    const missing = this.#targetBytes - this.#targetFilled;
    if (this.#stopped || (this.#target === null && missing >= directBytesMin)) {
      this.#lent = "discarded";
      return this.#stopped || missing >= discarded.length
        ? discarded
        : discarded.subarray(0, missing);
    }
    if (this.#target !== null && missing >= directBytesMin) {
      this.#lent = "target";
      return this.#target.subarray(this.#targetFilled);
    }
    this.#lent = "ahead";
    if (this.#start > 0) {
      this.#ahead.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    return this.#ahead.subarray(this.#end);
  }

  /** So many bytes of the memory that `next` gave have been filled. */
  filled(bytes: number): void {
    const lent = this.#lent;
    this.#lent = "ahead";
    if (this.#stopped) return;
    if (lent === "ahead") this.#end += bytes;
    else this.#targetFilled += bytes;
    while (!this.#stopped && this.#advance());
  }

  /** Takes bytes that were read elsewhere, by copying them. */
  feed(bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.length && !this.#stopped; ) {
      const room = this.next();
      const taken = Math.min(room.length, bytes.length - offset);
      room.set(bytes.subarray(offset, offset + taken));
      offset += taken;
      this.filled(taken);
    }
  }

  /** Has everything that still comes thrown away. */
  stop(): void {
    this.#stopped = true;
    this.#target = null;
  }

  /** Does one thing that the bytes at hand suffice for; false when there is none. */
  #advance(): boolean {
    if (this.#targetFilled < this.#targetBytes) this.#fillFromAhead();
    if (this.#targetFilled < this.#targetBytes) return false;
    const { header } = this.#current ?? {};
    if (header !== undefined) return header === null ? this.#endTexts() : this.#endFrame(header);
    if (!this.#greeted) {
      if (this.#end - this.#start < greetingBytes) return false;
      this.#greeted = true;
      this.#sink.onGreeting(this.#take(greetingBytes));
      return true;
    }
    if (this.#end - this.#start < frameHeadBytes) return false;
    const head = decodeFrameHead(this.#take(frameHeadBytes));
    this.#current = { head, header: null };
    const textBytes = head.runBytes + head.detailBytes;
    this.#aim(textBytes === 0 ? null : Buffer.allocUnsafe(textBytes), textBytes);
    return true;
  }

  #endTexts(): boolean {
    const current = this.#current!;
    const { head } = current;
    const texts =
      this.#target === null
        ? noTexts
        : Buffer.from(this.#target.buffer, this.#target.byteOffset, this.#target.length);
    if (head.signal !== null) {
      this.#current = null;
      this.#aim(null, 0);
      const { run, detail } = completeHeader(head, texts, "");
      this.#sink.onSignal(head.signal, run, detail);
      return true;
    }
    const header = completeHeader(head, texts, this.#run);
    this.#run = header.run;
    current.header = header;
    this.#aim(null, 0);
    const destination = this.#sink.onHeader(header, head.payloadBytes);
    if (!this.#stopped) this.#aim(destination, head.payloadBytes);
    return true;
  }

  #endFrame(header: ChunkHeader): boolean {
    const destination = this.#target;
    this.#current = null;
    this.#aim(null, 0);
    this.#sink.onFrame(header, destination);
    return true;
  }

  #aim(target: Uint8Array | null, bytes: number): void {
    this.#target = target;
    this.#targetBytes = bytes;
    this.#targetFilled = 0;
  }

  #fillFromAhead(): void {
    const missing = this.#targetBytes - this.#targetFilled;
    const taken = Math.min(missing, this.#end - this.#start);
    if (taken === 0) return;
    this.#target?.set(this.#ahead.subarray(this.#start, this.#start + taken), this.#targetFilled);
    this.#start += taken;
    this.#targetFilled += taken;
  }

  #take(bytes: number): Buffer {
    this.#start += bytes;
    return this.#ahead.subarray(this.#start - bytes, this.#start);
  }
}

const noTexts = Buffer.alloc(0);
