/** What only frames promise: direct reading, bad peers, silence, slow peers, clean ends. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { type AddressInfo, connect, createServer, Socket } from "node:net";
import { afterEach, test } from "node:test";
import type { ChunkHeader } from "../../protocol/messages.js";
import { emptyHeader } from "../../protocol/messages.js";
import { createGrpcTransport } from "../grpc/grpc-transport.js";
import { startShapingProxy } from "../shaping/shaping-proxy.js";
import { Coordinator, hello, Inbox, push, until } from "../testing/recording.js";
import type { ChunkAcceptor, ChunkChannel } from "../transport.js";
import { encodeFrame, encodeGreeting, encodeSignal, frameHeadBytes } from "../wire/frame-codec.js";
import { payloadBytesMax } from "../wire/limits.js";
import { adopt } from "./frame-socket.js";
import { createMemberTransport } from "./member-transport.js";

let closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
});

function later<Closable extends { close(): unknown }>(closable: Closable): Closable {
  closers.push(() => closable.close());
  return closable;
}

/** Serves chunks with an inbox for each channel, and welcomes each hello. */
async function serve(ioTimeoutMs = 5000) {
  const inboxes: Inbox[] = [];
  const channels: ChunkChannel[] = [];
  const accept: ChunkAcceptor = (channel) => {
    const inbox = new Inbox();
    inboxes.push(inbox);
    channels.push(channel);
    channel.send({ ...emptyHeader, kind: "welcome" }, null);
    return inbox;
  };
  const transport = createMemberTransport({ ioTimeoutMs });
  const { address } = later(await transport.serveChunks("127.0.0.1:0", accept));
  return { address, inboxes, channels };
}

/** A member that has said hello and was welcomed. */
async function join(address: string, ioTimeoutMs = 5000) {
  const transport = later(createMemberTransport({ ioTimeoutMs }));
  const near = new Inbox();
  const channel = transport.openChunks(`tcp:${address}`, near);
  channel.send(hello, null);
  await until("welcome", () => near.chunks.length === 1);
  return { near, channel };
}

/** A connection that says these bytes, and what it hears until it ends. */
function say(address: string, bytes: Uint8Array) {
  const socket = connect(Number(address.split(":")[1]), "127.0.0.1");
  const heard = { text: "", ended: false };
  socket.on("data", (more) => (heard.text += more.toString("latin1")));
  socket.on("error", () => {});
  socket.on("close", () => (heard.ended = true));
  socket.write(bytes);
  closers.push(() => socket.destroy());
  return { socket, heard };
}

const helloFrame = Buffer.concat([encodeGreeting(), encodeFrame(hello, null, "")]);

function oversized(): Buffer {
  const head = encodeFrame(push(1), null, hello.run);
  head.writeUInt32LE(payloadBytesMax + 1, 8);
  return head;
}

const wrong: readonly (readonly [what: string, bytes: Buffer, hears: RegExp])[] = [
  ["garbage behind the first byte", Buffer.alloc(500, 0x8f), /protocol.*speaks no frames/],
  [
    "another version",
    Buffer.from([...encodeGreeting().subarray(0, 4), 9, 0, 0, 0]),
    /protocol.*version 9 of the frames, not 4; use the same release/,
  ],
  [
    "a push before hello",
    Buffer.concat([encodeGreeting(), encodeFrame(push(1), new Uint8Array(8), "")]),
    /protocol.*first message of a data channel must be hello/,
  ],
  [
    "a payload of more than 1 MiB",
    Buffer.concat([helloFrame, oversized()]),
    /protocol.*carries 1048577 bytes, at most 1048576/,
  ],
  [
    "garbage where a head should be",
    Buffer.concat([helloFrame, Buffer.alloc(frameHeadBytes, 0x77)]),
    /protocol.*at most/,
  ],
];
for (const [what, bytes, hears] of wrong) {
  test(`${what} is answered with the reason and ends that connection only`, async () => {
    const { address, inboxes } = await serve();
    const good = await join(address);
    const { heard } = say(address, bytes);
    await until("its end", () => heard.ended);
    assert.match(heard.text, hears);
    good.channel.send(push(5), new Uint8Array(10));
    await until("a push of the other", () => inboxes[0]!.chunks.length === 2);
    assert.deepEqual(inboxes[0]!.errors, []);
    for (const { errors } of inboxes.slice(1)) assert.equal(errors[0]!.code, "protocol");
  });
}

