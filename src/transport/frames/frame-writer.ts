/**
 * The outgoing half of a connection: messages wait as references and go to the socket in batches,
 * as many as make one call to the system worth its while. A payload of more than a few kilobytes is
 * handed over as it is, so it must not change until `sent` is called, which happens when its batch
 * has been written.
 */
import type { Socket } from "node:net";
import type { PacelineError } from "../../errors.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import { encodeFrame, encodeSignal } from "../wire/frame-codec.js";

interface Outgoing {
  readonly header: ChunkHeader;
  readonly payload: Uint8Array | null;
  readonly sent: (() => void) | undefined;
}

interface Batch {
  readonly sents: (() => void)[];
  readonly sinceMs: number;
}

/** A batch ends with the message that reaches this size, or is the last of so many. */
const batchBytes = 262144;
const batchMessagesMax = 64;
/** What is no larger is copied together with its neighbours: each piece costs a write. */
const smallBytesMax = 4096;
/** While one is being written, the next stands ready. */
const batchesInFlightMax = 2;
/** As they are sent; who asks often is answered once for all that was asked meanwhile. */
const signalBytes = { ping: encodeSignal("ping"), pong: encodeSignal("pong") } as const;

/** Writes to one socket, once there is one. */
export class FrameWriter {
  #socket: Socket | null = null;
  readonly #queue: (Outgoing | Buffer)[] = [];
  readonly #inFlight = new Set<Batch>();
  readonly #waiting = new Set<"ping" | "pong">();
  #run = "";
  #scheduled = false;
  #ending: (() => void) | null = null;
  #ended = false;

  /** How long the oldest batch has been waiting for the peer to take it. */
  get waitingMs(): number {
    const [oldest] = this.#inFlight;
    return oldest === undefined ? 0 : performance.now() - oldest.sinceMs;
  }

  /** Begins to write what waits. */
  attach(socket: Socket): void {
    this.#socket = socket;
    this.#pump();
  }

  /** Sends a message after those before it. */
  send(header: ChunkHeader, payload: Uint8Array | null, sent: (() => void) | undefined): void {
    this.#queue.push({ header, payload, sent });
    this.#schedule();
  }

  /** Sends a signal after what is waiting, unless the same one waits already. */
  signal(signal: "ping" | "pong"): void {
    if (this.#ending !== null || this.#waiting.has(signal)) return;
    this.#waiting.add(signal);
    this.write(signalBytes[signal]);
  }

  /** Sends bytes after what is waiting. */
  write(bytes: Buffer): void {
    if (this.#ended) return;
    this.#queue.push(bytes);
    this.#schedule();
  }

  /** Ends the connection's outgoing half after what was sent; `ended` is called when it begins. */
  end(ended: () => void = () => {}): void {
    this.#ending ??= ended;
    this.#pump();
  }

  /** Gives up what waits, says why, and ends the outgoing half. */
  fault({ code, message }: PacelineError): void {
    this.drop();
    const sentence = message.replaceAll(/\s+/g, " ").slice(0, 1000);
    this.write(encodeSignal("fault", code, sentence));
    this.end();
  }

  /** Gives up the messages that wait; what the socket has been given is its own. */
  drop(): void {
    for (const outgoing of this.#queue.splice(0)) {
      if (Buffer.isBuffer(outgoing)) this.#queue.push(outgoing);
      else later(outgoing.sent);
    }
  }

  /** The socket is gone: nothing that it was given refers to memory any more. */
  abandon(): void {
    this.#ended = true;
    this.drop();
    for (const batch of this.#inFlight) for (const sent of batch.sents.splice(0)) later(sent);
    this.#inFlight.clear();
  }

  /** Messages that are sent in one go make one batch. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    const socket = this.#socket;
    if (this.#ended || socket === null) return;
    while (this.#queue.length > 0 && this.#inFlight.size < batchesInFlightMax) {
      this.#writeBatch(socket);
    }
    if (this.#ending === null || this.#queue.length > 0 || this.#inFlight.size > 0) return;
    this.#ended = true;
    socket.end();
    this.#ending();
  }

  #writeBatch(socket: Socket): void {
    const batch: Batch = { sents: [], sinceMs: performance.now() };
    this.#inFlight.add(batch);
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for (let count = 0; count < batchMessagesMax && bytes < batchBytes; count++) {
      const outgoing = this.#queue.shift();
      if (outgoing === undefined) break;
      for (const part of this.#partsOf(outgoing)) {
        parts.push(part);
        bytes += part.length;
      }
      if (!Buffer.isBuffer(outgoing) && outgoing.sent !== undefined)
        batch.sents.push(outgoing.sent);
    }
    const pieces = joinSmall(parts);
    const last = pieces.pop()!;
    socket.cork();
    for (const piece of pieces) socket.write(piece);
    socket.write(last, () => this.#written(batch));
    socket.uncork();
  }

  #partsOf(outgoing: Outgoing | Buffer): Uint8Array[] {
    if (Buffer.isBuffer(outgoing)) {
      if (outgoing === signalBytes.ping) this.#waiting.delete("ping");
      if (outgoing === signalBytes.pong) this.#waiting.delete("pong");
      return [outgoing];
    }
    const { header, payload } = outgoing;
    const head = encodeFrame(header, payload, this.#run);
    this.#run = header.run;
    return payload === null || payload.length === 0 ? [head] : [head, payload];
  }

  /** A write that failed waits for the socket's end, after which no memory is referred to. */
  #written(batch: Batch): void {
    if (this.#socket?.destroyed !== false || !this.#inFlight.delete(batch)) return;
    for (const sent of batch.sents) sent();
    this.#pump();
  }
}

/** The same bytes in fewer pieces; what is large stays where it is. */
function joinSmall(parts: readonly Uint8Array[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  const join = () => {
    if (small.length > 0) pieces.push(small.length === 1 ? small[0]! : Buffer.concat(small));
    small = [];
  };
  for (const part of parts) {
    if (part.length <= smallBytesMax) small.push(part);
    else {
      join();
      pieces.push(part);
    }
  }
  join();
  return pieces;
}

function later(task: (() => void) | undefined): void {
  if (task !== undefined) setImmediate(task);
}
