/**
 * The called side of TLS: takes a bare connection, makes the handshake and finds out whom the
 * caller's certificate names. A caller that is not let in is answered in its own protocol, so that
 * it can say why: one without TLS over the bare connection, one with a certificate that is not good
 * over the encrypted one. Nothing of what it says reaches a handler.
 */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { PacelineError, toPacelineError } from "../../errors.js";
import { helloMsMax } from "../wire/limits.js";
import { type Door, keyOf } from "./door.js";
import { judgePeer } from "./security.js";
import type { Certificates, TlsMaterial } from "./tls-folder.js";

/** What becomes of a connection. */
export interface Entrance {
  /** It may speak. */
  onSecure(socket: TLSSocket): void;
  /** It is to be told why not, and ended. */
  onRefused(socket: Socket, error: PacelineError): void;
}

/** The first byte of every TLS connection. */
const handshakeRecord = 0x16;

/** Gives what connects to `entrance`. */
export function tlsEntrance(
  door: Door,
  tls: Certificates,
  ioTimeoutMs: number,
  { onSecure, onRefused }: Entrance,
): (socket: Socket) => void {
  let material = tls.present();
  const server = tlsServer(material, ioTimeoutMs);
  server.on("secureConnection", (socket) => {
    socket.on("error", () => socket.destroy());
    const key = keyOf(socket) ?? "";
    try {
      const whose = `the certificate of ${key}`;
      door.entered(key, judgePeer(socket, tls.present().revoked, whose), whose);
    } catch (thrown) {
      const error = toPacelineError(thrown);
      door.tell(`${key} is refused: ${error.message}`);
      onRefused(socket, error);
      return;
    }
    onSecure(socket);
  });
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
    const why = error.code ?? error.message;
    if (why !== "ECONNRESET") door.tell(`${keyOf(socket) ?? "a caller"}: no TLS (${why})`);
    socket.destroy();
  });
  return (socket) => {
    const present = tls.present();
    if (present !== material) {
      material = present;
      server.setSecureContext(present.options);
    }
    socket.allowHalfOpen = true;
    firstBytesOf(socket, (first) => {
      if (first[0] === handshakeRecord) server.emit("connection", socket);
      else onRefused(socket, withoutTls(door, socket));
    });
  };
}

function tlsServer({ options }: TlsMaterial, ioTimeoutMs: number): Server {
  return createServer({
    ...options,
    requestCert: true,
    // Who is refused is told why.
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
    handshakeTimeout: Math.min(ioTimeoutMs, helloMsMax),
  });
}

function withoutTls(door: Door, socket: Socket): PacelineError {
  const sentence = "this cluster speaks TLS, and it was called without";
  door.tell(`${keyOf(socket)} is refused: it was called without TLS`);
  return new PacelineError("refused", `${sentence}: give --tls DIR`);
}

/** Waits for a connection's first bytes, which stay in it. */
export function firstBytesOf(socket: Socket, heard: (first: Buffer) => void): void {
  const giveUp = (): void => void socket.destroy();
  socket.once("error", giveUp);
  socket.once("end", giveUp);
  socket.once("readable", () => {
    const first = socket.read() as Buffer | null;
    if (first === null) return;
    socket.off("error", giveUp);
    socket.off("end", giveUp);
    socket.unshift(first);
    heard(first);
  });
}
