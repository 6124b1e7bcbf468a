/** Copies that a server keeps: what they hold meanwhile, and when they are given up. */
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { Entry } from "../core/server/entry.js";
import { Arena } from "../kernels/arena.js";
import { createScalarKernels } from "../kernels/scalar.js";
import { layOut } from "../protocol/layout.js";
import { type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { ChunkStore } from "./chunk-store.js";
import { KeptCopies } from "./kept-copies.js";

const layout = layOut([{ name: "w", shape: [16], group: "weight" }], 8);
const rule = { ...sampleSpec.updateRule, name: "momentum", momentum: 0.5, weightDecay: 0 } as const;
const entry: Entry = {
  ...{ chunk: 0, seq: 1, marks: [], sealedStep: 0, gradient: -1, pushes: 1, examples: 1 },
  ...{ lr: 1, momentum: 0.5, scale: 1, version: 1, staleness: null },
};

/** Two chunks of ones, and what is kept of them. */
class Kept {
  readonly arena = new Arena(1);
  readonly store = new ChunkStore({
    ...{ arena: this.arena, kernels: createScalarKernels(this.arena), layout, rule },
  });
  readonly copies = new KeptCopies(this.store);
  /** What was sent: the part, its first value, and what ends the sending. */
  readonly sent: {
    readonly part: string;
    readonly value: number;
    readonly version: number;
    readonly done: () => void;
  }[] = [];

  constructor() {
    for (const chunk of [0, 1]) this.store.install(chunk, "weights", this.#slotOf(1));
  }

  #slotOf(value: number): number {
    const { slot } = this.store.allocate(0);
    this.store.valuesOf(slot, 0).fill(value);
    return slot;
  }

  keep(channel: number, chunk: number): void {
    const header: ChunkHeader = { ...emptyHeader, kind: "saved", chunk };
    this.copies.keep(channel, header);
  }

  step(chunk: number): void {
    const gradient = this.#slotOf(0.25);
    this.store.apply({ ...entry, chunk, gradient }, "weight");
    this.store.free(gradient);
  }

  /** A push that the chunk applies, and a copy of it as well. */
  late(channel: number, chunk: number): void {
    const gradient = this.#slotOf(0.25);
    const late = { ...entry, chunk, gradient };
    this.store.apply(late, "weight");
    this.copies.apply({ type: "applyToCopy", channel, entry: late, group: "weight" });
    this.store.free(gradient);
  }

  send(channel: number, chunk: number): number | null {
    return this.copies.send(channel, chunk, {
      send: ({ part, version }, payload, done = () => {}) => {
        const value = new Float32Array(payload!.slice().buffer)[0]!;
        this.sent.push({ part, value, version, done });
      },
    });
  }

  get slots(): number {
    return this.arena.usage().slots;
  }
}

let kept = new Kept();
beforeEach(() => {
  kept = new Kept();
});

test("a copy is of the moment in which it was taken, and goes out once", () => {
  kept.keep(7, 0);
  kept.step(0);
  kept.step(0);
  assert.equal(kept.send(7, 0), 2 * 8 * 4);
  assert.deepEqual(
    kept.sent.map(({ part, value }) => [part, value]),
    [
      ["state1", 0],
      ["weights", 1],
    ],
  );
  assert.equal(kept.send(7, 0), null);
  assert.equal(kept.store.weightsOf(0)[0], 1 - 0.25 - 0.375);
});

test("a copy takes as much again as the chunk at most, and nothing once it has gone out", () => {
  const before = kept.slots;
  kept.keep(7, 0);
  assert.equal(kept.slots, before, "nothing until the chunk is changed");
  for (let step = 0; step < 5; step++) kept.step(0);
  assert.equal(kept.slots, before + 2);
  kept.send(7, 0);
  assert.equal(kept.slots, before + 2, "it is on its way");
  for (const { done } of kept.sent) done();
  assert.equal(kept.slots, before);
});

for (const [how, giveUp] of [
  ["when it is discarded", () => kept.copies.discard(7, 0)],
  ["with its channel", () => kept.copies.closed(7)],
  ["for one of another channel", () => kept.keep(8, 1)],
  ["for a later one", () => kept.keep(7, 0)],
] as const) {
  test(`a copy is given up ${how}`, () => {
    const before = kept.slots;
    kept.keep(7, 0);
    kept.step(0);
    giveUp();
    assert.equal(kept.slots, before);
  });
}

test("nobody but the channel that has copies gets or ends them", () => {
  kept.keep(7, 0);
  kept.copies.closed(8);
  kept.copies.discard(8, 0);
  assert.equal(kept.send(8, 0), null);
  assert.equal(kept.send(7, 1), null);
  assert.notEqual(kept.send(7, 0), null);
});

test("what is late moves a copy as it moves the chunk, and nothing else does", () => {
  const before = kept.slots;
  kept.keep(7, 0);
  kept.late(7, 0);
  kept.step(0);
  kept.late(7, 0);
  kept.late(8, 0);
  assert.equal(kept.slots, before + 2, "it is changed where it lies");
  kept.copies.close(7, { ...emptyHeader, kind: "saved", chunk: 0, version: 5 });
  kept.send(7, 0);
  // 0.25 and half of it again: momentum of its own.
  assert.deepEqual(
    kept.sent.map(({ part, value, version }) => [part, value, version]),
    [
      ["state1", 0.375, 5],
      ["weights", 1 - 0.25 - 0.375, 5],
    ],
  );
  for (const { done } of kept.sent) done();
  assert.equal(kept.slots, before);
});

test("what somebody else still reads of a copy is left as it is", () => {
  const before = kept.slots;
  const { bytes, done } = kept.store.lend(0, "weights");
  kept.keep(7, 0);
  kept.late(7, 0);
  assert.equal(new Float32Array(bytes.slice().buffer)[0], 1);
  done();
  kept.send(7, 0);
  assert.equal(kept.sent.at(-1)?.value, 0.75);
  for (const one of kept.sent) one.done();
  assert.equal(kept.slots, before);
});
