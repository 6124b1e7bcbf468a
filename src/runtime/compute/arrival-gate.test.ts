import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { ArrivalGate, gateMemory, StepGivenUp } from "./arrival-gate.js";

/** Waits for chunks in a thread; says when it begins to, and how that ended. */
function waiterFor(memory: SharedArrayBuffer, first: number, last = first) {
  const { href } = new URL("./arrival-gate.js", import.meta.url);
  const program = `
    import { parentPort, workerData } from "node:worker_threads";
    const { ArrivalGate } = await import(${JSON.stringify(href)});
    parentPort.postMessage("waits");
    try {
      const { memory, first, last } = workerData;
      const gate = new ArrivalGate(memory);
      for (let chunk = first; chunk <= last; chunk++) gate.await(chunk);
      parentPort.postMessage("went on");
    } catch (thrown) {
      parentPort.postMessage(thrown.constructor.name);
    }`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
  const thread = new Worker(url, { workerData: { memory, first, last } });
  const said: string[] = [];
  let heard = () => {};
  thread.on("message", (text: string) => {
    said.push(text);
    heard();
  });
  return async (count: number): Promise<string[]> => {
    while (said.length < count) await new Promise<void>((resolve) => (heard = resolve));
    return said;
  };
}

test("a chunk that is not lacking holds nobody up", () => {
  const gate = new ArrivalGate(gateMemory(2));
  gate.lack([1]);
  gate.await(0);
  assert.equal(gate.isOpen(1), false);
  gate.arrive(1);
  gate.await(1);
});

test("a wait in another thread ends when the chunk arrives", async () => {
  const memory = gateMemory(2);
  const gate = new ArrivalGate(memory);
  gate.lack([0, 1]);
  const heard = waiterFor(memory, 1);
  await heard(1);
  gate.arrive(0);
  gate.arrive(1);
  assert.deepEqual(await heard(2), ["waits", "went on"]);
});

test("no arrival is missed, whether the other sleeps, is about to or is elsewhere", async () => {
  const count = 20_000;
  const memory = gateMemory(count);
  const gate = new ArrivalGate(memory);
  gate.lack(Array.from({ length: count }, (_, chunk) => chunk));
  const heard = waiterFor(memory, 0, count - 1);
  await heard(1);
  for (let chunk = 0; chunk < count; chunk++) {
    gate.arrive(chunk);
    if (chunk % 7 === 0) await new Promise<void>((resolve) => void setImmediate(resolve));
  }
  assert.deepEqual(await heard(2), ["waits", "went on"]);
});

test("present and later waits throw when the gate is given up", async () => {
  const memory = gateMemory(1);
  const gate = new ArrivalGate(memory);
  gate.lack([0]);
  const heard = waiterFor(memory, 0);
  await heard(1);
  gate.giveUp();
  assert.deepEqual(await heard(2), ["waits", "StepGivenUp"]);
  gate.arrive(0);
  gate.lack([0]);
  assert.throws(() => gate.await(0), StepGivenUp);
});
