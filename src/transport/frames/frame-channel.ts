/**
 * One connection of frames as a channel, for both sides. What is sent waits here as a queue of
 * references and is given to the socket a batch at a time, head and payload side by side without a
 * copy. Reading never waits for writing, so two peers that both send much can't block each other.
 *
 * States: open; closing (this side has closed: nothing is delivered any more, what was sent still
 * goes out, then the connection ends); over (nothing happens any more but the socket's own end).
 * `sent` of every message is called once, when the system has taken its bytes or never will.
 *
 * A peer must say its greeting, and a caller its hello, within the time-out. From then on a side
 * that has heard nothing for a third of it asks whether the other is there. It ends the connection
 * when it hears nothing for another third, or when the other takes nothing for the whole of it.
 */
import type { Socket } from "node:net";
import { assert } from "../../assert.js";
import { type ErrorCode, errorCodes, PacelineError, toPacelineError } from "../../errors.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import { brokenWith, closedBy, silent, unreachable } from "../connection-errors.js";
import type { ChunkChannel, ChunkReceiver } from "../transport.js";
import {
  encodeGreeting,
  type FrameSignal,
  frameVersion,
  greetedVersion,
} from "../wire/frame-codec.js";
import { helloBytesMax } from "../wire/limits.js";
import { FrameReader } from "./frame-reader.js";
import { readInto } from "./frame-socket.js";
import { FrameWriter } from "./frame-writer.js";

/** What differs between the side that called and the side that was called. */
export interface ChannelSide {
  /** What the peer is called in messages to people. */
  readonly peer: string;
  readonly ioTimeoutMs: number;
  /**
   * Decides on the first message of a caller who has said hello; null where the receiver is known.
   */
  readonly accept: ((channel: ChunkChannel, first: ChunkHeader) => ChunkReceiver) | null;
  /** The cluster's token, which a caller's hello carries; none if left out. */
  readonly token?: string | null;
  /** Hears why the other side has ended the channel, where it has said so. */
  readonly onFault?: (error: PacelineError) => void;
}

/** How long a connection may take to end once everything has been said. */
const lingerMs = 500;

/** The channel. */
export class FrameChannel implements ChunkChannel {
  readonly peer: string;
  readonly reader: FrameReader;
  readonly #side: ChannelSide;
  readonly #overListeners: (() => void)[] = [];
  readonly #opening: NodeJS.Timeout;
  readonly #watch: NodeJS.Timeout;
  readonly #writer = new FrameWriter();
  #receiver: ChunkReceiver | null;
  #socket: Socket | null = null;
  #greeted = false;
  #heard = true;
  #asked = false;
  #deaf = false;
  /** True until a connection may be spoken over. */
  #securing = false;
  #helloBytes = 0;
  #closing = false;
  #over = false;

  constructor(side: ChannelSide, receiver: ChunkReceiver | null) {
    const { peer, ioTimeoutMs } = side;
    this.peer = peer;
    this.#side = side;
    this.#receiver = receiver;
    this.reader = new FrameReader({
      onGreeting: (bytes) => this.#onGreeting(bytes),
      onHeader: (header, payloadBytes) => this.#onHeader(header, payloadBytes),
      onFrame: (header, destination) => this.#receiver?.onChunk(header, destination),
      onSignal: (signal, code, sentence) => this.#onSignal(signal, code, sentence),
    });
    this.#writer.write(encodeGreeting());
    const missing = side.accept === null ? "answer" : "hello";
    this.#opening = setTimeout(() => this.fail(silent(peer, missing, ioTimeoutMs)), ioTimeoutMs);
    const third = Math.max(50, Math.floor(ioTimeoutMs / 3));
    this.#watch = setInterval(() => this.#look(), third);
  }

  /** Memory for the socket's next bytes. */
  next(): Uint8Array {
    return this.reader.next();
  }

