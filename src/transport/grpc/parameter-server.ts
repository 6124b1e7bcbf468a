/**
 * A parameter server's gRPC service: PushPull is the data channel itself; Push and Pull, which
 * exist for workers in other languages, are played on the same acceptor as small channels of their
 * own.
 */
import type {
  ServerDuplexStream,
  ServerReadableStream,
  ServerWritableStream,
  sendUnaryData,
} from "@grpc/grpc-js";
import { acceptHello, deliverChunk } from "../chunk-delivery.js";
import { type Door, doorAt } from "../credentials/door.js";
import type { ChunkAcceptor, Listener } from "../transport.js";
import { decodeChunk } from "../wire/chunk-codec.js";
import { chunkChannel } from "./client.js";
import { listen, type OtherProtocol, serverStream } from "./listener.js";
import type { GrpcLimits } from "./methods.js";
import { parameterServerMethods, serviceNames } from "./methods.js";
import { answerPull, answerPush } from "./one-way.js";
import type { GrpcStream } from "./stream.js";

/** Serves data channels at an address, beside another protocol where one is given. */
export function serveChunks(
  address: string,
  acceptAll: ChunkAcceptor,
  limits: GrpcLimits,
  besides: ((door: Door, accept: ChunkAcceptor) => OtherProtocol) | null = null,
): Promise<Listener> {
  const door = doorAt(address, limits.security);
  const accept = door.checked(acceptAll);
  const streams = new Set<GrpcStream>();
  const handlers = {
    pushPull: (call: ServerDuplexStream<Buffer, Buffer>) => {
      const stream = serverStream(call, streams, limits, "hello", (first) => {
        const { header, payload } = decodeChunk(first);
        const receiver = acceptHello(accept, chunkChannel(stream), header);
        const adopted = stream.adopt({
          onBytes: (bytes) => {
            const chunk = decodeChunk(bytes);
            deliverChunk(receiver, chunk.header, chunk.payload);
          },
          onClose: (error) => receiver.onClose(error),
        });
        if (adopted) deliverChunk(receiver, header, payload);
      });
    },
    push: (call: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>) =>
      answerPush(call, callback, accept, streams, limits),
    pull: (call: ServerWritableStream<Buffer, Buffer>) => answerPull(call, accept, streams),
  };
  const name = serviceNames.parameterServer;
  const served = { name, methods: parameterServerMethods, handlers, streams, door };
  return listen(address, served, limits, besides?.(door, accept) ?? null);
}
