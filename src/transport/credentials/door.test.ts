/** What limits callers of a port, as long as nobody knows them, and in number. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import { connect as connectSecurely } from "node:tls";
import { PacelineError } from "../../errors.js";
import { emptyHeader, type RegisterReply } from "../../protocol/messages.js";
import { createMemberTransport } from "../frames/member-transport.js";
import { Coordinator, hello, Inbox, request, until } from "../testing/recording.js";
import { cluster, freshFolder, processOf, transportWith } from "../testing/test-certificates.js";
import type { Transport } from "../transport.js";
import { encodeFrame, encodeGreeting, encodeSignal } from "../wire/frame-codec.js";
import {
  connectionsPerAddressMax,
  greetingConnectionsPerAddressMax,
  helloBytesMax,
  payloadBytesMax,
  refusedRegistrationsMax,
} from "../wire/limits.js";
import { Door } from "./door.js";
import { openSecurity } from "./security.js";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function later(transport: Transport): Transport {
  closers.push(() => transport.close());
  return transport;
}

async function coordinatorWith(server: Transport): Promise<{ port: number; address: string }> {
  const listener = await later(server).serveCoordinator("127.0.0.1:0", new Coordinator());
  closers.push(() => listener.close());
  return { address: listener.address, port: Number(listener.address.split(":")[1]) };
}

/** A connection by hand, and what has come of it. */
class Stranger {
  readonly socket: Socket;
  heard = Buffer.alloc(0);
  isOver = false;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1" });
    this.socket.on("data", (bytes) => {
      this.heard = Buffer.concat([this.heard, bytes]);
    });
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.isOver = true;
    });
    closers.push(() => this.socket.destroy());
  }
}

/** A socket that a door may count. */
class Caller extends EventEmitter {
  readonly remoteAddress: string;
  readonly remotePort: number;
  isDestroyed = false;

