/** What the simulated network does to messages, with time walked by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyHeader } from "../protocol/messages.js";
import { Random } from "../random.js";
import type { ChunkReceiver } from "../transport/transport.js";
import { EventTrace } from "./event-trace.js";
import { SimulatedNetwork } from "./simulated-network.js";
import { SimulatedProcess } from "./simulated-process.js";
import { SimulatedTransport } from "./simulated-transport.js";
import { VirtualTime } from "./virtual-time.js";

class World {
  readonly time = new VirtualTime();
  readonly network: SimulatedNetwork;
  readonly #trace = new EventTrace("none");

  constructor(seed: number) {
    const settings = { delayMsMin: 1, delayMsMax: 2, beatMsMax: 1, ioTimeoutMs: 3000 };
    this.network = new SimulatedNetwork(this.time, new Random("network", seed), settings);
  }

  process(node: string): { process: SimulatedProcess; transport: SimulatedTransport } {
    const onCrash = (_process: SimulatedProcess, thrown: unknown) => {
      throw thrown;
    };
    const process = new SimulatedProcess(node, 0, { time: this.time, trace: this.#trace, onCrash });
    return { process, transport: new SimulatedTransport(this.network, process) };
  }

  pass(durationMs: number): void {
    const untilMs = this.time.nowMs + durationMs;
    this.time.at(untilMs, () => {});
    while (this.time.nextMs <= untilMs) this.time.move();
  }
}

const hello = { ...emptyHeader, kind: "hello" } as const;
const pushOf = (step: number) => ({ ...emptyHeader, kind: "push", step }) as const;

/** A server that writes down what it hears, and a worker that is connected with it. */
function connected(seed: number) {
  const world = new World(seed);
  const server = world.process("server-0");
  const worker = world.process("worker-0");
  const heard: string[] = [];
  const memory = new Uint8Array(8);
  let connections = 0;
  void server.transport.serveChunks("server-0", () => {
    const name = `connection ${++connections}`;
    const receiver: ChunkReceiver = {
      onHeader: (_header, bytes) => (bytes === 8 ? memory : null),
      onChunk: ({ kind, step }) => void (kind === "push" && heard.push(`${name}: step ${step}`)),
      onClose: () => void heard.push(`${name}: closed`),
    };
    return receiver;
  });
  const closed: string[] = [];
  const open = () => {
    const channel = worker.transport.openChunks("server-0", {
      onHeader: () => null,
      onChunk: () => {},
      onClose: ({ code }) => void closed.push(code),
    });
    channel.send(hello, null);
    return channel;
  };
  return { world, server, worker, heard, closed, memory, open };
}

test("messages of a connection come in their order, and memory is lent until it is taken", () => {
  for (let seed = 0; seed < 20; seed++) {
    const { world, heard, memory, open } = connected(seed);
    const channel = open();
    const payload = new Uint8Array(8).fill(7);
    let sent = 0;
    channel.send(pushOf(1), payload, () => {
      sent++;
      payload.fill(9);
    });
    channel.send(pushOf(2), null, () => sent++);
    world.pass(20);
    assert.deepEqual(heard, ["connection 1: step 1", "connection 1: step 2"]);
    assert.deepEqual([...memory], new Array(8).fill(7));
    assert.equal(sent, 2);
  }
});

test("a process that ends in the middle of a message leaves half of it", () => {
  let halves = 0;
  for (let seed = 0; seed < 60; seed++) {
    const { world, worker, heard, memory, open } = connected(seed);
    const channel = open();
    channel.send(pushOf(1), new Uint8Array(8).fill(7));
    world.time.at(3 + (seed % 10) / 5, () => {
      worker.process.end();
      world.network.ended(worker.process, false);
    });
    world.pass(20);
    if (memory[0] === 7 && memory[7] === 0) {
      halves++;
      assert.ok(!heard.includes("connection 1: step 1"));
    }
  }
  assert.ok(halves > 0, "some were cut in the middle");
});

test("what was sent over a connection that was left comes after the next one's messages", () => {
  const { world, heard, closed, open } = connected(1);
  const first = open();
  world.pass(10);
  first.send(pushOf(1), null);
  world.network.leaveBehind("worker-0", "server-0", 100);
  world.pass(1);
  assert.deepEqual(closed, ["unavailable"]);
  open().send(pushOf(2), null);
  world.pass(200);
  assert.deepEqual(heard, ["connection 2: step 2", "connection 1: step 1", "connection 1: closed"]);
});

test("a way that is blocked holds back one direction, and ends what is silent for too long", () => {
  const { world, heard, closed, open } = connected(1);
  const channel = open();
  world.pass(10);
  world.network.block("worker-0", "server-0", 500);
  channel.send(pushOf(1), null);
  world.pass(400);
  assert.deepEqual(heard, []);
  world.pass(200);
  assert.deepEqual(heard, ["connection 1: step 1"]);
  world.network.block("worker-0", "server-0", 5000);
  world.pass(2100);
  assert.deepEqual(closed, ["timeout"]);
});

test("a registration whose answer is lost was taken in all the same", async () => {
  const { world, server, worker } = connected(1);
  let asked = 0;
  const register = () => {
    asked++;
    return { accepted: false, code: "refused", reason: "no" } as const;
  };
  void server.transport.serveCoordinator("coordinator", { register } as never);
  world.network.loseAnswers("worker-0", 1);
  const ask = async () => {
    const answer = worker.transport.register("coordinator", {
      ...{ role: "worker", attempt: "1" },
    } as never);
    const end = answer.then(
      ({ accepted }) => `accepted ${accepted}`,
      ({ code }) => code as string,
    );
    for (let turn = 0; turn < 10; turn++) {
      world.pass(5);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return end;
  };
  assert.equal(await ask(), "unavailable");
  assert.equal(await ask(), "accepted false");
  assert.equal(asked, 2);
});
