/** The answering side of one stream: grpc-js's server call as a GrpcStream that waits for its first message. */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { Metadata } from "@grpc/grpc-js";
import { silent, toStatus } from "./grpc-errors.js";
import type { GrpcLimits } from "./grpc-methods.js";
import { GrpcStream } from "./grpc-stream.js";

/**
 * Wraps a call. `open` gets the first message, from which it decides who receives from the stream; a
 * peer that sends none within the time-out is told so and let go.
 */
export function serverStream(
  call: ServerDuplexStream<Buffer, Buffer>,
  streams: Set<GrpcStream>,
  limits: GrpcLimits,
  firstMessage: string,
  open: (first: Buffer) => void,
): GrpcStream {
  const { ioTimeoutMs } = limits;
  const waiting = { onBytes: open, onClose: () => {} };
  const abort = (error: Parameters<typeof toStatus>[0]): void => {
    call.emit("error", toStatus(error));
  };
  const stream = new GrpcStream(call.getPeer(), call, waiting, abort);
  const opening = setTimeout(() => {
    stream.fail(silent(stream.peer, firstMessage, ioTimeoutMs));
  }, ioTimeoutMs);
  streams.add(stream);
  stream.whenOver(() => {
    clearTimeout(opening);
    streams.delete(stream);
  });
  call.sendMetadata(new Metadata());
  call.on("data", (bytes: Buffer) => {
    clearTimeout(opening);
    stream.arrived(bytes);
  });
  call.on("end", () => stream.remoteEnded());
  call.on("cancelled", () => stream.remoteBroke());
  return stream;
}