  /** The socket has filled so much of it. */
  filled(bytes: number): void {
    this.#heard = true;
    this.#guard(() => this.reader.filled(bytes));
    this.#countHello(bytes);
  }

  /** The socket, or who accepted it, has read these bytes. */
  feed(bytes: Uint8Array): void {
    this.#heard = true;
    this.#guard(() => this.reader.feed(bytes));
    this.#countHello(bytes.length);
  }

  /**
   * As `attach`, of a connection over which a handshake is being made.
   * @param secured resolves to the socket to speak over, and rejects when the channel fails; it
   *   ends the bare socket then.
   */
  attachWhen(secured: Promise<Socket>, bare: Socket): void {
    this.#socket = bare;
    this.#securing = true;
    const begin = (socket: Socket): void => {
      this.#securing = false;
      readInto(this, socket);
      this.attach(socket);
    };
    secured.then(begin, (thrown) => {
      this.#finish(toPacelineError(thrown));
      this.#gone();
    });
  }

  /** Begins to speak over a socket, which may still be connecting. */
  attach(socket: Socket): void {
    this.#socket = socket;
    socket.on("end", () => this.#remoteEnded());
    socket.on("error", (error: NodeJS.ErrnoException) => this.#remoteBroke(error));
    socket.on("close", () => {
      this.#remoteBroke();
      this.#gone();
    });
    if (this.#over) this.#linger(lingerMs);
    this.#writer.attach(socket);
  }

  send(header: ChunkHeader, payload: Uint8Array | null, sent?: () => void): void {
    if (this.#over || this.#closing) {
      if (sent !== undefined) setImmediate(sent);
      return;
    }
    const { token = null } = this.#side;
    const isHello = token !== null && header.kind === "hello";
    this.#writer.send(isHello ? { ...header, detail: token } : header, payload, sent);
  }

  close(): void {
    if (this.#closing || this.#over) return;
    this.#receiver = null;
    this.#closing = true;
    clearTimeout(this.#opening);
    this.#stopReading();
    const { ioTimeoutMs } = this.#side;
    if (this.#securing) this.#linger(ioTimeoutMs);
    this.#writer.end(() => this.#linger(this.#deaf ? lingerMs : ioTimeoutMs));
  }

  /** As `close`, but this side's receiver hears why. */
  shut(error: PacelineError): void {
    const receiver = this.#receiver;
    this.close();
    receiver?.onClose(error);
  }

  /** Ends the channel at once; both sides hear the error. */
  fail(error: PacelineError): void {
    if (this.#over) return;
    this.#finish(error);
    this.#stopReading();
    this.#writer.fault(error);
    this.#linger(lingerMs);
  }

  /** Calls back once when the connection has ended. */
  whenOver(listener: () => void): void {
    if (this.#socket?.closed === true) listener();
    else this.#overListeners.push(listener);
  }

  /** Ends the connection without a word to the other side. */
  breakOff(error: PacelineError): void {
    this.#finish(error);
    this.#socket?.destroy();
  }

  #onGreeting(bytes: Buffer): void {
    const { accept, peer } = this.#side;
    const version = greetedVersion(bytes);
    if (version === null) {
      const remedy =
        accept === null ? "is not a parameter server; check the address" : "speaks no frames";
      throw new PacelineError("protocol", `${peer} ${remedy}`);
    }
    if (version !== frameVersion) {
      const remedy = "use the same release of Paceline on both sides";
      const said = `${peer} speaks version ${version} of the frames, not ${frameVersion}`;
      throw new PacelineError("protocol", `${said}; ${remedy}`);
    }
    this.#greeted = true;
    if (accept === null) clearTimeout(this.#opening);
  }

  #onHeader(header: ChunkHeader, payloadBytes: number): Uint8Array | null {
    const { accept } = this.#side;
    if (this.#receiver === null && accept !== null && !this.#closing) {
      clearTimeout(this.#opening);
      const receiver = accept(this, header);
      if (!this.#closing && !this.#over) this.#receiver = receiver;
    }
    const destination = this.#receiver?.onHeader(header, payloadBytes) ?? null;
    if (destination !== null) {
      assert(destination.length === payloadBytes, "destination is as long as the payload", {
        destination: destination.length,
        payloadBytes,
      });
    }
    return destination;
  }

  #onSignal(signal: FrameSignal, code: string, sentence: string): void {
    if (signal === "ping") this.#writer.signal("pong");
    if (signal !== "fault") return;
    const known = Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : "protocol";
    const error = new PacelineError(known, sentence, { details: { address: this.peer } });
    this.#side.onFault?.(error);
    this.#finish(error);
    this.#stopReading();
    this.#end();
  }

  /** A caller that is nobody's yet may not say much. */
  #countHello(bytes: number): void {
    if (this.#side.accept === null || this.#receiver !== null || this.#closing) return;
    this.#helloBytes += bytes;
    if (this.#over || this.#helloBytes <= helloBytesMax) return;
    const sentence = `${this.peer} sent ${this.#helloBytes} bytes without a hello`;
    this.fail(new PacelineError("protocol", `${sentence}; at most ${helloBytesMax} are allowed`));
  }

  /** The connection has ended: nothing is left to be waited for. */
  #gone(): void {
    this.#writer.abandon();
    for (const listener of this.#overListeners.splice(0)) listener();
  }

  /** What is wrong with the peer's bytes ends the connection; a bug ends the process. */
  #guard(read: () => void): void {
    try {
      read();
    } catch (thrown) {
      if (thrown instanceof PacelineError) this.fail(thrown);
      else
        setImmediate(() => {
          throw thrown;
        });
    }
  }

  #look(): void {
    const { ioTimeoutMs, peer } = this.#side;
    const seconds = `${(ioTimeoutMs / 1000).toFixed(1)} s`;
    if (this.#writer.waitingMs > ioTimeoutMs) {
      this.breakOff(new PacelineError("timeout", `${peer} accepted no data for ${seconds}`));
    } else if (this.#heard || !this.#greeted || this.#receiver === null) {
      this.#heard = false;
      this.#asked = false;
    } else if (this.#asked) {
      const least = `${((2 * ioTimeoutMs) / 3000).toFixed(1)} s`;
      this.breakOff(new PacelineError("timeout", `${peer} has said nothing for ${least}`));
    } else {
      this.#asked = true;
      this.#writer.signal("ping");
    }
  }

  /** The peer has ended its half in good order. */
  #remoteEnded(): void {
    const { peer } = this.#side;
    const closed = this.reader.isMidFrame ? brokenWith(peer) : closedBy(peer);
    this.#finish(closed);
    this.#end();
  }

  /** The connection can't be had, or is gone. */
  #remoteBroke(error?: NodeJS.ErrnoException): void {
    const { peer } = this.#side;
    const reached = this.#greeted || error === undefined;
    this.#finish(reached ? brokenWith(peer, error) : unreachable(peer, error.code));
  }

  #finish(error: PacelineError): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#opening);
    clearInterval(this.#watch);
    const receiver = this.#receiver;
    this.#receiver = null;
    this.#writer.drop();
    receiver?.onClose(error);
  }

  /**
   * Nothing is delivered any more. Bytes that still come are thrown away, so that the peer's last
   * words do not make the system reset the connection and lose ours; only while the next bytes
   * would be read into the receiver's memory is there no more reading at all.
   */
  #stopReading(): void {
    this.#deaf = this.reader.isInPayload;
    if (this.#deaf) this.#socket?.pause();
    this.reader.stop();
  }

  #end(): void {
    this.#writer.end();
    this.#linger(lingerMs);
  }

  #linger(limitMs: number): void {
    const socket = this.#socket;
    if (socket === null || socket.closed) return;
    const timer = setTimeout(() => socket.destroy(), limitMs);
    socket.once("close", () => clearTimeout(timer));
  }
}
