/** Whole clusters of the hosts of production in virtual time, with faults drawn by seed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { modes } from "../core/sync/modes.js";
import { simulateSeed } from "./simulate-seed.js";
import { seedsText, simulateSeeds } from "./simulate-seeds.js";
import { knownKinds } from "./testing/known-kinds.js";

const seedsOfMode = 50;

for (const { name } of modes()) {
  test(`${name}: what must hold does in ${seedsOfMode} runs with faults of all kinds`, async () => {
    const report = await simulateSeeds(name, { from: 0, count: seedsOfMode });
    const kinds = report.kinds.filter(({ kind }) => !knownKinds(name).includes(kind));
    assert.deepEqual(kinds, [], seedsText({ ...report, kinds }));
    assert.ok((report.outcomes.get("done") ?? 0) > seedsOfMode / 2, seedsText(report));
  });
}

test("a seed gives the same trace each time, and another seed another one", async () => {
  for (const { name } of modes()) {
    const traced = await simulateSeed(name, 5, { trace: true });
    const again = await simulateSeed(name, 5);
    assert.equal(again.hash, traced.hash);
    assert.ok(traced.trace.length > 100, `${traced.trace.length} lines`);
    assert.notEqual((await simulateSeed(name, 6)).hash, traced.hash);
  }
});

test("a run to which nobody comes in time fails, and that is as it should be", async () => {
  const { outcomes, violations } = await simulateSeed("ssp", 1831);
  assert.match(outcomes.join("; "), /^failed \(the time to start is over and .* 0 of 1 workers/);
  assert.deepEqual(violations, []);
});
