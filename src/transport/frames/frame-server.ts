/**
 * The called side: takes over connections that open with the frames' greeting and gives each, after
 * its hello, to the acceptor.
 */
import type { Socket } from "node:net";
import type { PacelineError } from "../../errors.js";
import { acceptHello } from "../chunk-delivery.js";
import { brokenWith } from "../connection-errors.js";
import type { Door } from "../credentials/door.js";
import type { OtherProtocol } from "../grpc/listener.js";
import type { ChunkAcceptor } from "../transport.js";
import { frameMagic } from "../wire/frame-codec.js";
import { type ChannelSide, FrameChannel } from "./frame-channel.js";
import { adopt } from "./frame-socket.js";

/** Frames beside gRPC at one address. */
export class FrameServer implements OtherProtocol {
  readonly #channels = new Set<FrameChannel>();
  readonly #accept: ChunkAcceptor;
  readonly #ioTimeoutMs: number;
  readonly #door: Door;

  constructor(accept: ChunkAcceptor, ioTimeoutMs: number, door: Door) {
    this.#accept = accept;
    this.#ioTimeoutMs = ioTimeoutMs;
    this.#door = door;
  }

  /** No text, TLS or HTTP/2 connection begins with this byte. */
  isOpening(first: Buffer): boolean {
    return first[0] === frameMagic[0];
  }

  accept(accepted: Socket, first: Buffer): void {
    const { remoteAddress, remotePort } = accepted;
    const peer = remoteAddress === undefined ? "a process here" : `${remoteAddress}:${remotePort}`;
    const accept: ChannelSide["accept"] = (channel, first) => {
      if (first.kind === "hello") this.#door.demandToken(peer, first.detail);
      const receiver = acceptHello(this.#accept, channel, first);
      this.#door.greeted(peer);
      return receiver;
    };
    const onFault = ({ message }: PacelineError) => {
      this.#door.tell(`${peer} does not go on with this process: ${message}`);
    };
    const side = { peer, ioTimeoutMs: this.#ioTimeoutMs, accept, onFault };
    const channel = new FrameChannel(side, null);
    this.#channels.add(channel);
    channel.whenOver(() => this.#channels.delete(channel));
    // Its own bytes first: the socket says where the next ones go when it is made.
    channel.feed(first);
    channel.attach(adopt(accepted, channel));
  }

  fail(peer: string, error: PacelineError): void {
    for (const channel of [...this.#channels]) if (channel.peer === peer) channel.fail(error);
  }

  async shut(error: PacelineError): Promise<void> {
    const channels = [...this.#channels];
    for (const channel of channels) channel.shut(error);
    const over = channels.map((channel) => new Promise<void>((done) => channel.whenOver(done)));
    const limit = setTimeout(() => {
      for (const channel of channels) channel.breakOff(brokenWith(channel.peer));
    }, this.#ioTimeoutMs);
    await Promise.all(over);
    clearTimeout(limit);
  }
}
