/**
 * A socket for HTTP/2 that takes every write at once.
 *
 * Node's HTTP/2 reads nothing while a write of its own is under way. When both sides send more
 * than the kernel holds, each waits for the other to read, for ever. So one side, the server,
 * stands behind this stream: what the socket does not take waits here, reading goes on, and the
 * peer's writes end. HTTP/2's flow control bounds what waits to the peer's receive window and the
 * control frames that go past it.
 */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/** The stream to give to HTTP/2 in the socket's place; either's end is the other's. */
export function unblockedSocket(socket: Socket): Duplex {
  return new UnblockedSocket(socket);
}

class UnblockedSocket extends Duplex {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      if (!this.push(bytes)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
  }

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#socket.remotePort;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, taken: () => void): void {
    this.#socket.write(bytes);
    taken();
  }

  override _final(ended: () => void): void {
    this.#socket.end(ended);
  }

  override _destroy(error: Error | null, destroyed: (error: Error | null) => void): void {
    this.#socket.destroy();
    destroyed(error);
  }
}
