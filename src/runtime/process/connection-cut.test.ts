import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { cutConnections, watchConnections } from "./connection-cut.js";

test("a cut closes what is open, and whatever opens before it is over", async (context) => {
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
  const startedMs = performance.now();
  cutConnections(forMs);
  assert.ok(before.every(({ destroyed }) => destroyed));
  const during = connect(port, "127.0.0.1").on("error", () => {});
  await once(during, "close");
  // One that opens when the cut is over stays: until then each is closed.
  for (;;) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    const isOver = performance.now() - startedMs >= forMs;
    if (isOver) {
      await once(socket, "connect");
      const echoed = new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      await echoed;
      assert.equal(socket.destroyed, false);
      socket.destroy();
      break;
    }
    await once(socket, "close");
  }
});
