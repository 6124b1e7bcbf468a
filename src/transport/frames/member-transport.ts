/**
 * The transport of Paceline's own processes: sessions, calls and the public contract over gRPC;
 * chunk messages as frames where an address asks for them. What is served answers both at one
 * address, so that a port that is forwarded or proxied serves either.
 */

import { toPacelineError } from "../../errors.js";
import { placeOf, wantsFrames } from "../addresses.js";
import { brokenWith } from "../connection-errors.js";
import { secure } from "../credentials/tls-dial.js";
import { createGrpcTransport } from "../grpc/grpc-transport.js";
import { type GrpcLimits, type GrpcTransportOptions, limitsOf } from "../grpc/methods.js";
import { serveChunks } from "../grpc/parameter-server.js";
import type { ChunkReceiver, Transport } from "../transport.js";
import { FrameChannel } from "./frame-channel.js";
import { FrameServer } from "./frame-server.js";
import { dial, dialPlain } from "./frame-socket.js";

/** Makes a transport; nothing is opened yet. */
export function createMemberTransport(options: GrpcTransportOptions = {}): Transport {
  const limits = limitsOf(options);
  const { ioTimeoutMs } = limits;
  const grpc = createGrpcTransport(options);
  const channels = new Set<FrameChannel>();
  return {
    ...grpc,
    serveChunks: (address, accept) =>
      serveChunks(
        address,
        accept,
        limits,
        (door, checked) => new FrameServer(checked, ioTimeoutMs, door),
      ),
    openChunks: (address, receiver) =>
      wantsFrames(address)
        ? openFrames(address, receiver, limits, channels)
        : grpc.openChunks(address, receiver),
    close: async () => {
      await Promise.all([grpc.close(), ...[...channels].map((one) => end(one, ioTimeoutMs))]);
    },
  };
}

function openFrames(
  address: string,
  receiver: ChunkReceiver,
  { ioTimeoutMs, security }: GrpcLimits,
  channels: Set<FrameChannel>,
): FrameChannel {
  const token = security?.token?.sent ?? null;
  const side = { peer: address, ioTimeoutMs, accept: null, token };
  const channel = new FrameChannel(side, receiver);
  try {
    const place = placeOf(address);
    const tls = place.kind === "path" ? null : (security?.tls ?? null);
    if (tls === null || place.kind === "path") {
      channel.attach(dial(address, channel));
    } else {
      const bare = dialPlain(place);
      const wanted = { address, host: place.host, role: "server" } as const;
      channel.attachWhen(secure(bare, tls, wanted), bare);
    }
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
