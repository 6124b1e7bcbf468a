/**
 * How bytes travel through the shaping proxy. Each direction is one link that all connections
 * share. Bytes handed to a link occupy it for bytes / rate (a token bucket of depth zero, kept as
 * the time at which the link is free), then travel for the delay; many may be under way, so delay
 * alone costs no bandwidth. A parcel never arrives early, and late by a timer's granularity of
 * about 1 ms. What a connection holds is bounded by what the link can carry during the delay, so
 * back-pressure reaches the sender as on a real path.
 */
import type { Socket } from "node:net";
import { PacelineError } from "../../errors.js";

/** Fastest sender whose bytes a link without a bandwidth limit has room for, bytes per second. */
export const unlimitedBytesPerSecond = 2e9;
/** Room a connection has in each direction beyond what the link carries during the delay. */
export const slackBytes = 512 * 1024;
/** Time beyond the delay for which a link has room: timers come late by about this much. */
const timerSlackMs = 4;
/**
 * As above where the bandwidth is limited: what the link could have carried while this process had
 * to wait for a processor would else be lost to it.
 */
const processorSlackMs = 25;
/** No connection holds more than this in one direction, however long the delay. */
export const heldBytesCeiling = 256 * 1024 * 1024;
/** A limited link hands its bytes on in pieces that occupy it for at most this long. */
const pieceMs = 1;
/** No piece is smaller than a usual TCP segment. */
const pieceBytesMin = 1460;

/** The shape that both directions share, and a clock that stands still while the network stalls. */
export class ShapedNetwork {
  delayMs = 0;
  bytesPerSecond: number | null = null;
  #stalledSinceMs: number | null = null;
  #stalledMs = 0;

  get stalled(): boolean {
    return this.#stalledSinceMs !== null;
  }

  nowMs(): number {
    return (this.#stalledSinceMs ?? performance.now()) - this.#stalledMs;
  }

  stall(): void {
    this.#stalledSinceMs ??= performance.now();
  }

  restore(): void {
    if (this.#stalledSinceMs === null) return;
    this.#stalledMs += performance.now() - this.#stalledSinceMs;
    this.#stalledSinceMs = null;
  }

  setDelay(delayMs: number): void {
    if (!(delayMs >= 0 && delayMs <= 60_000)) {
      throw new PacelineError("usage", `delay ${delayMs} ms is out of range; give 0 to 60000`);
    }
    this.delayMs = delayMs;
  }

  setBandwidth(bytesPerSecond: number | null): void {
    if (bytesPerSecond !== null && !(bytesPerSecond >= 1 && Number.isFinite(bytesPerSecond))) {
      const found = `bandwidth ${bytesPerSecond} bytes/s is out of range`;
      throw new PacelineError("usage", `${found}; give 1 or more, or null`);
    }
    this.bytesPerSecond = bytesPerSecond;
  }

  /** How much one connection may hold in one direction. */
  heldBytesMax(): number {
    const rate = this.bytesPerSecond ?? unlimitedBytesPerSecond;
    const slackMs = this.bytesPerSecond === null ? timerSlackMs : processorSlackMs;
    const underWayBytes = Math.ceil((rate * (this.delayMs + slackMs)) / 1000);
    return Math.min(heldBytesCeiling, slackBytes + underWayBytes);
  }

  pieceBytes(): number {
    if (this.bytesPerSecond === null) return Number.POSITIVE_INFINITY;
    return Math.max(pieceBytesMin, Math.floor((this.bytesPerSecond * pieceMs) / 1000));
  }
}

/** One direction of the network, shared by all connections. */
export class ShapedLink {
  #freeAtMs = 0;

  constructor(readonly network: ShapedNetwork) {}

  /**
   * Takes a count of bytes and says when the last of them is at the far end, by the network's
   * clock.
   */
  arrivalMs(bytes: number): number {
    const { bytesPerSecond, delayMs } = this.network;
    const nowMs = this.network.nowMs();
    if (bytesPerSecond === null) return nowMs + delayMs;
    const startMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = startMs + (bytes * 1000) / bytesPerSecond;
    return this.#freeAtMs + delayMs;
  }

  clear(): void {
    this.#freeAtMs = 0;
  }
}

/** A way that has a shape: both directions of a link that any number of proxies may share. */
export class ShapedPath {
  readonly network = new ShapedNetwork();
  readonly toTarget = new ShapedLink(this.network);
  readonly toClient = new ShapedLink(this.network);
}

/**
 * Ends a connection at once, with a reset where that is possible: of a socket whose own half has
 * been ended the system's handle would stay open, and be polled, for ever.
 */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** What travels: bytes, the end of the stream, or a reset. */
interface Parcel {
  readonly arrivalMs: number;
  readonly content: Buffer | "end" | "reset";
}

/** One direction of one connection: a queue of parcels and one timer for its head. */
export class ShapedLane {
  #queue: Parcel[] = [];
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  heldBytes = 0;

  constructor(
    readonly link: ShapedLink,
    readonly source: Socket,
    readonly sink: Socket,
  ) {
    source.on("data", (bytes: Buffer) => this.#take(bytes));
    source.on("end", () => this.#send("end", 0));
    source.on("close", (failed: boolean) => failed && this.#send("reset", 0));
    sink.on("close", () => this.close());
  }

  /** Forgets what is under way. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.heldBytes = 0;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.source.resume();
  }

  /** Hands on what has arrived and sets the timer to what arrives next. */
  deliver(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const nowMs = this.link.network.nowMs();
    this.sink.cork();
    while (this.#queue.length > 0 && this.#queue[0]!.arrivalMs <= nowMs) {
      if (this.link.network.stalled) break;
      this.#handOn(this.#queue.shift()!.content);
    }
    this.sink.uncork();
    const head = this.#queue[0];
    if (head === undefined || this.link.network.stalled) return;
    this.#timer = setTimeout(() => this.deliver(), Math.ceil(head.arrivalMs - nowMs));
  }

  #take(bytes: Buffer): void {
    if (this.#closed) return;
    this.heldBytes += bytes.length;
    const pieceBytes = this.link.network.pieceBytes();
    for (let start = 0; start < bytes.length; start += pieceBytes) {
      const piece = pieceBytes < bytes.length ? bytes.subarray(start, start + pieceBytes) : bytes;
      this.#send(piece, piece.length);
    }
    if (this.heldBytes >= this.link.network.heldBytesMax()) this.source.pause();
  }

  #send(content: Parcel["content"], bytes: number): void {
    if (this.#closed) return;
    this.#queue.push({ arrivalMs: this.link.arrivalMs(bytes), content });
    if (this.#timer === null) this.deliver();
  }

  #handOn(content: Parcel["content"]): void {
    if (content === "end") this.sink.end();
    else if (content === "reset") reset(this.sink);
    else this.sink.write(content, () => this.#handedOn(content.length));
  }

  #handedOn(bytes: number): void {
    if (this.#closed) return;
    this.heldBytes -= bytes;
    if (this.heldBytes < this.link.network.heldBytesMax()) this.source.resume();
  }
}
