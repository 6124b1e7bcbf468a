/** A client of an etcd that is closed while it connects: nothing is left of the connection. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EtcdClient } from "../store/etcd/etcd-client.js";
import { MadeSockets } from "../transport/grpc/endable-target.js";

test("closing the client ends a connection over which nothing was said", async (t) => {
  const open = new Set<Socket>();
  const mute = createServer((socket) => {
    open.add(socket.resume().on("error", () => {}));
    socket.on("close", () => open.delete(socket));
  }).listen(0, "127.0.0.1");
  t.after(() => mute.close());
  t.after(() => open.forEach((socket) => void socket.destroy()));
  await once(mute, "listening");
  const { port } = mute.address() as { port: number };
  const client = new EtcdClient([`127.0.0.1:${port}`], 300, null, new MadeSockets());
  await assert.rejects(client.read("key"), { code: "unavailable" });
  assert.ok(open.size > 0);
  client.close();
  const untilMs = performance.now() + 5000;
  while (open.size > 0 && performance.now() < untilMs) await sleep(5);
  assert.equal(open.size, 0);
});
