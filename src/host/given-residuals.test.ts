import assert from "node:assert/strict";
import { test } from "node:test";
import { layOut } from "../protocol/layout.js";
import { localPieces } from "../protocol/local/local-state.js";
import type { ResidualChunk } from "../protocol/residuals.js";
import { localSpec } from "../protocol/testing/local-run.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { GivenResidualStore, residualBytes } from "./given-residuals.js";

const layout = layOut(
  [
    { name: "b", shape: [2], group: "plain" },
    { name: "w", shape: [5], group: "weight" },
  ],
  3,
);
const setup = { spec: sampleSpec, layout };

function chunkOf(chunk: number, values: readonly number[], about: Partial<ResidualChunk> = {}) {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return { run: "r", rank: 1, incarnation: 7, barrier: 1, chunk, values: bytes, ...about };
}

test("chunks become one vector of all weights, in any order and however often they come", () => {
  const store = new GivenResidualStore();
  store.keep(chunkOf(1, [4, 5]), setup);
  store.keep(chunkOf(0, [1, 2, 3]), setup);
  store.keep(chunkOf(1, [4, 5]), setup);
  store.keep(chunkOf(1, [9, 9], { rank: 0 }), setup);
  const taken = store.take([
    { rank: 0, chunks: 1 },
    { rank: 1, chunks: 2 },
  ]);
  assert.deepEqual(taken, [
    { rank: 0, values: Float32Array.of(0, 0, 0, 9, 9) },
    { rank: 1, values: Float32Array.of(1, 2, 3, 4, 5) },
  ]);
  const again = residualBytes(taken[1]!.values, chunkOf(1, []), setup);
  assert.deepEqual(again, chunkOf(1, [4, 5]).values);
});

test("chunks of another barrier or another life are not mixed", () => {
  for (const other of [{ barrier: 2 }, { incarnation: 8 }]) {
    const store = new GivenResidualStore();
    store.keep(chunkOf(0, [1, 2, 3]), setup);
    store.keep(chunkOf(1, [4, 5], other), setup);
    const [taken] = store.take([{ rank: 1, chunks: 1 }]);
    assert.deepEqual(taken?.values, Float32Array.of(0, 0, 0, 4, 5));
  }
});

test("less than was said to be given is no residual, and nothing of it stays", () => {
  const store = new GivenResidualStore();
  store.keep(chunkOf(0, [1, 2, 3]), setup);
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
    assert.throws(() => store.keep(wrong, setup), { code: "protocol", message });
  }
});

test("the state of local steps lies behind residuals, in pieces numbered behind the chunks", () => {
  const own = { spec: localSpec({ updateRule: "momentum" }), layout };
  const pieces = localPieces(own.spec, layout);
  assert.deepEqual(
    pieces.map(({ chunk, offset, length }) => [chunk, offset, length]),
    [
      [3, 5, 3],
      [4, 8, 2],
      [5, 10, 2],
      [6, 12, 1],
    ],
  );
  const store = new GivenResidualStore();
  store.keep(chunkOf(3, [1, 2, 3]), own);
  store.keep(chunkOf(5, [6, 7]), own);
  store.keep(chunkOf(6, [9]), own);
  const [taken] = store.take([{ rank: 1, chunks: 3 }]);
  const kept = Float32Array.of(0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 6, 7, 9);
  assert.deepEqual(taken?.values, kept);
  assert.deepEqual(residualBytes(kept, chunkOf(5, []), own), chunkOf(5, [6, 7]).values);
  const message = /chunk 7 does not exist/;
  assert.throws(() => store.keep(chunkOf(7, [1]), own), { code: "protocol", message });
  assert.throws(() => store.keep(chunkOf(3, [1, 2, 3]), setup), { code: "protocol" });
});
