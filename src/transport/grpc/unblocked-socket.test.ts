import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { until } from "../testing/recording.js";
import { receiveWindowBytes } from "./methods.js";
import { unblockedSocket } from "./unblocked-socket.js";

/** Both ends of a connection. */
async function connected(): Promise<{ near: Socket; far: Socket; close(): void }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const far = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [near] = (await once(server, "connection")) as [Socket];
  return { near, far, close: () => [near, far].map((one) => one.destroy()) && server.close() };
}

const piece = Buffer.alloc(65536);

test("who does not read has a limited number of bytes waiting, and gets all later", async () => {
  const { near, far, close } = await connected();
  far.pause();
  const limit = 1048576;
  const stream = unblockedSocket(near, limit);
  const pieces = 512;
  let written = 0;
  let most = 0;
  const writeNext = (): void => {
    if (written === pieces) return void stream.end();
    written++;
    stream.write(piece, writeNext);
    most = Math.max(most, near.writableLength);
  };
  writeNext();
  await until("a write that waits", () => near.writableLength > limit);
  assert.ok(written < pieces, "32 MiB are more than the system holds");
  let got = 0;
  far.on("data", (bytes) => (got += bytes.length));
  far.resume();
  await once(far, "end");
  assert.equal(got, pieces * piece.length);
  assert.ok(most <= limit + piece.length, `${most} bytes waited`);
  close();
});

test("below the limit writes end at once, whether the peer reads or not", async () => {
  const { near, far, close } = await connected();
  far.pause();
  const stream = unblockedSocket(near);
  let taken = 0;
  const pieces = receiveWindowBytes / piece.length;
  for (let count = 0; count < pieces; count++) stream.write(piece, () => taken++);
  await until("all of a window taken", () => taken === pieces);
  assert.ok(near.writableLength > 0, "16 MiB are more than the system holds");
  close();
});
