/**
 * A worker's or the coordinator's line to one server: opens a channel, says hello, and when the
 * channel breaks opens another until it is told to stop, each time asking where the server is to be
 * reached: a way that was there may be gone. What was on its way is not known to have arrived:
 * the link's user asks again when `onOpen` is called.
 *
 * A channel may also be open and dead. So a server that has not been heard for a moment, while
 * nothing is on its way to it, is greeted again, which it answers; one that does not in the time
 * that its answers let expect is taken for gone, and looked for anew.
 */

import { type PacelineError, toPacelineError } from "../errors.js";
import type { ServerReach, WorkerIdentity } from "../protocol/identity.js";
import { type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import type { ChunkChannel, Transport } from "../transport/transport.js";
import { AnswerTimes } from "./answer-times.js";
import { AwakeTime, type Clock, type Timer } from "./clock.js";

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
const silenceMsMax = 30_000;
const lookMs = 250;
/** After so much silence a server is greeted again. */
const quietMs = 500;
/** Of the silence before a channel was given up so much counts as not having reached the server. */
const countedSilenceMs = 1500;

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
  #watch: Timer | null = null;
  readonly #silenceMs: number;
  readonly #awake: AwakeTime;
  readonly #answers: AnswerTimes;
  /** When the server was heard last, or the transport took what it was sent. */
  #heardMs: number;
  /** Since when the server can't be reached; null while it is, or may be. */
  #troubleMs: number | null = null;
  /** True where the last try was refused. */
  #isRefused = false;
  /** When a greeting was sent over an open channel that has no answer; null where none was. */
  #greetedMs: number | null = null;
  #closed = false;

  /** Throws what `find` throws; later that is a trouble, after which it is asked again. */
  constructor(
    parts: { transport: Transport; clock: Clock; ioTimeoutMs?: number },
    find: () => string,
    identity: LinkIdentity,
    listener: LinkListener,
  ) {
    this.#find = find;
    this.#address = find();
    this.#transport = parts.transport;
    this.#clock = parts.clock;
    this.#silenceMs = parts.ioTimeoutMs ?? silenceMsMax;
    this.#answers = new AnswerTimes(this.#silenceMs);
    this.#awake = new AwakeTime(parts.clock, 2 * lookMs);
    this.#heardMs = this.#awake.nowMs();
    this.#identity = identity;
    this.#listener = listener;
    this.#open();
    this.#watchSilence();
  }

  /** Where the server was last looked for. */
  get address(): string {
    return this.#address;
  }

  /** What a heartbeat tells of the link to a server's life; nothing before it is known. */
  reachOf(server: number, incarnation: number): ServerReach[] {
    const { unreachedMs } = this;
    if (unreachedMs === null) return [];
    return [{ server, incarnation, unreachedMs, refused: this.#isRefused }];
  }

  /** How long the server can't be reached, in whole milliseconds; 0 where it can; null before. */
  get unreachedMs(): number | null {
    if (this.#troubleMs !== null) {
      return Math.max(1, Math.round(this.#awake.nowMs() - this.#troubleMs));
    }
    return this.#welcome ? 0 : null;
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
    if (!this.#welcome || this.#channel === null) {
      sent?.();
      return;
    }
    this.#channel.send(header, payload, () => {
      this.#heardMs = this.#awake.nowMs();
      sent?.();
    });
  }

  /** Ends the link for good. */
  close(): void {
    this.#closed = true;
    this.#welcome = false;
    this.#retry?.cancel();
    this.#watch?.cancel();
    this.#channel?.close();
    this.#channel = null;
  }

  #watchSilence(): void {
    this.#watch = this.#clock.after(lookMs, () => {
      const nowMs = this.#awake.nowMs();
      const silentMs = nowMs - this.#heardMs;
      const limitMs = this.#greetedMs === null ? this.#silenceMs : this.#answers.patienceMs;
      const unansweredMs = nowMs - Math.max(this.#heardMs, this.#greetedMs ?? 0);
      if (this.#channel !== null && unansweredMs >= limitMs) {
        if (this.#greetedMs !== null) this.#answers.add(unansweredMs);
        this.#troubleMs ??= nowMs - Math.min(silentMs, countedSilenceMs);
        this.#channel.close();
        this.#channel = null;
        this.#heardMs = nowMs;
        this.#tryAgain(`it has not answered for ${(silentMs / 1000).toFixed(1)} s`);
      } else if (this.#welcome && this.#greetedMs === null && this.#isToGreet(silentMs)) {
        this.#greetedMs = nowMs;
        this.#greet();
      }
      if (!this.#closed) this.#watchSilence();
    });
  }

  /** A link that is always busy learns at its begin how long answers take. */
  #isToGreet(silentMs: number): boolean {
    return silentMs >= quietMs || !this.#answers.isKnown;
  }

  #open(): void {
    if (this.#closed) return;
    this.#welcome = false;
    this.#greetedMs = null;
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
    this.#greet();
  }

  #greet(): void {
    const { run, rank, incarnation } = this.#identity;
    this.#channel?.send({ ...emptyHeader, kind: "hello", run, rank, incarnation }, null);
  }

  #onChunk(header: ChunkHeader, destination: Uint8Array | null): void {
    this.#heardMs = this.#awake.nowMs();
    if (header.kind === "welcome") {
      this.#troubleMs = null;
      this.#isRefused = false;
      // One that answers a further greeting says no more than that it is there.
      if (this.#welcome && this.#greetedMs !== null) {
        this.#answers.add(this.#heardMs - this.#greetedMs);
        this.#greetedMs = null;
        return;
      }
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
    this.#isRefused = error.nobodyListens;
    this.#tryAgain(error.message);
  }

  #tryAgain(reason: string): void {
    if (this.#closed) return;
    this.#welcome = false;
    this.#troubleMs ??= this.#awake.nowMs();
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
