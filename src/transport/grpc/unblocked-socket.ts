/**
 * A socket for HTTP/2 that takes writes at once.
 *
 * Node's HTTP/2 reads nothing while a write of its own is under way. When both sides send more
 * than the kernel holds, each waits for the other to read, for ever. So one side, the server,
 * stands behind this stream: what the socket does not take waits here, reading goes on, and the
 * peer's writes end. HTTP/2's flow control bounds what waits to the peer's receive window and the
 * control frames that go past it. As a peer may claim any window, and need not read, no more than a
 * limit waits here: past it a write is under way until the socket has taken all, and nobody but
 * this peer waits for that.
 */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { receiveWindowBytes } from "./methods.js";

/**
 * The stream to give to HTTP/2 in the socket's place; either's end is the other's.
 * @param waitingBytesMax more than Paceline's own clients ever let wait.
 */
export function unblockedSocket(
  socket: Socket,
  waitingBytesMax: number = 2 * receiveWindowBytes,
): Duplex {
  return new UnblockedSocket(socket, waitingBytesMax);
}

class UnblockedSocket extends Duplex {
  readonly #socket: Socket;
  readonly #waitingBytesMax: number;

  constructor(socket: Socket, waitingBytesMax: number) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#waitingBytesMax = waitingBytesMax;
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
    if (this.#socket.writableLength <= this.#waitingBytesMax) taken();
    else this.#socket.once("drain", taken);
  }

  override _final(ended: () => void): void {
    this.#socket.end(ended);
  }

  override _destroy(error: Error | null, destroyed: (error: Error | null) => void): void {
    this.#socket.destroy();
    destroyed(error);
  }
}
