import assert from "node:assert/strict";
import { test } from "node:test";
import { layOut } from "../protocol/layout.js";
import type { ResidualPiece } from "../protocol/residuals.js";
import { pieceOf, ResidualDesk } from "./residual-desk.js";

const layout = layOut(
  [
    { name: "b", shape: [2], group: "plain" },
    { name: "w", shape: [5], group: "weight" },
  ],
  3,
);

function piece(chunk: number, values: readonly number[], about: Partial<ResidualPiece> = {}) {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return { run: "r", rank: 1, incarnation: 7, cut: 1, chunk, values: bytes, ...about };
}

test("pieces become one vector of all weights, in any order and however often they come", () => {
  const desk = new ResidualDesk();
  desk.keep(piece(1, [4, 5]), layout);
  desk.keep(piece(0, [1, 2, 3]), layout);
  desk.keep(piece(1, [4, 5]), layout);
  desk.keep(piece(1, [9, 9], { rank: 0 }), layout);
  const taken = desk.take([
    { rank: 0, chunks: 1 },
    { rank: 1, chunks: 2 },
  ]);
  assert.deepEqual(taken, [
    { rank: 0, values: Float32Array.of(0, 0, 0, 9, 9) },
    { rank: 1, values: Float32Array.of(1, 2, 3, 4, 5) },
  ]);
  const again = pieceOf(taken[1]!.values, piece(1, []), layout);
  assert.deepEqual(again, piece(1, [4, 5]).values);
});

test("pieces of another cut or another life are not mixed", () => {
  for (const other of [{ cut: 2 }, { incarnation: 8 }]) {
    const desk = new ResidualDesk();
    desk.keep(piece(0, [1, 2, 3]), layout);
    desk.keep(piece(1, [4, 5], other), layout);
    const [taken] = desk.take([{ rank: 1, chunks: 1 }]);
    assert.deepEqual(taken?.values, Float32Array.of(0, 0, 0, 4, 5));
  }
});

test("less than was said to be given is no residual, and nothing of it stays", () => {
  const desk = new ResidualDesk();
  desk.keep(piece(0, [1, 2, 3]), layout);
  const message = /residuals of worker 1: 1 of 2 pieces have come/;
  assert.throws(() => desk.take([{ rank: 1, chunks: 2 }]), { code: "protocol", message });
  assert.throws(() => desk.take([{ rank: 1, chunks: 1 }]), /0 of 1 pieces/);
});

test("what is no chunk's residual is refused with its numbers", () => {
  const desk = new ResidualDesk();
  for (const [wrong, message] of [
    [piece(0, [1, 2]), /residual of chunk 0 has 8 bytes instead of 12/],
    [piece(2, [1, 2]), /chunk 2 is of the group plain: only weights have residuals/],
    [piece(9, [1]), /chunk 9 does not exist/],
  ] as const) {
    assert.throws(() => desk.keep(wrong, layout), { code: "protocol", message });
  }
});
