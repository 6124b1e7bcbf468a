/** When a worker pulls every chunk under a view that begins a phase. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Protocol } from "../../protocol/run-spec.js";
import { firstPhase, type View } from "../../protocol/view.js";
import { standUnder } from "./worker-state.js";

const viewOf = (phase: number, protocol: Protocol) =>
  ({ ...firstPhase(protocol), phase }) as unknown as View;
const [inStep, free] = [{ mode: "bsp" }, { mode: "ssp", staleness: 2 }] as const;
const resting = { name: "resting" } as const;

test("weights are pulled anew where a phase's first step is not the one that they are of", () => {
  const steps = { fromStep: 9, nextStep: 9 };
  const before = viewOf(0, inStep);
  assert.equal(standUnder(resting, before, viewOf(1, free), steps).isNew, false);
  // Without a range of the epoch it comes in behind it, and the others go on meanwhile.
  assert.equal(
    standUnder(resting, before, viewOf(1, free), { ...steps, fromStep: 30 }).isNew,
    true,
  );
  assert.equal(standUnder(resting, viewOf(0, free), viewOf(1, inStep), steps).isNew, true);
  assert.equal(standUnder(resting, viewOf(1, free), viewOf(1, free), steps).isNew, false);
  // One that was to come in later than all others stand comes in with them.
  const early = standUnder({ name: "resting" }, before, viewOf(1, free), { ...steps, fromStep: 4 });
  assert.deepEqual(early, { nextStep: 4, isNew: true });
});
