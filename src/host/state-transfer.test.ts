import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../errors.js";
import { layOut } from "../protocol/layout.js";
import { type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import { firstPhase, type View } from "../protocol/view.js";
import type { ChunkChannel, ChunkReceiver, Transport } from "../transport/transport.js";
import { loadState, type ModelState } from "./state-transfer.js";
import { ManualClock } from "./testing/manual-clock.js";

const layout = layOut([{ name: "w", shape: [8], group: "weight" }], 4);
const view: View = {
  ...{ run: "r", number: 1, generation: 0, ...firstPhase({ mode: "bsp" }) },
  servers: [0, 1].map((index) => ({ index, incarnation: 1, address: `s${index}`, frames: null })),
  workers: [],
  ...{ candidates: [], departing: [] },
  ...{ replicas: [[0], [1]], fences: [1, 1] },
};
const marks = { version: 0, examples: 0, sealedStep: -1, applied: [] };
const state: ModelState = { weights: new Float32Array(8), state: [], marks: [marks, marks] };

/** A clock that holds its timers, and servers that answer as they are told to. */
function surroundings(answer: (address: string, header: ChunkHeader) => ChunkHeader | null) {
  const timers = new Set<object>();
  const open = new Set<string>();
  const openChunks = (address: string, receiver: ChunkReceiver): ChunkChannel => {
    open.add(address);
    return {
      peer: address,
      send: (header, _payload, sent) => {
        sent?.();
        const said = answer(address, header);
        if (said !== null) setImmediate(() => receiver.onChunk(said, null));
      },
      close: () => void open.delete(address),
    };
  };
  const clock = {
    nowMs: () => 0,
    after: () => {
      const timer = { cancel: () => void timers.delete(timer) };
      timers.add(timer);
      return timer;
    },
  };
  const transport = { openChunks } as unknown as Transport;
  return { parts: { transport, clock, ioTimeoutMs: 30_000 }, timers, open };
}

test("once one server has refused, nothing is awaited of the others any more", async () => {
  const { parts, timers, open } = surroundings((address, header) => {
    if (header.kind === "hello") return { ...emptyHeader, kind: "welcome", run: "r" };
    const refusal = { ...header, kind: "reply", outcome: "refused", detail: "no room" } as const;
    return address === "s0" ? refusal : null;
  });
  await assert.rejects(loadState(parts, view, state, layout), {
    code: "refused",
    message: "server-0 refused: no room",
  });
  assert.deepEqual([timers.size, open.size], [0, 0]);
});

test("where one server can't be routed to, the others are let go too", async () => {
  const { parts, timers, open } = surroundings(() => null);
  const route = ({ index, address }: { index: number; address: string }): string => {
    if (index === 1) throw new PacelineError("usage", "take --transport tcp");
    return address;
  };
  const loading = loadState({ ...parts, route }, view, state, layout);
  await assert.rejects(loading, { message: "take --transport tcp" });
  assert.deepEqual([timers.size, open.size], [0, 0]);
});

test("when all have answered nothing is left open", async () => {
  const { parts, timers, open } = surroundings((_address, header) => ({
    ...header,
    kind: header.kind === "hello" ? "welcome" : "loaded",
  }));
  await loadState(parts, view, state, layout);
  assert.deepEqual([timers.size, open.size], [0, 0]);
});

test("a chunk's weights, with which it is loaded, follow its state", async () => {
  const sent: string[] = [];
  const { parts } = surroundings((address, header) => {
    if (header.kind === "load") sent.push(`${address} ${header.part}`);
    return { ...header, kind: header.kind === "hello" ? "welcome" : "loaded" };
  });
  const both = { ...state, state: [new Float32Array(8), new Float32Array(8)] };
  await loadState(parts, view, both, layout);
  const order = ["state1", "state2", "weights"];
  for (const address of ["s0", "s1"]) {
    const of = sent.filter((one) => one.startsWith(address));
    assert.deepEqual(
      of,
      order.map((part) => `${address} ${part}`),
    );
  }
});

test("what the coordinator slept itself, time after time, is no server's silence", async () => {
  const clock = new ManualClock();
  const held: ChunkHeader[] = [];
  const receivers: ChunkReceiver[] = [];
  const openChunks = (_address: string, receiver: ChunkReceiver): ChunkChannel => {
    receivers.push(receiver);
    return { peer: "", send: (header) => void held.push(header), close: () => {} };
  };
  const transport = { openChunks } as unknown as Transport;
  const loading = loadState({ transport, clock, ioTimeoutMs: 4000 }, view, state, layout);
  for (let time = 0; time < 6; time++) clock.sleep(60_000);
  for (const receiver of receivers) {
    receiver.onChunk({ ...emptyHeader, kind: "welcome", run: "r" }, null);
  }
  for (const receiver of receivers) receiver.onChunk({ ...emptyHeader, kind: "loaded" }, null);
  await loading;
  assert.equal(held.filter(({ kind }) => kind === "load").length, 2);
});
