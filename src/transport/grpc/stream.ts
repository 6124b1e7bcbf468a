/**
 * One bidirectional gRPC stream as a channel: what is sent waits here, not in the library, and is
 * encoded only when the stream takes it, so that a slow peer costs a queue of references and not of
 * copies. Used by both sides, for chunks and for session messages.
 *
 * States: open; closing (this side has closed: nothing is delivered any more, what was sent still
 * goes out, then the stream ends); over (nothing happens any more). `sent` of every message is
 * called once, at the latest when the stream is over.
 */
import { PacelineError } from "../../errors.js";
import { brokenWith, closedBy } from "../connection-errors.js";
import { payloadBytesMax } from "../wire/limits.js";

/** The part of grpc-js's client and server streams that is used here. */
export interface StreamCall {
  write(bytes: Buffer, written: () => void): unknown;
  end(): unknown;
}

/** What a stream does with what arrives. */
export interface StreamReceiver {
  onBytes(bytes: Buffer): void;
  onClose(error: PacelineError): void;
}

/**
 * Encodes a message into memory from `allocate`, which is used again once the library has copied
 * it.
 */
export type Encode = (allocate: (bytes: number) => Buffer) => Buffer;

interface Outgoing {
  readonly encode: Encode;
  readonly sent: (() => void) | undefined;
}

/** Messages encoded and given to the stream, but not taken by it yet. */
const writesInFlightMax = 2;
/** Smaller messages come from Node's pool, larger ones than a chunk with its tags are rare. */
const scratchBytesMin = 65536;
const scratchBytes = payloadBytesMax + 4096;

/** A stream; the two sides feed it the events of their kind of call. */
export class GrpcStream {
  readonly peer: string;
  receiver: StreamReceiver | null;
  readonly #call: StreamCall;
  /** Ends the call at once with an error told to the other side. */
  readonly #abort: (error: PacelineError) => void;
  readonly #queue: Outgoing[] = [];
  readonly #overListeners: (() => void)[] = [];
  readonly #scratch: Buffer[] = [];
  #writesInFlight = 0;
  #closing = false;
  #ended = false;
  #over = false;

  constructor(
    peer: string,
    call: StreamCall,
    receiver: StreamReceiver,
    abort: (error: PacelineError) => void,
  ) {
    this.peer = peer;
    this.receiver = receiver;
    this.#call = call;
    this.#abort = abort;
  }

  /** True once nothing can happen any more. */
  get over(): boolean {
    return this.#over;
  }

  /** Gives the stream to another receiver; false when it has been closed in the meantime. */
  adopt(receiver: StreamReceiver): boolean {
    if (this.#over || this.receiver === null) return false;
    this.receiver = receiver;
    return true;
  }

  /**
   * Sends a message after those before it; it is encoded when its turn comes, then `sent` is
   * called.
   */
  send(encode: Encode, sent?: () => void): void {
    if (this.#over || this.#closing) {
      if (sent !== undefined) setImmediate(sent);
      return;
    }
    this.#queue.push({ encode, sent });
    this.#pump();
  }

  /** Ends the stream after what was sent; this side's receiver hears nothing more. */
  close(): void {
    this.receiver = null;
    this.#closing = true;
    this.#pump();
  }

  /** As `close`, but this side's receiver hears why. */
  shut(error: PacelineError): void {
    const { receiver } = this;
    this.close();
    receiver?.onClose(error);
  }

  /** The other side's bytes. A PacelineError that the receiver throws ends the stream. */
  arrived(bytes: Buffer): void {
    try {
      this.receiver?.onBytes(bytes);
    } catch (thrown) {
      if (thrown instanceof PacelineError) this.fail(thrown);
      else crash(thrown);
    }
  }

  /** Ends the stream at once; both sides hear the error. */
  fail(error: PacelineError): void {
    if (this.#over) return;
    this.#ended = true;
    this.#abort(error);
    this.finish(error);
  }

  /** The other side ended the stream in good order, or the connection broke. */
  finish(error: PacelineError): void {
    if (this.#over) return;
    this.#over = true;
    const { receiver } = this;
    this.receiver = null;
    for (const { sent } of this.#queue.splice(0)) if (sent !== undefined) setImmediate(sent);
    receiver?.onClose(error);
    for (const listener of this.#overListeners.splice(0)) listener();
  }

  /** The other side has ended its half in good order. */
  remoteEnded(): void {
    const wasOver = this.#over;
    this.finish(closedBy(this.peer));
    if (!wasOver) this.#end();
  }

  /** The connection is gone. */
  remoteBroke(): void {
    this.finish(brokenWith(this.peer));
  }

  /** Calls back once when the stream is over, at once if it is. */
  whenOver(listener: () => void): void {
    if (this.#over) listener();
    else this.#overListeners.push(listener);
  }

  #pump(): void {
    while (!this.#over && this.#writesInFlight < writesInFlightMax) {
      const outgoing = this.#queue.shift();
      if (outgoing === undefined) break;
      let scratch: Buffer | undefined;
      const bytes = outgoing.encode((length) => {
        if (length < scratchBytesMin || length > scratchBytes) return Buffer.allocUnsafe(length);
        scratch = this.#scratch.pop() ?? Buffer.allocUnsafeSlow(scratchBytes);
        return scratch.subarray(0, length);
      });
      if (outgoing.sent !== undefined) setImmediate(outgoing.sent);
      this.#writesInFlight += 1;
      this.#call.write(bytes, () => {
        this.#writesInFlight -= 1;
        if (scratch !== undefined) this.#scratch.push(scratch);
        this.#pump();
      });
    }
    if (this.#closing && this.#queue.length === 0 && this.#writesInFlight === 0) this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call.end();
  }
}

/** Lets a bug end the process instead of vanishing in the library's error handling. */
export function crash(thrown: unknown): void {
  setImmediate(() => {
    throw thrown;
  });
}
