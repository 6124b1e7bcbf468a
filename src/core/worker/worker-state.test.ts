/** When a worker pulls every chunk under a view that begins a phase. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Protocol } from "../../protocol/run-spec.js";
import { firstPhase, type View } from "../../protocol/view.js";
import { pullsAnew } from "./worker-state.js";

const viewOf = (phase: number, protocol: Protocol) =>
  ({ ...firstPhase(protocol), phase }) as unknown as View;
const [inStep, free] = [{ mode: "bsp" }, { mode: "ssp", staleness: 2 }] as const;
const resting = { name: "resting" } as const;

test("weights are pulled anew where a phase's first step is not the one that they are of", () => {
  const steps = { fromStep: 9, nextStep: 9 };
  const before = viewOf(0, inStep);
  assert.equal(pullsAnew(resting, before, viewOf(1, free), steps), false);
  // Without a range of the epoch it comes in behind it, and the others go on meanwhile.
  assert.equal(pullsAnew(resting, before, viewOf(1, free), { ...steps, fromStep: 30 }), true);
  assert.equal(pullsAnew(resting, viewOf(0, free), viewOf(1, inStep), steps), true);
  assert.equal(pullsAnew(resting, viewOf(1, free), viewOf(1, free), steps), false);
});
