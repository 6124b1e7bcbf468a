import assert from "node:assert/strict";
import { test } from "node:test";
import type { View } from "../../protocol/view.js";
import { paceOf } from "../sync/modes.js";
import type { ChunkProgress } from "../sync/pace.js";
import { awaitedWorkers } from "./awaited-workers.js";

const workers = [0, 1, 2].map((rank) => ({ rank, incarnation: 10 + rank, fromStep: 0 }));
const view = { workers } as unknown as View;

/** A chunk that has the pushes of some workers to step 4, and the clocks that go with it. */
function chunkWith(held: readonly number[]): ChunkProgress {
  return {
    ...{
      index: 0,
      sealedStep: 3,
      holdsAny: held.length > 0,
      holdsOnTime: true,
      holdsExamples: true,
    },
    clockOf: ({ rank }) => (held.includes(rank) ? 5 : 4),
    pulseOf: () => null,
    holds: ({ rank }) => held.includes(rank),
  };
}

test("whom a pace waits for is read from its own reason", () => {
  const bsp = paceOf({ mode: "bsp" });
  const inStep = (held: readonly number[]) => bsp.mayStart(view, chunkWith(held), 5).reason;
  assert.deepEqual(awaitedWorkers(inStep([0])), [1, 2]);
  assert.deepEqual(awaitedWorkers(inStep([0, 1])), [2]);
  const ssp = paceOf({ mode: "ssp", staleness: 0 });
  assert.deepEqual(awaitedWorkers(ssp.mayStart(view, chunkWith([0, 2]), 5).reason), [1]);
});

test("a server that waits for nobody names none", () => {
  for (const activity of ["serving", "waiting for a view", "waiting for an earlier step: x", ""]) {
    assert.deepEqual(awaitedWorkers(activity), [], activity);
  }
});
