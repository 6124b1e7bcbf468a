/**
 * The transport of Paceline's own processes: sessions, calls and the public contract over gRPC;
 * chunk messages as frames where an address asks for them. What is served answers both at one
 * address, so that a port that is forwarded or proxied serves either.
 */

import { PacelineError, toPacelineError } from "../../errors.js";
import { placeOf, wantsFrames } from "../addresses.js";
import { brokenWith } from "../connection-errors.js";
import { secure } from "../credentials/tls-dial.js";
import { serveCoordinator } from "../grpc/coordinator-service.js";
import { createGrpcTransport } from "../grpc/grpc-transport.js";
import { type GrpcLimits, type GrpcTransportOptions, limitsOf } from "../grpc/methods.js";
import { serveChunks } from "../grpc/parameter-server.js";
import type { ChunkAcceptor, ChunkReceiver, Transport } from "../transport.js";
import { FrameChannel } from "./frame-channel.js";
import { FrameServer } from "./frame-server.js";
import { dial, dialPlain } from "./frame-socket.js";

/** Makes a transport; nothing is opened yet. */
export function createMemberTransport(options: GrpcTransportOptions = {}): Transport {
  const limits = limitsOf(options);
  const { ioTimeoutMs, closeMs } = limits;
  const grpc = createGrpcTransport(options);
  const channels = new Set<FrameChannel>();
  return {
    ...grpc,
    serveCoordinator: (address, service) =>
      serveCoordinator(
        address,
        service,
        limits,
        (door) => new FrameServer(takesNoChunks, ioTimeoutMs, door),
      ),
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
      await Promise.all([grpc.close(), ...[...channels].map((one) => end(one, closeMs))]);
    },
  };
}

/** At a coordinator's port frames only tell why its certificate is not taken. */
const takesNoChunks: ChunkAcceptor = () => {
  throw new PacelineError("protocol", "this is a coordinator, not a parameter server");
};

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
      const secured = secure(bare, tls, wanted, (_, error) => channel.fail(error));
      channel.attachWhen(secured, bare);
    }
    channels.add(channel);
    channel.whenOver(() => channels.delete(channel));
  } catch (thrown) {
    setImmediate(() => channel.breakOff(toPacelineError(thrown)));
  }
  return channel;
}

/** Ends a channel after what was sent; what is not taken within the limit is given up. */
function end(channel: FrameChannel, limitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const limit = setTimeout(() => channel.breakOff(brokenWith(channel.peer)), limitMs);
    channel.whenOver(() => {
      clearTimeout(limit);
      resolve();
    });
    channel.close();
  });
}
