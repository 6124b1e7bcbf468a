/**
 * Thousands of simulated clusters of each mode: what `make test` does with some tens of seeds.
 * `make test-long` runs it; it takes some minutes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { modes } from "../dist/core/sync/modes.js";
import { seedsText, simulateSeeds } from "../dist/sim/simulate-seeds.js";

const seedsOfMode = 3000;

for (const { name } of modes()) {
  test(`${name}: what must hold does in ${seedsOfMode} simulated runs`, async () => {
    const report = await simulateSeeds({ mode: name, from: 1000, count: seedsOfMode });
    assert.deepEqual(report.kinds, [], seedsText(report));
  });
}
