import assert from "node:assert/strict";
import { test } from "node:test";
import { ChunkState } from "./chunk-state.js";

test("what lies before the phase counts as sealed, without an entry for each step", () => {
  const state = new ChunkState(0, { generation: 0, phaseFromStep: 20 });
  assert.equal(state.sealedStep, 19);
  state.restore({ version: 30, examples: 120, sealedStep: 24, applied: [] });
  assert.equal(state.sealedStep, 24);
  state.phaseFromStep = 31;
  assert.equal(state.sealedStep, 30);
});
