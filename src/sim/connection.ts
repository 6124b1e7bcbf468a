/**
 * A connection between two simulated processes, as TCP would give it: each end may be ended by
 * itself, and what was on its way then still arrives, late, at an end that has not heard of it.
 *
 * A chunk message with a payload arrives in three events: its header, for which the receiver names
 * memory; half of the payload; the rest. So a connection that ends in between leaves half of a
 * write. Some payloads are copied when they are sent, as a socket's buffer would, the others are
 * read from the sender's memory as they arrive: it is lent until then.
 */
import { PacelineError } from "../errors.js";
import type { ChunkHeader } from "../protocol/messages.js";
import type { ChunkReceiver } from "../transport/transport.js";
import { Pipe, type PipeSurroundings } from "./pipe.js";
import type { SimulatedProcess } from "./simulated-process.js";
import { packHeader, type WireForm } from "./wire-forms.js";

/** What hears at an end. */
export interface EndReceiver {
  onClose(error: PacelineError): void;
}

/** What connections lie in. */
export interface ConnectionSurroundings extends PipeSurroundings {
  /** As what messages are on their way. */
  readonly wire: WireForm;
  /** True where a payload is copied when it is sent. */
  copiesPayload(): boolean;
  /** True where a closed end tells a peer that still sends to it. */
  resets(): boolean;
  onOver(connection: Connection): void;
  /** A chunk message has been sent, whether it will arrive or not. */
  onSent(header: ChunkHeader, from: string): void;
  /** A process is about to send a message of this kind, or has done so: it may end over it. */
  onAct(process: SimulatedProcess, kind: string, isDone: boolean): void;
  /** True while what this node asks of servers is asked twice. */
  repeats(node: string): boolean;
}

const none: readonly number[] = [];
/** What a process that is unsure may ask a second time. */
const repeated: readonly string[] = ["push", "pull", "follow", "received", "load", "save"];

/** One end of a connection. */
export class ConnectionEnd {
  readonly process: SimulatedProcess;
  readonly connection: Connection;
  receiver: EndReceiver | null = null;
  /** What leaves here. */
  readonly out: Pipe;
  isOver = false;
  /** Of the frame before. */
  #runBefore = "";

  constructor(connection: Connection, process: SimulatedProcess, out: Pipe) {
    this.connection = connection;
    this.process = process;
    this.out = out;
  }

