/**
 * Tells who is not let in why, in the protocol that it speaks: frames hear a fault, a gRPC call is
 * answered with a status. Nothing else of the connection is looked at, and it ends soon.
 */
import { createServer, type Http2Server } from "node:http2";
import type { Socket } from "node:net";
import type { PacelineError } from "../../errors.js";
import { firstBytesOf } from "../credentials/tls-entrance.js";
import { encodeGreeting, encodeSignal, frameMagic } from "../wire/frame-codec.js";
import { codeTrailer, toStatus } from "./status-errors.js";
import { unblockedSocket } from "./unblocked-socket.js";

/** How long a refused connection may stay. */
const lingerMs = 1000;
/** Memory of its HTTP/2, in megabytes: the least that Node takes. */
const sessionMemory = 1;

/** Answers refused connections of one listener. */
export function refuser(): (socket: Socket, error: PacelineError) => void {
  let calls: Http2Server | null = null;
  let present: PacelineError | null = null;
  const openCalls = (): Http2Server => {
    const server = createServer({
      maxSessionMemory: sessionMemory,
      settings: { maxConcurrentStreams: 8 },
    });
    server.on("session", (session) => {
      const error = present!;
      session.on("stream", (stream) => {
        stream.on("error", () => {});
        if (!stream.destroyed) stream.respond(answerTo(error), { endStream: true });
      });
    });
    server.on("sessionError", () => {});
    return server;
  };
  return (socket, error) => {
    const limit = setTimeout(() => socket.destroy(), lingerMs);
    socket.once("close", () => clearTimeout(limit));
    firstBytesOf(socket, (first) => {
      socket.on("error", () => socket.destroy());
      if (first[0] === frameMagic[0]) return refuseFrames(socket, error);
      calls ??= openCalls();
      present = error;
      calls.emit("connection", unblockedSocket(socket));
    });
  };
}

function refuseFrames(socket: Socket, { code, message }: PacelineError): void {
  socket.resume();
  socket.end(Buffer.concat([encodeGreeting(), encodeSignal("fault", code, message)]));
}

function answerTo(error: PacelineError) {
  const { code, details } = toStatus(error);
  return {
    ":status": 200,
    "content-type": "application/grpc",
    "grpc-status": `${code}`,
    "grpc-message": encodeURI(details ?? ""),
    [codeTrailer]: error.code,
  };
}
