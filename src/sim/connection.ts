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
import { type Parcel, Pipe, type PipeSurroundings } from "./pipe.js";
import type { SimulatedProcess } from "./simulated-process.js";
import { type Packed, packHeader, type WireForm } from "./wire-forms.js";

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
        arrive: () => other.guard<Receiver>(deliver),
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
    const { around } = this.connection;
    around.onSent(header, this.process.node);
    const isCopied = payload === null || around.copiesPayload();
    if (isCopied) around.plan(around.nowMs, () => this.process.run(sent));
    this.#hearReset();
    const bytes = isCopied ? (payload?.slice() ?? null) : payload;
    const packed = packHeader(around.wire, header, payload, this.#runBefore);
    this.#runBefore = header.run;
    const parts = { from: this, to: this.#other, header, packed, bytes };
    this.out.send(new ChunkParcel(parts, isCopied ? null : sent));
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
  guard<Receiver extends EndReceiver>(call: (receiver: Receiver) => void): void {
    if (this.receiver === null) return;
    try {
      call(this.receiver as Receiver);
    } catch (thrown) {
      if (!(thrown instanceof PacelineError)) throw thrown;
      this.break(thrown);
    }
  }
}

interface ChunkParcelParts {
  readonly from: ConnectionEnd;
  readonly to: ConnectionEnd;
  readonly header: ChunkHeader;
  readonly packed: Packed<ChunkHeader>;
  readonly bytes: Uint8Array | null;
}

/** A chunk message on its way. */
class ChunkParcel implements Parcel {
  readonly beats: number;
  readonly numbers: readonly number[];
  readonly #parts: ChunkParcelParts;
  readonly #half: number;
  /** Told when the sender's memory is not read any more; null where it is not, or not any more. */
  #sent: (() => void) | null;
  #arrived: ChunkHeader;
  #receiver: EndReceiver | null = null;
  #destination: Uint8Array | null = null;

  constructor(parts: ChunkParcelParts, sent: (() => void) | null) {
    const { header, bytes } = parts;
    this.#parts = parts;
    this.#sent = sent;
    this.#arrived = header;
    this.beats = bytes === null ? 1 : 3;
    this.numbers = [header.chunk, header.step, header.rank, header.version];
    this.#half = Math.floor((bytes?.length ?? 0) / 8) * 4;
  }

  get isLent(): boolean {
    return this.#sent !== null;
  }

  label(): string {
    return labelOf(this.#parts.header);
  }

  arrive(beat: number): void {
    const { to, bytes, packed } = this.#parts;
    if (beat === 0) {
      this.#receiver = to.receiver;
      to.guard<ChunkReceiver>((receiver) => {
        this.#arrived = packed.unpack();
        this.#destination = receiver.onHeader(this.#arrived, bytes?.length ?? 0);
      });
    }
    const isHeard = this.#receiver !== null && to.receiver === this.#receiver;
    const destination = this.#destination;
    if (beat === 1 && isHeard) destination?.set(bytes!.subarray(0, this.#half));
    if (beat < this.beats - 1) return;
    if (isHeard && bytes !== null) destination?.set(bytes.subarray(this.#half), this.#half);
    if (isHeard) {
      to.guard<ChunkReceiver>((receiver) => receiver.onChunk(this.#arrived, destination));
    }
    this.#release();
  }

  lose(): void {
    if (this.#sent === null) return;
    const { around } = this.#parts.from.connection;
    around.plan(around.nowMs, () => this.#release());
  }

  #release(): void {
    const sent = this.#sent;
    this.#sent = null;
    if (sent !== null) this.#parts.from.process.run(sent);
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