  get #other(): ConnectionEnd {
    return this.connection.otherThan(this);
  }

  /** Has something happen with the receiver at the other end. */
  send<Receiver extends EndReceiver>(
    kind: string,
    label: () => string,
    deliver: (to: Receiver) => void,
  ): void {
    this.#act(kind, () => {
      const other = this.#other;
      this.#hearReset();
      this.out.send({
        ...{ label, numbers: none },
        beats: 1,
        isLent: false,
        arrive: () => other.#guard<Receiver>(deliver),
        lose: () => {},
      });
    });
  }

  /** Sends, unless the process ends before; one that stands still does so when it goes on. */
  #act(kind: string, send: () => void, unsent: () => void = () => {}): void {
    const { process } = this;
    const { around } = this.connection;
    if (!this.isOver && !process.isFrozen) around.onAct(process, kind, false);
    if (process.isFrozen && process.isAlive) {
      process.run(() => this.#act(kind, send, unsent));
      return;
    }
    if (this.isOver) {
      unsent();
      return;
    }
    send();
    around.onAct(process, kind, true);
  }

  /** Sends a chunk message; `sent` is called once, in this process. */
  sendChunk(header: ChunkHeader, payload: Uint8Array | null, sent: () => void = () => {}): void {
    const { around } = this.connection;
    const send = () => {
      this.#sendChunk(header, payload, sent);
      if (!repeated.includes(header.kind) || !around.repeats(this.process.node)) return;
      const again = payload?.slice() ?? null;
      const atMs = around.nowMs + around.delayMs() * 3;
      around.plan(atMs, () => {
        this.process.run(() => this.isOver || this.#sendChunk(header, again, () => {}));
      });
    };
    this.#act(header.kind, send, () => {
      around.plan(around.nowMs, () => this.process.run(sent));
    });
  }

  #sendChunk(header: ChunkHeader, payload: Uint8Array | null, sent: () => void): void {
    const { nowMs } = this.connection.around;
    this.connection.around.onSent(header, this.process.node);
    const done = () => this.connection.around.plan(nowMs, () => this.process.run(sent));
    const isCopied = payload === null || this.connection.around.copiesPayload();
    const bytes = isCopied ? (payload?.slice() ?? null) : payload;
    if (isCopied) done();
    const other = this.#other;
    this.#hearReset();
    let isLent = !isCopied;
    const release = () => {
      if (isLent) this.process.run(sent);
      isLent = false;
    };
    const packed = packHeader(this.connection.around.wire, header, payload, this.#runBefore);
    this.#runBefore = header.run;
    let arrived = header;
    let destination: Uint8Array | null = null;
    let receiver: EndReceiver | null = null;
    const half = Math.floor((bytes?.length ?? 0) / 8) * 4;
    const beats = bytes === null ? 1 : 3;
    this.out.send({
      label: () => labelOf(header),
      numbers: [header.chunk, header.step, header.rank, header.version],
      beats,
      get isLent() {
        return isLent;
      },
      arrive: (beat) => {
        if (beat === 0) {
          receiver = other.receiver;
          other.#guard<ChunkReceiver>((to) => {
            arrived = packed.unpack();
            destination = to.onHeader(arrived, bytes?.length ?? 0);
          });
        }
        const isHeard = receiver !== null && other.receiver === receiver;
        if (beat === 1 && isHeard) destination?.set(bytes!.subarray(0, half));
        if (beat < beats - 1) return;
        if (isHeard && bytes !== null) destination?.set(bytes.subarray(half), half);
        if (isHeard) other.#guard<ChunkReceiver>((to) => to.onChunk(arrived, destination));
        release();
      },
      lose: () => this.connection.around.plan(nowMs, release),
    });
  }

  /** Ends the connection after what was sent; nothing more is heard here. */
  close(): void {
    if (this.isOver) return;
    this.#end();
    this.#tellOther(new PacelineError("unavailable", `${this.process.name} closed the connection`));
  }

  /** The connection breaks as this end sees it; the other hears of it after what is under way. */
  break(error: PacelineError): void {
    if (this.isOver) return;
    const { receiver } = this;
    this.#end();
    this.out.cutLent();
    this.#tellOther(error);
    const { nowMs, plan } = this.connection.around;
    if (receiver !== null) plan(nowMs, () => this.process.run(() => receiver.onClose(error)));
  }

  /** The process is gone; where nobody says so (`isSilent`), nothing that it sent arrives. */
  die(isSilent: boolean): void {
    if (this.isOver) return;
    this.#end();
    this.out.cutLent();
    if (isSilent) this.out.drop();
    else {
      const error = new PacelineError("unavailable", `${this.process.name} closed the connection`);
      this.#tellOther(error);
    }
  }

  /** What is sent to an end that is over is answered by a reset, if that is not lost. */
  #hearReset(): void {
    const { around, isReset } = this.connection;
    if (!this.#other.isOver || !isReset) return;
    const error = new PacelineError("unavailable", `${this.#other.process.name} has gone on`);
    around.plan(around.nowMs + around.delayMs() + around.delayMs(), () => {
      this.process.run(() => this.break(error));
    });
  }

  #end(): void {
    this.isOver = true;
    this.receiver = null;
    this.#other.out.drop();
    this.connection.around.onOver(this.connection);
  }

  #tellOther(error: PacelineError): void {
    const other = this.#other;
    if (other.isOver) return;
    const arrive = () => {
      if (other.isOver) return;
      const { receiver } = other;
      other.#end();
      receiver?.onClose(error);
    };
    const about = { label: () => "end", numbers: none };
    this.out.send({ ...about, beats: 1, isLent: false, arrive, lose: () => {} });
  }

  /** Calls the receiver; what it objects to breaks the connection. */
  #guard<Receiver extends EndReceiver>(call: (receiver: Receiver) => void): void {
    if (this.receiver === null) return;
    try {
      call(this.receiver as Receiver);
    } catch (thrown) {
      if (!(thrown instanceof PacelineError)) throw thrown;
      this.break(thrown);
    }
  }
}

/** The connection. */
export class Connection {
  readonly around: ConnectionSurroundings;
  readonly isReset: boolean;
  readonly client: ConnectionEnd;
  readonly server: ConnectionEnd;

  constructor(client: SimulatedProcess, server: SimulatedProcess, around: ConnectionSurroundings) {
    this.around = around;
    this.isReset = around.resets();
    this.client = new ConnectionEnd(this, client, new Pipe(client.node, server, around));
    this.server = new ConnectionEnd(this, server, new Pipe(server.node, client, around));
  }

  /** The other end. */
  otherThan(end: ConnectionEnd): ConnectionEnd {
    return end === this.client ? this.server : this.client;
  }

  /** The end that is in a process on this node; undefined where none is. */
  endOn(node: string): ConnectionEnd | undefined {
    return [this.client, this.server].find(({ process }) => process.node === node);
  }
}

function labelOf({ kind, chunk, step, outcome, rank, version }: ChunkHeader): string {
  const told = outcome === "none" ? "" : ` ${outcome}`;
  return `${kind}${told} of chunk ${chunk} at step ${step} for worker ${rank}, version ${version}`;
}