test("a peer that says nothing, or no hello, is let go after the time-out", async () => {
  const { address } = await serve(300);
  const mute = say(address, new Uint8Array(0));
  const greeting = say(address, encodeGreeting());
  await until("both ends", () => mute.heard.ended && greeting.heard.ended);
  assert.match(greeting.heard.text, /timeout.*sent no hello within 0\.3 s/);
});

test("a connection that ends in the middle of a frame is broken, not closed", async () => {
  const { address, inboxes } = await serve();
  const whole = Buffer.concat([encodeFrame(push(1), new Uint8Array(9000), hello.run)]);
  const { socket } = say(address, Buffer.concat([helloFrame, whole, Buffer.alloc(5000)]));
  await until("hello", () => inboxes[0]?.chunks.length === 1);
  socket.end();
  await until("end", () => inboxes[0]!.errors.length === 1);
  assert.equal(inboxes[0]!.chunks.length, 1);
  assert.equal(inboxes[0]!.errors[0]!.code, "unavailable");
  assert.match(inboxes[0]!.errors[0]!.message, /broke/);
});

test("who speaks no frames is named so, and a listener that never answers times out", async () => {
  const grpc = createGrpcTransport({ ioTimeoutMs: 5000 });
  const coordinator = later(await grpc.serveCoordinator("127.0.0.1:0", new Coordinator()));
  const mute = createServer((socket) => void closers.push(() => socket.destroy()));
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  later(mute);
  const talker = createServer((socket) => void socket.end("220 welcome to another service\r\n"));
  await new Promise<void>((resolve) => talker.listen(0, "127.0.0.1", resolve));
  later(talker);
  const portOf = (server: typeof mute) => (server.address() as AddressInfo).port;
  for (const [address, code] of [
    [coordinator.address, "protocol"],
    [`127.0.0.1:${portOf(talker)}`, "protocol"],
    [`127.0.0.1:${portOf(mute)}`, "timeout"],
  ] as const) {
    const near = new Inbox();
    const transport = later(createMemberTransport({ ioTimeoutMs: 400 }));
    transport.openChunks(`tcp:${address}`, near).send(hello, null);
    await until("close", () => near.errors.length === 1);
    assert.equal(near.errors[0]!.code, code, near.errors[0]!.message);
    assert.match(near.errors[0]!.message, new RegExp(address));
  }
});

test("memory is not written to any more once its channel was closed", async () => {
  const { address, inboxes, channels } = await serve();
  const place = new Uint8Array(600_000);
  const { socket } = say(address, helloFrame);
  await until("hello", () => inboxes[0]?.chunks.length === 1);
  let asked = false;
  inboxes[0]!.destination = () => {
    asked = true;
    return place;
  };
  const payload = new Uint8Array(600_000).fill(9);
  socket.write(encodeFrame(push(1), payload, hello.run));
  socket.write(payload.subarray(0, 300_000));
  await until("the first half", () => asked && place[299_999] === 9);
  channels[0]!.close();
  place.fill(0);
  socket.write(payload.subarray(300_000));
  await until("its end", () => socket.closed || socket.readableEnded);
  assert.ok(place.every((value) => value === 0));
  assert.equal(inboxes[0]!.chunks.length, 1);
});

