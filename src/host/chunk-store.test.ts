/** Where a server's values lie: nothing that a write still reads changes or is given away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../core/server/entry.js";
import { Arena } from "../kernels/arena.js";
import { createScalarKernels } from "../kernels/scalar.js";
import { layOut } from "../protocol/layout.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { ChunkStore } from "./chunk-store.js";

const values = 8;
const layout = layOut([{ name: "w", shape: [values], group: "weight" }], 16);
const entry: Entry = {
  ...{ chunk: 0, seq: 1, marks: [], sealedStep: 0, gradient: -1, pushes: 1, examples: 1 },
  ...{ lr: 1, momentum: 0.5, scale: 1, version: 1, staleness: null },
};

/** A store whose one chunk has the weights 1, and what is left of its arena. */
function storeOf(name: "sgd" | "momentum") {
  const arena = new Arena(1);
  const kernels = createScalarKernels(arena);
  const rule = { ...sampleSpec.updateRule, name, momentum: 0.5, weightDecay: 0 };
  const store = new ChunkStore({ arena, kernels, layout, rule });
  const slotOf = (value: number) => {
    const { slot } = store.allocate(0);
    store.valuesOf(slot, 0).fill(value);
    return slot;
  };
  store.install(0, "weights", slotOf(1));
  const step = (gradient: number) => {
    const slot = slotOf(gradient);
    store.apply({ ...entry, gradient: slot }, "weight");
    store.free(slot);
  };
  return { arena, store, slotOf, step };
}

const floats = (bytes: Uint8Array) => [
  ...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4),
];
const all = (value: number) => Array.from({ length: values }, () => value);

test("an update leaves the bytes of an unfinished write alone, and later reads see it", () => {
  const { store, step } = storeOf("sgd");
  const lent = store.lend(0, "weights");
  step(0.25);
  assert.deepEqual(floats(lent.bytes), all(1));
  assert.deepEqual([...store.weightsOf(0)], all(0.75));
  lent.done();
});

test("a slot that a write reads is given away only when its last write has ended", () => {
  const { arena, store, step, slotOf } = storeOf("sgd");
  const writes = [store.lend(0, "weights"), store.lend(0, "weights")];
  step(0.25);
  const used = arena.usage().slots;
  writes[0]!.done();
  assert.equal(arena.usage().slots, used);
  slotOf(9);
  assert.deepEqual(floats(writes[1]!.bytes), all(1));
  writes[1]!.done();
  assert.equal(arena.usage().slots, used, "one slot came, one went");
});

test("an update leaves state and gradient alone that are still sent", () => {
  const { store, slotOf } = storeOf("momentum");
  const gradient = slotOf(0.5);
  store.apply({ ...entry, gradient: slotOf(0.25) }, "weight");
  const state = store.lend(0, "state1");
  const sent = store.lendSlot(gradient, 0);
  const [before, sending] = [floats(state.bytes), floats(sent.bytes)];
  store.apply({ ...entry, gradient, version: 2 }, "weight");
  assert.deepEqual(floats(state.bytes), before);
  assert.deepEqual(floats(sent.bytes), sending);
  const now = store.lend(0, "state1");
  assert.notDeepEqual(floats(now.bytes), before, "the state itself has moved");
  for (const { done } of [state, sent, now]) done();
});

test("without a write in flight weights are updated where they are", () => {
  const { arena, store, step } = storeOf("sgd");
  store.lend(0, "weights").done();
  const used = arena.usage().slots;
  step(0.25);
  assert.equal(arena.usage().slots, used);
  assert.deepEqual([...store.weightsOf(0)], all(0.75));
});

test("state that is not installed is zero, whatever lay there before", () => {
  const { store, step, slotOf } = storeOf("momentum");
  store.forget(0);
  const dirty = [slotOf(7), slotOf(7), slotOf(7)];
  for (const slot of dirty) store.free(slot);
  store.install(0, "weights", slotOf(1));
  step(0.25);
  assert.deepEqual(floats(store.lend(0, "state1").bytes), all(0.25));
});

test("state that is installed counts in the next update", () => {
  const { store, step, slotOf } = storeOf("momentum");
  store.install(0, "state1", slotOf(1));
  step(0.25);
  assert.deepEqual([...store.weightsOf(0)], all(1 - 0.75));
});

test("what is forgotten goes back to the arena, at once or when its last write ends", () => {
  const { arena, store } = storeOf("momentum");
  const lent = store.lend(0, "weights");
  store.forget(0);
  assert.equal(arena.usage().slots, 1);
  lent.done();
  assert.equal(arena.usage().slots, 0);
});