  constructor(remoteAddress: string, remotePort: number) {
    super();
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  destroy(): void {
    this.isDestroyed = true;
    this.emit("close");
  }

  get socket(): Socket {
    return this as unknown as Socket;
  }

  get key(): string {
    return `${this.remoteAddress}:${this.remotePort}`;
  }
}

describe("a door", () => {
  /** So many connections from an address. */
  const callers = (count: number, address = "10.0.0.1") =>
    Array.from({ length: count }, (_, index) => new Caller(address, 1000 + index));

  test("lets in so many connections of one address that have said no hello", () => {
    const door = new Door(null, false);
    const all = callers(greetingConnectionsPerAddressMax + 1);
    const last = all.at(-1)!;
    assert.deepEqual(
      all.map((one) => door.admit(one.socket, 100)),
      all.map((one) => one !== last),
    );
    assert.equal(last.isDestroyed, true);
    assert.equal(door.admit(new Caller("10.0.0.2", 1).socket, 100), true);
    door.greeted(all[0]!.key);
    door.greeted(all[0]!.key);
    assert.equal(door.admit(new Caller("10.0.0.1", 1).socket, 100), true);
    assert.equal(door.admit(new Caller("10.0.0.1", 2).socket, 100), false);
    all[1]!.destroy();
    assert.equal(door.admit(new Caller("10.0.0.1", 3).socket, 100), true);
  });

  test("lets in so many connections of one address at all", () => {
    const door = new Door(null, false);
    const all = callers(connectionsPerAddressMax);
    for (const one of all) {
      assert.equal(door.admit(one.socket, 100), true);
      door.greeted(one.key);
    }
    assert.equal(door.admit(new Caller("10.0.0.1", 1).socket, 100), false);
    for (const one of all) one.destroy();
    for (const one of callers(greetingConnectionsPerAddressMax)) {
      assert.equal(door.admit(one.socket, 100), true);
    }
  });

  test("counts a port once that is used again before its end is heard of", () => {
    const door = new Door(null, false);
    for (let round = 0; round < 2 * greetingConnectionsPerAddressMax; round++) {
      assert.equal(door.admit(new Caller("10.0.0.1", 1).socket, 100), true);
    }
  });

  test("looks at so many refused registrations of one address a minute", async () => {
    const door = new Door(null, false);
    const caller = new Caller("10.0.0.1", 1);
    door.admit(caller.socket, 100);
    const no: RegisterReply = { accepted: false, code: "refused", reason: "full" };
    let asked = 0;
    const ask = () =>
      door.registration(caller.key, "worker", () => {
        asked += 1;
        return no;
      });
    for (let count = 0; count < refusedRegistrationsMax; count++) assert.equal(await ask(), no);
    await assert.rejects(ask(), /120 registrations were refused within 60 s; mend/);
    assert.equal(asked, refusedRegistrationsMax);
    const other = new Caller("10.0.0.2", 1);
    door.admit(other.socket, 100);
    assert.equal(await door.registration(other.key, "worker", () => no), no);
  });
});

test("hundreds of callers that say nothing are let go, and others are answered after", async () => {
  const log: string[] = [];
  const security = openSecurity("coordinator", { tls: cluster }, (text) => log.push(text));
  const { port, address } = await coordinatorWith(transportWith(security, 1000));
  const strangers = Array.from({ length: 400 }, () => new Stranger(port));
  // Of each other one a byte comes, of a handshake or of a call.
  for (const [index, { socket }] of strangers.entries()) {
    if (index % 3 > 0) socket.write(index % 3 === 1 ? Buffer.of(0x16) : "P");
  }
  const over = () => strangers.filter(({ isOver }) => isOver).length;
  await until("the end of all", () => over() === strangers.length);
  assert.deepEqual(await later(processOf("admin")).status(address), new Coordinator().status());
  assert.match(log.join("\n"), /is let go: it said no complete hello within 1 s/);
});

test("a caller of chunks counts as long as it is there, whatever it has said", async () => {
  const tokenFile = `${freshFolder()}.token`;
  writeFileSync(tokenFile, "a-token-of-this-test", { mode: 0o600 });
  const log: string[] = [];
  const security = openSecurity("server", { tokenFile }, (line) => log.push(line));
  const server = later(createMemberTransport({ ioTimeoutMs: 1000, security }));
  const listener = await server.serveChunks("127.0.0.1:0", () => new Inbox());
  closers.push(() => listener.close());
  const port = Number(listener.address.split(":")[1]);
  const strangers = Array.from({ length: greetingConnectionsPerAddressMax + 20 }, () => {
    const stranger = new Stranger(port);
    stranger.socket.write(encodeGreeting());
    return stranger;
  });
  const over = () => strangers.filter(({ isOver }) => isOver).length;
  await until("the end of all", () => over() === strangers.length);
  assert.match(log.join("\n"), /connections from 127.0.0.1 are refused: 256 connections are open/);
  assert.match(log.join("\n"), /is let go: it said no complete hello within 1 s/);
});

test("a caller that says much and no hello is let go", async () => {
  const far = new Inbox();
  const server = later(createMemberTransport({ ioTimeoutMs: 60_000 }));
  const listener = await server.serveChunks("127.0.0.1:0", () => far);
  closers.push(() => listener.close());
  const stranger = new Stranger(Number(listener.address.split(":")[1]));
  // A head that announces a detail, and as much of it as is allowed at most before a hello.
  const head = Buffer.alloc(96);
  head.writeUInt32LE(200_000, 12);
  stranger.socket.write(Buffer.concat([encodeGreeting(), head, Buffer.alloc(helloBytesMax)]));
  await until("its end", () => stranger.isOver);
  assert.match(stranger.heard.toString("latin1"), /sent \d+ bytes without a hello; at most 65536/);
  assert.deepEqual(far.chunks, []);
});

test("a member that reads nothing over TLS is let go, and its replies are not kept", async () => {
  const far = new Inbox();
  const payload = Buffer.alloc(payloadBytesMax);
  let taken = 0;
  const server = later(transportWith(openSecurity("server", { tls: cluster }), 1000));
  const listener = await server.serveChunks("127.0.0.1:0", (channel) => {
    const reply = { ...emptyHeader, kind: "reply", outcome: "applied" } as const;
    for (let count = 0; count < 64; count++) {
      channel.send(reply, payload, () => {
        taken += 1;
      });
    }
    return far;
  });
  closers.push(() => listener.close());
  const file = (name: string) => readFileSync(join(cluster, name));
  const socket = connectSecurely({
    ...{ port: Number(listener.address.split(":")[1]), host: "127.0.0.1" },
    ...{ ca: file("ca.pem"), cert: file("worker.pem"), key: file("worker-key.pem") },
    checkServerIdentity: () => undefined,
  });
  closers.push(() => socket.destroy());
  socket.pause().on("error", () => {});
  socket.write(Buffer.concat([encodeGreeting(), encodeFrame(hello, null, "")]));
  // It is there, and says so.
  const alive = setInterval(() => socket.write(encodeSignal("pong")), 100);
  closers.push(() => clearInterval(alive));
  await until("the end of the channel", () => far.errors.length > 0);
  assert.match(far.errors[0]!.message, /accepted no data for 1\.0 s/);
  await until("every payload given back", () => taken === 64);
});

test("the cipher is the first of this side's, whatever a caller prefers", async () => {
  const { port } = await coordinatorWith(
    transportWith(openSecurity("coordinator", { tls: cluster }), 2000),
  );
  const file = (name: string) => readFileSync(join(cluster, name));
  const socket = connectSecurely({
    ...{ port, host: "127.0.0.1", checkServerIdentity: () => undefined },
    ...{ ca: file("ca.pem"), cert: file("worker.pem"), key: file("worker-key.pem") },
    ciphers: "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
  });
  closers.push(() => socket.destroy());
  await once(socket, "secureConnect");
  assert.equal(socket.getCipher().name, "TLS_AES_128_GCM_SHA256");
});

test("noise at a port with certificates ends its connection alone", async () => {
  const { port, address } = await coordinatorWith(
    transportWith(openSecurity("coordinator", { tls: cluster }), 2000),
  );
  const noises = [
    Buffer.alloc(100_000, 0x16),
    Buffer.from("160301ffff", "hex"),
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    Buffer.concat([encodeGreeting(), Buffer.alloc(100_000)]),
    Buffer.alloc(100_000, 0xff),
  ];
  const strangers = noises.map((noise) => {
    const stranger = new Stranger(port);
    stranger.socket.write(noise);
    return stranger;
  });
  await until("the end of all", () => strangers.every(({ isOver }) => isOver));
  const worker = later(processOf("worker"));
  assert.equal((await worker.register(address, request)).accepted, true);
});

test("a refusal is a PacelineError with the remedy", async () => {
  const { address } = await coordinatorWith(processOf("coordinator"));
  await assert.rejects(
    later(createMemberTransport()).status(address),
    (error) => error instanceof PacelineError && error.message.includes("--tls DIR"),
  );
});
