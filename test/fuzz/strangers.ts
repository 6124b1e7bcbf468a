/**
 * Callers that a cluster with certificates does not know, each with manners of its own: silent
 * ones, loud ones, slow ones, those with another cluster's certificate, with the right certificate
 * and a wrong token, and those who say again, byte for byte, what a member had said.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { Duplex } from "node:stream";
import {
  connect as connectSecurely,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { emptyHeader } from "../../dist/protocol/messages.js";
import { Random } from "../../dist/random.js";
import {
  encodeFrame,
  encodeGreeting,
  encodeSignal,
} from "../../dist/transport/wire/frame-codec.js";
import { mutated } from "./mutations.js";

/** Folders of certificates. */
export interface Folders {
  /** Of the cluster that is called; who has them lacks its token. */
  readonly own: string;
  /** Of another cluster. */
  readonly other: string;
}

/** So many are under way at a time: a process may have so many sockets and more. */
const atOnce = 60;
/** The same once there were enough, so that others are heard too. */
const atOnceLater = 12;
const lifeMs = 3000;
const slowMs = 100;
const http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

type Manner = (socket: Socket) => void;

/** Strangers of some ports. */
export class Strangers {
  readonly #ports: readonly number[];
  readonly #folders: Folders;
  readonly #random = new Random("strangers");
  /** By port: what a caller with the right certificate said, as it went over the wire. */
  readonly #recorded = new Map<Socket["remotePort"], Buffer>();
  readonly #manners: readonly Manner[];
  readonly #contexts = new Map<string, SecureContext>();

  constructor(ports: readonly number[], folders: Folders) {
    this.#ports = ports;
    this.#folders = folders;
    this.#manners = this.#mannersOf();
  }

  /** Records what a member says to each port. */
  async record(): Promise<void> {
    for (const port of this.#ports) {
      const socket = connect({ port, host: "127.0.0.1" });
      await once(socket, "connect");
      const said: Buffer[] = [];
      const tap = new Duplex({
        read() {},
        write: (bytes: Buffer, _encoding, done) => {
          said.push(bytes);
          socket.write(bytes, () => done());
        },
      });
      socket.on("data", (bytes) => tap.push(bytes)).on("error", () => {});
      const secured = this.#secured(tap, this.#folders.own, "worker");
      await once(secured, "secureConnect");
      secured.write(this.#greeted());
      await new Promise((resolve) => {
        for (const event of ["data", "close", "end"]) secured.once(event, resolve);
      });
      secured.destroy();
      socket.destroy();
      this.#recorded.set(port, Buffer.concat(said));
    }
  }

  /** Calls until then, and until there were so many; resolves to how many there were. */
  async call(untilMs: number, least: number): Promise<number> {
    let made = 0;
    const lane = async (_: unknown, index: number): Promise<void> => {
      const isOver = () => made >= least && (index >= atOnceLater || performance.now() >= untilMs);
      while (!isOver()) {
        made += 1;
        await this.#callOnce(made);
      }
    };
    await Promise.all(Array.from({ length: atOnce }).map(lane));
    return made;
  }

  async #callOnce(index: number): Promise<void> {
    const port = this.#ports[index % this.#ports.length]!;
    const manner = this.#manners[index % this.#manners.length]!;
    const socket = connect({ port, host: "127.0.0.1" });
    const over = setTimeout(() => socket.destroy(), this.#random.below(lifeMs));
    socket.on("error", () => {});
    socket.on("connect", () => manner(socket));
    await new Promise((resolve) => socket.once("close", resolve));
    clearTimeout(over);
  }

  #mannersOf(): Manner[] {
    const bytes = (count: number) => {
      const made = Buffer.alloc(count);
      for (let at = 0; at < count; at++) made[at] = this.#random.below(256);
      return made;
    };
    const said = (socket: Socket) => this.#recorded.get(socket.remotePort) ?? Buffer.alloc(0);
    return [
      () => {},
      (socket) => void socket.write(bytes(3000)),
      (socket) => void socket.write(Buffer.of(0x16)),
      (socket) => void socket.write(http2),
      (socket) => void socket.write(Buffer.concat([encodeGreeting(), bytes(500)])),
      (socket) => void socket.pause(),
      (socket) => void connectSecurely({ socket, rejectUnauthorized: false }).on("error", () => {}),
      (socket) => void this.#secured(socket, this.#folders.other, "worker").write(this.#greeted()),
      (socket) => void this.#secured(socket, this.#folders.own, "worker").write(this.#greeted()),
      (socket) => void this.#secured(socket, this.#folders.own, "admin").write(http2),
      (socket) => void socket.write(said(socket)),
      (socket) => void socket.write(mutated(said(socket), this.#random, bytes(64))),
      (socket) => writeSlowly(socket, said(socket)),
      (socket) => {
        socket.pause();
        const pings = Array.from({ length: 2000 }, () => encodeSignal("ping"));
        const secured = this.#secured(socket, this.#folders.own, "worker");
        secured.write(Buffer.concat([this.#greeted(), ...pings]));
        secured.pause();
      },
    ];
  }

  /** Frames of a worker that does not know the token. */
  #greeted(): Buffer {
    const hello = { ...emptyHeader, kind: "hello", run: "nobody's", rank: 0 } as const;
    const told = { ...hello, detail: "0123456789abcdef-but-another-token" };
    return Buffer.concat([encodeGreeting(), encodeFrame(told, null, "")]);
  }

  #secured(socket: Duplex, folder: string, role: string): TLSSocket {
    const read = (name: string) => readFileSync(join(folder, name), "utf8");
    const place = join(folder, role);
    const known = this.#contexts.get(place);
    const secureContext =
      known ?? createSecureContext({ cert: read(`${role}.pem`), key: read(`${role}-key.pem`) });
    this.#contexts.set(place, secureContext);
    const secured = connectSecurely({ socket, secureContext, rejectUnauthorized: false });
    return secured.on("error", () => {});
  }
}

function writeSlowly(socket: Socket, bytes: Buffer): void {
  let at = 0;
  const timer = setInterval(() => {
    if (at >= bytes.length || socket.destroyed) clearInterval(timer);
    else socket.write(bytes.subarray(at, ++at));
  }, slowMs);
  socket.once("close", () => clearInterval(timer));
}
