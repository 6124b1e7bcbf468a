/** Connections that are given up while they are being made: nothing is left of them. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, test } from "node:test";
import { openSecurity } from "../credentials/security.js";
import { Inbox, identity, Mail, request, until } from "../testing/recording.js";
import { cluster, transportWith } from "../testing/test-certificates.js";
import type { Transport } from "../transport.js";
import { createGrpcTransport } from "./grpc-transport.js";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Sockets of this process, those that are being connected among them. */
const sockets = (): number =>
  process.getActiveResourcesInfo().filter((it) => /TCP/.test(it)).length;

/** Where connections are accepted and nothing is said; `open` are those that have not ended. */
async function mute(): Promise<{ readonly address: string; readonly open: Set<Socket> }> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    socket.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  return { address: `127.0.0.1:${port}`, open };
}

const fullScript = `
  const server = require("node:net").createServer();
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () =>
    process.send(server.address().port, () =>
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)));
`;

/** Where the system answers no further connection: the listener's process accepts none. */
async function full(): Promise<string> {
  const child = fork("", [], { execArgv: ["--eval", fullScript] });
  closers.push(() => child.kill("SIGKILL"));
  const [port] = (await once(child, "message")) as [number];
  for (let held = 0; held < 2; held++) {
    const socket = connect(port, "127.0.0.1");
    closers.push(() => socket.destroy());
    await once(socket, "connect");
  }
  return `127.0.0.1:${port}`;
}

const ways: readonly {
  readonly name: string;
  begin(transport: Transport, address: string): Promise<unknown>;
}[] = [
  {
    name: "session",
    begin: (transport, address) => {
      const mail = new Mail<unknown>();
      transport.openSession(address, identity, mail);
      return until("the session's end", () => mail.errors.length === 1);
    },
  },
  {
    name: "data channel",
    begin: (transport, address) => {
      const inbox = new Inbox();
      transport.openChunks(address, inbox);
      return until("the channel's end", () => inbox.errors.length === 1);
    },
  },
  {
    name: "call",
    begin: (transport, address) =>
      assert.rejects(transport.register(address, request), { code: "timeout" }),
  },
  {
    name: "call over a connection that is kept",
    begin: (transport, address) =>
      assert.rejects(
        transport.readResidual(address, { run: "run-1", rank: 0, incarnation: 1, chunk: 0 }),
        { code: "timeout" },
      ),
  },
];
const makers = [
  ["plain", (ioTimeoutMs: number) => createGrpcTransport({ ioTimeoutMs })],
  [
    "encrypted",
    (ioTimeoutMs: number) => transportWith(openSecurity("worker", { tls: cluster }), ioTimeoutMs),
  ],
] as const;

for (const [kind, make] of makers) {
  for (const { name, begin } of ways) {
    test(`of a ${kind} ${name} with one that says nothing no connection stays`, async () => {
      const { address, open } = await mute();
      const transport = make(300);
      closers.push(() => transport.close());
      await begin(transport, address);
      await until("the connection's end", () => open.size === 0);
    });
  }

  test(`closing a ${kind} transport ends a connection that is not answered`, async () => {
    const address = await full();
    const held = sockets();
    const transport = make(1000);
    transport.openSession(address, identity, new Mail());
    const asked = assert.rejects(transport.status(address), { code: "unavailable" });
    await until("two connections", () => sockets() === held + 2);
    await transport.close();
    await asked;
    await until("the end of both", () => sockets() === held);
  });
}
