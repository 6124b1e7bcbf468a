import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, test } from "node:test";
import { Random } from "../../random.js";
import { reset, ShapedPath, slackBytes, unlimitedBytesPerSecond } from "./shaping-link.js";
import { type ShapingProxy, type ShapingProxyOptions, startShapingProxy } from "./shaping-proxy.js";

const opened: { close(): unknown }[] = [];

afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing.close();
});

async function listen(onSocket: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    onSocket(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  opened.push({
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const listenEcho = () => listen((socket) => socket.pipe(socket));

async function proxyTo(
  target: string,
  shape: Omit<ShapingProxyOptions, "target"> = {},
): Promise<ShapingProxy> {
  const proxy = await startShapingProxy({ target, ...shape });
  opened.push(proxy);
  return proxy;
}

function dial(address: string): Socket {
  const [host, port] = address.split(":");
  const socket = connect({ host: host as string, port: Number(port), noDelay: true });
  opened.push({ close: () => socket.destroy() });
  return socket;
}

async function connectTo(address: string): Promise<Socket> {
  const socket = dial(address);
  await once(socket, "connect");
  return socket;
}

/** The code of the error that ends the socket, or "end" for an orderly end. */
function ending(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "?"));
    socket.on("end", () => resolve("end"));
    socket.resume();
  });
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const limitMs = performance.now() + 20_000;
  while (!condition()) {
    assert.ok(performance.now() < limitMs, `waited 20 s for ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function roundTripMs(socket: Socket): Promise<number> {
  const startMs = performance.now();
  socket.write("x");
  await once(socket, "data");
  return performance.now() - startMs;
}

test("each direction is delayed by the delay, never by less", async () => {
  const proxy = await proxyTo(await listenEcho(), { delayMs: 15 });
  const socket = await connectTo(proxy.address);
  const times: number[] = [];
  for (let count = 0; count < 8; count++) times.push(await roundTripMs(socket));
  const leastMs = Math.min(...times);
  assert.ok(leastMs >= 30, `round trip of ${leastMs} ms`);
  assert.ok(leastMs < 45, `round trip of ${leastMs} ms`);
});

test("a changed delay holds for what is sent afterwards", async () => {
  const proxy = await proxyTo(await listenEcho(), { delayMs: 200 });
  const socket = await connectTo(proxy.address);
  assert.ok((await roundTripMs(socket)) >= 400);
  proxy.setDelay(0);
  const times = [await roundTripMs(socket), await roundTripMs(socket), await roundTripMs(socket)];
  assert.ok(Math.min(...times) < 200, `round trips of ${times} ms`);
});

for (const shape of [
  { delayMs: 0, bytesPerSecond: null },
  { delayMs: 2, bytesPerSecond: null },
  { delayMs: 1, bytesPerSecond: 20e6 },
]) {
  test(`bytes arrive intact and in order with ${JSON.stringify(shape)}`, async () => {
    const proxy = await proxyTo(await listenEcho(), shape);
    const socket = await connectTo(proxy.address);
    const random = new Random(7, "shaping-proxy");
    const sent: Buffer[] = [];
    const received: Buffer[] = [];
    socket.on("data", (bytes: Buffer) => received.push(bytes));
    for (let count = 0; count < 60; count++) {
      const bytes = Buffer.alloc(1 + random.below(2 ** (1 + random.below(17))));
      for (let index = 0; index < bytes.length; index++) bytes[index] = random.below(256);
      sent.push(bytes);
      if (!socket.write(bytes)) await once(socket, "drain");
    }
    socket.end();
    await once(socket, "end");
    assert.ok(Buffer.concat(received).equals(Buffer.concat(sent)));
    await until(() => proxy.connectionCount === 0, "the connection to be forgotten");
    assert.equal(proxy.acceptedCount, 1);
    assert.equal(proxy.heldBytes, 0);
  });
}

test("bandwidth is limited and shared by the connections", async () => {
  let receivedBytes = 0;
  const target = await listen((socket) => {
    socket.on("data", (bytes) => {
      receivedBytes += bytes.length;
    });
  });
  const proxy = await proxyTo(target, { bytesPerSecond: 4e6 });
  const sockets = [await connectTo(proxy.address), await connectTo(proxy.address)];
  const startMs = performance.now();
  for (const socket of sockets) socket.write(Buffer.alloc(400_000));
  await until(() => receivedBytes === 800_000, "all bytes");
  const elapsedMs = performance.now() - startMs;
  assert.ok(elapsedMs >= 199, `800,000 bytes at 4 MB/s in ${elapsedMs} ms`);
});

test("proxies of one path share its bandwidth, and are changed together", async () => {
  let receivedBytes = 0;
  const target = await listen((socket) => {
    socket.on("data", (bytes) => {
      receivedBytes += bytes.length;
    });
  });
  const path = new ShapedPath();
  const proxies = [await proxyTo(target, { path }), await proxyTo(target, { path })];
  path.network.setBandwidth(4e6);
  const sockets = [await connectTo(proxies[0]!.address), await connectTo(proxies[1]!.address)];
  const startMs = performance.now();
  for (const socket of sockets) socket.write(Buffer.alloc(400_000));
  await until(() => receivedBytes === 800_000, "all bytes");
  const elapsedMs = performance.now() - startMs;
  assert.ok(elapsedMs >= 199, `800,000 bytes at 4 MB/s in ${elapsedMs} ms`);
});

test("a stall holds bytes on open connections and restore lets them go on", async () => {
  const proxy = await proxyTo(await listenEcho(), { delayMs: 1 });
  const socket = await connectTo(proxy.address);
  await roundTripMs(socket);
  proxy.stall();
  let answered = false;
  const answer = once(socket, "data").then(() => {
    answered = true;
  });
  socket.write("held");
  await until(() => proxy.heldBytes === 4, "the proxy to hold the bytes");
  const late = await connectTo(proxy.address);
  late.write("also held");
  await until(() => proxy.heldBytes === 13, "the proxy to hold the second connection's bytes");
  assert.equal(proxy.connectionCount, 2);
  assert.equal(answered, false);
  proxy.restore();
  await Promise.all([answer, once(late, "data")]);
});

test("the end of one side is held back by a stall like any byte", async () => {
  let ended = false;
  const target = await listen((socket) => {
    socket.on("end", () => {
      ended = true;
    });
    socket.pipe(socket);
  });
  const proxy = await proxyTo(target);
  const [closing, probe] = [await connectTo(proxy.address), await connectTo(proxy.address)];
  await roundTripMs(closing);
  proxy.stall();
  closing.end();
  probe.write("probe");
  await until(() => proxy.heldBytes === 5, "the probe that was sent after the end");
  assert.equal(ended, false);
  proxy.restore();
  await until(() => ended, "the end");
});

test("a cut resets connections, refuses further ones, and restore mends it", async () => {
  const proxy = await proxyTo(await listenEcho());
  const socket = await connectTo(proxy.address);
  await roundTripMs(socket);
  const end = ending(socket);
  proxy.cut();
  assert.equal(await end, "ECONNRESET");
  assert.equal(proxy.connectionCount, 0);
  assert.equal(await ending(dial(proxy.address)), "ECONNRESET");
  assert.equal(proxy.acceptedCount, 1);
  proxy.restore();
  await roundTripMs(await connectTo(proxy.address));
  assert.equal(proxy.acceptedCount, 2);
});

test("a cut that swallows further connections serves them after restore", async () => {
  const proxy = await proxyTo(await listenEcho());
  const before = ending(await connectTo(proxy.address));
  await until(() => proxy.connectionCount === 1, "the connection");
  proxy.cut("blackhole");
  assert.equal(await before, "ECONNRESET");
  const socket = await connectTo(proxy.address);
  socket.write("x");
  const gone = await connectTo(proxy.address);
  gone.destroy();
  assert.equal(proxy.connectionCount, 0);
  proxy.restore();
  await once(socket, "data");
});

test("a reset of one side reaches the other", async () => {
  const accepted: Socket[] = [];
  const proxy = await proxyTo(await listen((socket) => accepted.push(socket)));
  const socket = await connectTo(proxy.address);
  await until(() => accepted.length === 1, "the connection");
  accepted[0]?.resetAndDestroy();
  assert.equal(await ending(socket), "ECONNRESET");
});

test("a target that is not there resets the connection", async () => {
  const target = await listenEcho();
  await opened.pop()?.close();
  const proxy = await proxyTo(target);
  assert.equal(await ending(dial(proxy.address)), "ECONNRESET");
});

test("room for 1 GB/s is kept under way, and no more than the bound", async () => {
  const proxy = await proxyTo(await listen((socket) => socket.resume()), { delayMs: 20 });
  const socket = await connectTo(proxy.address);
  proxy.stall();
  socket.write(Buffer.alloc(20_000_000));
  await until(() => proxy.heldBytes === 20_000_000, "20 MB to be under way");
  const boundBytes = slackBytes + unlimitedBytesPerSecond * 0.024 + 65_536;
  socket.write(Buffer.alloc(60_000_000));
  await until(() => proxy.heldBytes >= boundBytes - 65_536, "the bound");
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(proxy.heldBytes <= boundBytes, `${proxy.heldBytes} bytes held`);
  proxy.restore();
  await until(() => proxy.heldBytes === 0 && socket.writableLength === 0, "all to arrive");
});

test("a delay alone does not slow a bulk transfer to a crawl", async () => {
  const totalBytes = 16 * 1024 * 1024;
  let receivedBytes = 0;
  const target = await listen((socket) => {
    socket.on("data", (bytes) => {
      receivedBytes += bytes.length;
    });
  });
  const proxy = await proxyTo(target);
  const socket = await connectTo(proxy.address);
  const bestMs = new Map([0, 10].map((delayMs) => [delayMs, Number.POSITIVE_INFINITY]));
  for (let turn = 0; turn < 3; turn++) {
    for (const [delayMs, best] of bestMs) {
      proxy.setDelay(delayMs);
      receivedBytes = 0;
      const startMs = performance.now();
      socket.write(Buffer.alloc(totalBytes));
      await until(() => receivedBytes === totalBytes, "all bytes");
      bestMs.set(delayMs, Math.min(best, performance.now() - startMs));
    }
  }
  const [plainMs, delayedMs] = [...bestMs.values()] as [number, number];
  // A window of 64 KiB, or one parcel a timer, would take 10 ms for each of 256 pieces.
  assert.ok(delayedMs < 4 * plainMs + 400, `${delayedMs} ms against ${plainMs} ms`);
});

test("a socket that is just ending its half leaves no handle when it is reset", async () => {
  const socket = await connectTo(await listen((other) => other.resume()));
  const handles = () => process.getActiveResourcesInfo().filter((one) => one === "TCPSocketWrap");
  const before = handles().length;
  socket.end();
  await new Promise<void>((resolve) => process.nextTick(resolve));
  reset(socket);
  await once(socket, "close");
  await until(() => handles().length < before, "the handle to be closed");
});

test("connections that come before there is a target wait for it", async () => {
  const proxy = await startShapingProxy({});
  opened.push(proxy);
  const socket = await connectTo(proxy.address);
  socket.write("x");
  assert.equal(proxy.acceptedCount, 0);
  proxy.aim(await listenEcho());
  await once(socket, "data");
  assert.equal(proxy.acceptedCount, 1);
  assert.throws(() => proxy.aim("localhost"), { code: "usage" });
});

test("a malformed target or shape is refused with a sentence", async () => {
  const usage = { code: "usage" };
  await assert.rejects(startShapingProxy({ target: "localhost" }), usage);
  await assert.rejects(startShapingProxy({ target: "localhost:70000" }), usage);
  await assert.rejects(startShapingProxy({ target: "127.0.0.1:1", delayMs: -1 }), usage);
  await assert.rejects(startShapingProxy({ target: "127.0.0.1:1", bytesPerSecond: 0 }), usage);
});
