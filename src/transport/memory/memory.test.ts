import assert from "node:assert/strict";
import { test } from "node:test";
import type { PacelineError } from "../../errors.js";
import { emptyHeader } from "../../protocol/messages.js";
import type { ChunkReceiver } from "../transport.js";
import { MemoryNetwork } from "./memory.js";

function recorder(): ChunkReceiver & { readonly heard: string[] } {
  const heard: string[] = [];
  return {
    heard,
    onHeader: () => null,
    onChunk: (header) => void heard.push(`${header.kind} ${header.step}`),
    onClose: (error: PacelineError) => void heard.push(error.message),
  };
}

/** A network whose deliveries wait until `run` is called. */
function stepped(): { network: MemoryNetwork; run: () => void } {
  const tasks: (() => void)[] = [];
  const network = new MemoryNetwork({ schedule: (task) => void tasks.push(task) });
  const run = (): void => {
    while (tasks.length > 0) tasks.shift()?.();
  };
  return { network, run };
}

const hello = { ...emptyHeader, kind: "hello", step: 0 } as const;

test("nothing is delivered before the scheduler runs it", async () => {
  const { network, run } = stepped();
  const far = recorder();
  await network.createTransport("server").serveChunks("s", () => far);
  const channel = network.createTransport("worker").openChunks("s", recorder());
  channel.send(hello, null);
  channel.send({ ...hello, kind: "push", step: 1 }, null);
  assert.deepEqual(far.heard, []);
  run();
  assert.deepEqual(far.heard, ["hello 0", "push 1"]);
});

test("order holds whatever order the scheduler chooses for its tasks", async () => {
  const tasks: (() => void)[] = [];
  const network = new MemoryNetwork({ schedule: (task) => void tasks.push(task) });
  const far = recorder();
  await network.createTransport("server").serveChunks("s", () => far);
  const channel = network.createTransport("worker").openChunks("s", recorder());
  for (let step = 0; step < 4; step++) channel.send({ ...hello, step }, null);
  while (tasks.length > 0) tasks.pop()?.();
  assert.deepEqual(far.heard, ["hello 0", "hello 1", "hello 2", "hello 3"]);
});

test("a cut link breaks both ends, refuses others, and works again after restore", async () => {
  const { network, run } = stepped();
  const far = recorder();
  await network.createTransport("server-0").serveChunks("s", () => far);
  const worker = network.createTransport("worker-0");
  const near = recorder();
  let sent = 0;
  const channel = worker.openChunks("s", near);
  channel.send(hello, null);
  run();
  channel.send({ ...hello, step: 1 }, null, () => sent++);
  network.cut("worker-0", "s");
  run();
  assert.deepEqual(far.heard, ["hello 0", "the link of worker-0 and s is cut"]);
  assert.deepEqual(near.heard, ["the link of worker-0 and s is cut"]);
  assert.equal(sent, 1);
  const refused = recorder();
  worker.openChunks("s", refused);
  run();
  assert.deepEqual(refused.heard, ["s can't be reached; is it running and is the address right?"]);
  network.restore("server-0", "worker-0");
  worker.openChunks("s", recorder()).send({ ...hello, step: 2 }, null);
  run();
  assert.equal(far.heard.at(-1), "hello 2");
});

test("a cut of one link leaves the others alone", async () => {
  const { network, run } = stepped();
  const far = recorder();
  await network.createTransport("server-0").serveChunks("s", () => far);
  const other = network.createTransport("worker-1").openChunks("s", recorder());
  network.cut("worker-0", "server-0");
  other.send(hello, null);
  run();
  assert.deepEqual(far.heard, ["hello 0"]);
});

test("connections that end are forgotten", async () => {
  const { network, run } = stepped();
  await network.createTransport("server-0").serveChunks("s", () => recorder());
  const worker = network.createTransport("worker-0");
  for (let life = 0; life < 1000; life++) {
    const channel = worker.openChunks("s", recorder());
    channel.send(hello, null);
    channel.close();
    run();
  }
  assert.equal(network.connections, 0);
});