test("shared memory is sent from and read into, both ways", async () => {
  const { address, inboxes, channels } = await serve();
  const { near, channel } = await join(address);
  const shared = () => new Uint8Array(new SharedArrayBuffer(payloadBytesMax));
  const places = [shared(), shared()] as const;
  inboxes[0]!.destination = () => places[0];
  near.destination = () => places[1];
  const gradient = shared().map((_, index) => index % 253);
  channel.send(push(1), gradient);
  await until("push", () => inboxes[0]!.chunks.length === 2);
  channels[0]!.send({ ...emptyHeader, kind: "reply" }, places[0]);
  await until("reply", () => near.chunks.length === 2);
  assert.equal(Buffer.compare(places[1], gradient), 0);
});

test("a peer that stops reading costs references, blocks nobody, and is ended", async () => {
  const { address, inboxes, channels } = await serve(1500);
  const { socket } = say(address, helloFrame);
  await until("hello", () => inboxes[0]?.chunks.length === 1);
  socket.pause();
  // It goes on talking, so that it is not its silence that is noticed.
  const talk = setInterval(() => socket.write(encodeSignal("ping")), 50);
  closers.push(() => clearInterval(talk));
  const payload = new Uint8Array(payloadBytesMax);
  const before = process.memoryUsage().rss;
  let sent = 0;
  for (let chunk = 0; chunk < 300; chunk++) {
    channels[0]!.send({ ...emptyHeader, kind: "reply", chunk }, payload, () => sent++);
  }
  const { near, channel } = await join(address, 1500);
  channel.send(push(1), payload);
  await until("a push of the other", () => inboxes[1]!.chunks.length === 2);
  const grown = (process.memoryUsage().rss - before) / payloadBytesMax;
  assert.ok(grown < 60, `${Math.round(grown)} MiB for 300 messages of 1 MiB`);
  await until("its end", () => inboxes[0]!.errors.length === 1 && sent === 300);
  assert.equal(inboxes[0]!.errors[0]!.code, "timeout");
  assert.match(inboxes[0]!.errors[0]!.message, /accepted no data for 1\.5 s/);
  assert.deepEqual(near.errors, []);
});

test("a link that goes silent is noticed on both sides within the time-out", async () => {
  const { address, inboxes } = await serve(900);
  const proxy = later(await startShapingProxy({ target: address }));
  const { near } = await join(proxy.address, 900);
  proxy.stall();
  await until("both ends", () => near.errors.length === 1 && inboxes[0]!.errors.length === 1);
  assert.equal(near.errors[0]!.code, "timeout");
  assert.equal(inboxes[0]!.errors[0]!.code, "timeout");
});

test("a link on which nothing is said stays open past the time-out", async () => {
  const { address, inboxes } = await serve(300);
  const { near, channel } = await join(address, 300);
  const startedMs = performance.now();
  await until("three time-outs", () => performance.now() - startedMs > 900);
  channel.send(push(1), null);
  await until("a push", () => inboxes[0]!.chunks.length === 2);
  assert.deepEqual([...near.errors, ...inboxes[0]!.errors], []);
});

test("a reset link is unavailable on both sides, the next one works at once", async () => {
  const { address, inboxes } = await serve();
  const proxy = later(await startShapingProxy({ target: address }));
  for (let life = 0; life < 3; life++) {
    const { near, channel } = await join(proxy.address);
    let sent = 0;
    proxy.cut();
    for (let step = 0; step < 50; step++) {
      channel.send(push(step), new Uint8Array(1000), () => sent++);
    }
    await until("both ends", () => near.errors.length === 1 && inboxes[life]!.errors.length === 1);
    await until("sent of every message", () => sent === 50);
    assert.equal(near.errors[0]!.code, "unavailable");
    assert.equal(inboxes[life]!.errors[0]!.code, "unavailable");
    proxy.restore();
  }
});

