/**
 * The transport of Paceline's own processes: sessions, calls and the public contract over gRPC;
 * chunk messages as frames where an address asks for them. What is served answers both at one
 * address, so that a port that is forwarded or proxied serves either.
 */

import { toPacelineError } from "../../errors.js";
import { wantsFrames } from "../addresses.js";
import { brokenWith } from "../connection-errors.js";
import { createGrpcTransport } from "../grpc/grpc-transport.js";
import type { GrpcTransportOptions } from "../grpc/methods.js";
import { serveChunks } from "../grpc/parameter-server.js";
import type { ChunkReceiver, Transport } from "../transport.js";
import { FrameChannel } from "./frame-channel.js";
import { FrameServer } from "./frame-server.js";
import { dial } from "./frame-socket.js";

/** Makes a transport; nothing is opened yet. */
export function createMemberTransport(options: GrpcTransportOptions = {}): Transport {
  const ioTimeoutMs = options.ioTimeoutMs ?? 30_000;
  const grpc = createGrpcTransport({ ioTimeoutMs });
  const channels = new Set<FrameChannel>();
  return {
    ...grpc,
    serveChunks: (address, accept) =>
      serveChunks(address, accept, { ioTimeoutMs }, new FrameServer(accept, ioTimeoutMs)),
    openChunks: (address, receiver) =>
      wantsFrames(address)
        ? openFrames(address, receiver, ioTimeoutMs, channels)
        : grpc.openChunks(address, receiver),
    close: async () => {
      await Promise.all([grpc.close(), ...[...channels].map((one) => end(one, ioTimeoutMs))]);
    },
  };
}

function openFrames(
  address: string,
  receiver: ChunkReceiver,
  ioTimeoutMs: number,
  channels: Set<FrameChannel>,
): FrameChannel {
  const channel = new FrameChannel({ peer: address, ioTimeoutMs, accept: null }, receiver);
  try {
    channel.attach(dial(address, channel));
    channels.add(channel);
    channel.whenOver(() => channels.delete(channel));
  } catch (thrown) {
    setImmediate(() => channel.breakOff(toPacelineError(thrown)));
  }
  return channel;
}

/** Ends a channel after what was sent; what is not taken within the time-out is given up. */
function end(channel: FrameChannel, ioTimeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const limit = setTimeout(() => channel.breakOff(brokenWith(channel.peer)), ioTimeoutMs);
    channel.whenOver(() => {
      clearTimeout(limit);
      resolve();
    });
    channel.close();
  });
}
