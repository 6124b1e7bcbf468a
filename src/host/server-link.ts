/**
 * A worker's or the coordinator's line to one server: opens a channel, says hello, and when the
 * channel breaks opens another until it is told to stop, each time asking where the server is to be
 * reached: a way that was there may be gone. What was on its way is not known to have arrived:
 * whoever uses the link asks again when `onOpen` is called.
 */

import { type PacelineError, toPacelineError } from "../errors.js";
import type { WorkerIdentity } from "../protocol/identity.js";
import { type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import type { ChunkChannel, Transport } from "../transport/transport.js";
import type { Clock, Timer } from "./clock.js";

/** Who speaks over the link. */
export interface LinkIdentity extends WorkerIdentity {
  readonly run: string;
}

/** What the link tells its user. */
export interface LinkListener {
  /** The server has welcomed us, for the first time or again. */
  onOpen(): void;
  /** Memory for a message's payload, or null to throw it away. */
  onHeader(header: ChunkHeader, payloadBytes: number): Uint8Array | null;
  onChunk(header: ChunkHeader, destination: Uint8Array | null): void;
  /** The channel broke, or the server does not serve this run; another try follows. */
  onTrouble(reason: string): void;
}

const reconnectDelayMs = 100;

/** The line. */
export class ServerLink {
  readonly #find: () => string;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #identity: LinkIdentity;
  readonly #listener: LinkListener;
  #address: string;
  #channel: ChunkChannel | null = null;
  #welcome = false;
  #retry: Timer | null = null;
  #closed = false;

  /** Throws what `find` throws; later that is a trouble, after which it is asked again. */
  constructor(
    parts: { transport: Transport; clock: Clock },
    find: () => string,
    identity: LinkIdentity,
    listener: LinkListener,
  ) {
    this.#find = find;
    this.#address = find();
    this.#transport = parts.transport;
    this.#clock = parts.clock;
    this.#identity = identity;
    this.#listener = listener;
    this.#open();
  }

  /** Where the server was last looked for. */
  get address(): string {
    return this.#address;
  }

  /** True when what is sent goes out. */
  get isOpen(): boolean {
    return this.#welcome;
  }

  /**
   * Sends if the link is open; otherwise nothing, as `onOpen` will have it asked for again. `sent`
   * is called once, when the payload may change.
   */
  send(header: ChunkHeader, payload: Uint8Array | null, sent?: () => void): void {
    if (this.#welcome && this.#channel !== null) this.#channel.send(header, payload, sent);
    else sent?.();
  }

  /** Ends the link for good. */
  close(): void {
    this.#closed = true;
    this.#welcome = false;
    this.#retry?.cancel();
    this.#channel?.close();
    this.#channel = null;
  }

  #open(): void {
    if (this.#closed) return;
    this.#welcome = false;
    const channel = this.#transport.openChunks(this.#address, {
      onHeader: (header, payloadBytes) =>
        this.#channel === channel ? this.#listener.onHeader(header, payloadBytes) : null,
      onChunk: (header, destination) => {
        if (this.#channel === channel) this.#onChunk(header, destination);
      },
      onClose: (error) => {
        if (this.#channel === channel) this.#onClose(error);
      },
    });
    this.#channel = channel;
    const { run, rank, incarnation } = this.#identity;
    channel.send({ ...emptyHeader, kind: "hello", run, rank, incarnation }, null);
  }

  #onChunk(header: ChunkHeader, destination: Uint8Array | null): void {
    if (header.kind === "welcome") {
      this.#welcome = true;
      this.#listener.onOpen();
      return;
    }
    if (header.kind === "refusal") {
      this.#channel?.close();
      this.#channel = null;
      this.#tryAgain(header.detail);
      return;
    }
    this.#listener.onChunk(header, destination);
  }

  #onClose(error: PacelineError): void {
    this.#channel = null;
    this.#tryAgain(error.message);
  }

  #tryAgain(reason: string): void {
    if (this.#closed) return;
    this.#welcome = false;
    const trouble = `server at ${this.#address}: ${reason}`;
    this.#retry = this.#clock.after(reconnectDelayMs, () => {
      // At the end of a run servers may close first: that is no trouble once this link is closed.
      this.#listener.onTrouble(trouble);
      this.#openAgain();
    });
  }

  #openAgain(): void {
    if (this.#closed) return;
    try {
      this.#address = this.#find();
    } catch (thrown) {
      this.#tryAgain(toPacelineError(thrown).message);
      return;
    }
    this.#open();
  }
}