test("an accepted socket without a handle in the usual place is read by copying", async () => {
  const got: number[] = [];
  const memory = new Uint8Array(16);
  const reader = {
    next: () => memory,
    filled: () => assert.fail("read directly"),
    feed: (bytes: Uint8Array) => void got.push(...bytes),
  };
  const server = later(
    createServer((socket) => {
      socket.once("readable", () => {
        got.push(...(socket.read() as Buffer));
        const hidden = new Proxy(socket, {
          get: (target, name) => {
            const value = name === "_handle" ? undefined : Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          },
          set: (target, name, value) => Reflect.set(target, name, value, target),
        });
        assert.ok(adopt(hidden, reader) instanceof Socket);
      });
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { socket } = say(
    `127.0.0.1:${(server.address() as AddressInfo).port}`,
    Buffer.from([1, 2]),
  );
  await until("first bytes", () => got.length === 2);
  socket.end(Buffer.from([3, 4, 5]));
  await until("the others", () => got.length === 5);
  assert.deepEqual(got, [1, 2, 3, 4, 5]);
});

test("who cuts an accepted socket cuts the connection, and it closes with it", async () => {
  const accepted: Socket[] = [];
  const reader = { next: () => new Uint8Array(16), filled: () => {}, feed: () => {} };
  const server = later(
    createServer((socket) => {
      socket.once("readable", () => {
        socket.read();
        adopt(socket, reader).on("error", () => {});
        accepted.push(socket);
      });
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const calls = [1, 2].map((byte) => say(address, Buffer.from([byte])));
  await until("both", () => accepted.length === 2);
  assert.deepEqual(
    accepted.map(({ closed }) => closed),
    [false, false],
  );
  const ends = calls.map(({ socket }) => new Promise((resolve) => socket.once("close", resolve)));
  calls[0]!.socket.resetAndDestroy();
  await until("one closed", () => accepted.some(({ closed }) => closed));
  for (const socket of accepted) socket.destroy();
  await Promise.all(ends);
});

test("300 connections that come and go leave no descriptor behind", async () => {
  const { address, inboxes } = await serve();
  const transport = later(createMemberTransport());
  const open = (): number => process.getActiveResourcesInfo().filter((it) => /TCP/.test(it)).length;
  const cycle = async (): Promise<void> => {
    const near = new Inbox();
    const channel = transport.openChunks(`tcp:${address}`, near);
    channel.send(hello, null);
    await until("welcome", () => near.chunks.length === 1);
    channel.close();
  };
  const ended = () => inboxes.filter(({ errors }) => errors.length === 1).length;
  await cycle();
  await until("first end", () => ended() === 1);
  const before = open();
  for (let life = 0; life < 300; life++) await cycle();
  await until("every end", () => ended() === 301);
  await until(`${before} connections`, () => open() <= before);
});

test("a process that used frames and closed its transport exits by itself", async () => {
  const own = new URL("./member-transport.js", import.meta.url).href;
  const script = `
    import { createMemberTransport } from "${own}";
    const transport = createMemberTransport();
    let heard; const arrived = new Promise((resolve) => { heard = resolve; });
    const listener = await transport.serveChunks("127.0.0.1:0", () => ({
      onHeader: () => null, onChunk: () => heard(), onClose: () => {} }));
    const channel = transport.openChunks("tcp:" + listener.address, {
      onHeader: () => null, onChunk: () => {}, onClose: () => {} });
    channel.send(${JSON.stringify(hello satisfies ChunkHeader)}, null);
    await arrived;
    await transport.close();
    await listener.close();
  `;
  const url = `data:text/javascript,${encodeURIComponent(script)}`;
  const child = fork("", [], {
    execArgv: ["--input-type=module", "--eval", `await import(${JSON.stringify(url)})`],
    silent: true,
  });
  const ended: { code?: number | null; said: string } = { said: "" };
  child.stderr?.on("data", (bytes) => (ended.said += String(bytes)));
  child.on("exit", (code) => (ended.code = code));
  closers.push(() => child.kill("SIGKILL"));
  await until("exit", () => ended.code !== undefined);
  assert.equal(ended.code, 0, ended.said);
});
