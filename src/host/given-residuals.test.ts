import assert from "node:assert/strict";
import { test } from "node:test";
import { layOut } from "../protocol/layout.js";
import type { ResidualChunk } from "../protocol/residuals.js";
import { GivenResidualStore, residualBytes } from "./given-residuals.js";

const layout = layOut(
  [
    { name: "b", shape: [2], group: "plain" },
    { name: "w", shape: [5], group: "weight" },
  ],
  3,
);

function chunkOf(chunk: number, values: readonly number[], about: Partial<ResidualChunk> = {}) {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return { run: "r", rank: 1, incarnation: 7, barrier: 1, chunk, values: bytes, ...about };
}

test("chunks become one vector of all weights, in any order and however often they come", () => {
  const store = new GivenResidualStore();
  store.keep(chunkOf(1, [4, 5]), layout);
  store.keep(chunkOf(0, [1, 2, 3]), layout);
  store.keep(chunkOf(1, [4, 5]), layout);
  store.keep(chunkOf(1, [9, 9], { rank: 0 }), layout);
  const taken = store.take([
    { rank: 0, chunks: 1 },
    { rank: 1, chunks: 2 },
  ]);
  assert.deepEqual(taken, [
    { rank: 0, values: Float32Array.of(0, 0, 0, 9, 9) },
    { rank: 1, values: Float32Array.of(1, 2, 3, 4, 5) },
  ]);
  const again = residualBytes(taken[1]!.values, chunkOf(1, []), layout);
  assert.deepEqual(again, chunkOf(1, [4, 5]).values);
});

test("chunks of another barrier or another life are not mixed", () => {
  for (const other of [{ barrier: 2 }, { incarnation: 8 }]) {
    const store = new GivenResidualStore();
    store.keep(chunkOf(0, [1, 2, 3]), layout);
    store.keep(chunkOf(1, [4, 5], other), layout);
    const [taken] = store.take([{ rank: 1, chunks: 1 }]);
    assert.deepEqual(taken?.values, Float32Array.of(0, 0, 0, 4, 5));
  }
});

test("less than was said to be given is no residual, and nothing of it stays", () => {
  const store = new GivenResidualStore();
  store.keep(chunkOf(0, [1, 2, 3]), layout);
  const message = /residuals of worker 1: 1 of 2 chunks have come/;
  assert.throws(() => store.take([{ rank: 1, chunks: 2 }]), { code: "protocol", message });
  assert.throws(() => store.take([{ rank: 1, chunks: 1 }]), /0 of 1 chunks/);
});

test("what is no chunk's residual is refused with its numbers", () => {
  const store = new GivenResidualStore();
  for (const [wrong, message] of [
    [chunkOf(0, [1, 2]), /residual of chunk 0 has 8 bytes instead of 12/],
    [chunkOf(2, [1, 2]), /chunk 2 is of the group plain: only weights have residuals/],
    [chunkOf(9, [1]), /chunk 9 does not exist/],
  ] as const) {
    assert.throws(() => store.keep(wrong, layout), { code: "protocol", message });
  }
});
