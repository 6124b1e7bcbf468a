/**
 * Sockets that read into memory of the reader's choice. Node offers this (`onread`) for sockets
 * that connect; for one that was accepted, its handle is given to a socket made so. Where Node
 * keeps no handle in the usual place, and of encrypted connections, bytes are copied instead.
 */
import { connect, Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { placeOf, type SocketPlace } from "../addresses.js";

/** Says where the next bytes go, and hears that they are there. */
export interface SocketReader {
  /** Memory, never empty. */
  next(): Uint8Array;
  filled(bytes: number): void;
  /** Takes bytes that lie elsewhere. */
  feed(bytes: Uint8Array): void;
}

/** Connects to an address; throws "usage" where it is none. */
export function dial(address: string, reader: SocketReader): Socket {
  const place = placeOf(address);
  const { onread } = readingInto(reader);
  const where = place.kind === "path" ? { path: place.path } : place;
  return connect({ ...where, noDelay: true, allowHalfOpen: true, onread });
}

/** Connects to a port without reading, for a handshake to be made over it. */
export function dialPlain({ host, port }: SocketPlace & { readonly kind: "port" }): Socket {
  return connect({ host, port, noDelay: true, allowHalfOpen: true });
}

/** Has what comes copied to the reader: of an encrypted connection each piece is a new one. */
export function readInto(reader: SocketReader, socket: Socket): void {
  socket.on("data", (bytes) => reader.feed(bytes));
}

/**
 * The socket to go on with in place of an accepted one that has been read from already: what it had
 * read is in the caller's hands. The accepted one stays open as long: who counts connections, gives
 * them a time, or cuts them, knows that one.
 */
export function adopt(accepted: Socket, reader: SocketReader): Socket {
  const holder = accepted as unknown as { _handle?: object | null };
  const handle = holder._handle;
  const isBare = !(accepted instanceof TLSSocket);
  if (!isBare || typeof handle !== "object" || handle === null || !("useUserBuffer" in handle)) {
    accepted.allowHalfOpen = true;
    readInto(reader, accepted);
    return accepted;
  }
  holder._handle = null;
  const options = { handle, allowHalfOpen: true, ...readingInto(reader) };
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0]);
  socket.once("close", () => accepted.destroy());
  accepted.once("close", () => socket.destroy());
  socket.resume();
  return socket;
}

function readingInto(reader: SocketReader) {
  const onread = {
    buffer: () => reader.next(),
    callback: (bytes: number) => {
      reader.filled(bytes);
      return true;
    },
  };
  return { onread };
}
