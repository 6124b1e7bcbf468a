import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { cutConnections, watchConnections } from "./connection-cut.js";

test("a cut closes what is open, and what opens before it is over", async (context) => {
  watchConnections();
  const server = createServer((socket) => socket.on("error", () => {}).resume());
  context.after(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const opened = async (): Promise<Socket> => {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    await once(socket, "connect");
    return socket;
  };
  const before = [await opened(), await opened()];
  const forMs = 100;
  cutConnections(forMs);
  const overMs = performance.now() + forMs;
  assert.ok(before.every(({ destroyed }) => destroyed));
  const during = connect(port, "127.0.0.1").on("error", () => {});
  await once(during, "close");
  while (performance.now() < overMs) await sleep(1);
  const after = await opened();
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  assert.equal(after.destroyed, false);
  after.destroy();
});
