import assert from "node:assert/strict";
import { test } from "node:test";
import type { NormShare } from "../../protocol/norms.js";
import { NormRows } from "./norm-rows.js";

const time = "2026-01-01T00:00:00.000Z";

function share(version: number, chunks: number, extra: Partial<NormShare> = {}): NormShare {
  return { version, chunks, weights: 0, gradient: 0, decay: 0, ...extra };
}

test("a step's row is there when all chunks have told of it: norms are roots of sums", () => {
  const rows = new NormRows(3);
  const first = { generation: 0, shares: [share(1, 1, { weights: 4, gradient: 1, decay: 9 })] };
  assert.deepEqual(rows.take(first, time), []);
  const second = { generation: 0, shares: [share(1, 2, { weights: 5, gradient: 3, decay: 7 })] };
  assert.deepEqual(rows.take(second, time), [
    { kind: "norms", time, step: 1, weightNorm: 3, gradientNorm: 2, decayNorm: 4 },
  ]);
});

test("rows that become whole together are in the order of their steps", () => {
  const rows = new NormRows(2);
  rows.take({ generation: 0, shares: [share(1, 1), share(2, 1), share(3, 1)] }, time);
  const told = rows.take({ generation: 0, shares: [share(3, 1), share(1, 1)] }, time);
  assert.deepEqual(
    told.map(({ step }) => step),
    [1, 3],
  );
});

test("after a roll-back steps have rows again, without shares of before", () => {
  const rows = new NormRows(2);
  rows.take({ generation: 0, shares: [share(5, 1, { weights: 100 })] }, time);
  assert.deepEqual(rows.take({ generation: 1, shares: [share(5, 1, { weights: 2 })] }, time), []);
  assert.deepEqual(rows.take({ generation: 0, shares: [share(5, 1)] }, time), []);
  const [row] = rows.take({ generation: 1, shares: [share(5, 1, { weights: 2 })] }, time);
  assert.equal(row?.weightNorm, 2);
});
