/** Whole clusters of the hosts of production in virtual time, with faults drawn by seed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { modes } from "../core/sync/modes.js";
import { drawSchedule } from "./schedule.js";
import { simulateSchedule, simulateSeed } from "./simulate-seed.js";
import { seedsText, simulateSeeds } from "./simulate-seeds.js";
import { simulatedTimes } from "./simulated-cluster.js";

const seedsOfMode = 50;

for (const { name } of modes()) {
  test(`${name}: what must hold does in ${seedsOfMode} runs with faults of all kinds`, async () => {
    const report = await simulateSeeds(name, { from: 0, count: seedsOfMode });
    assert.deepEqual(report.kinds, [], seedsText(report));
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

test("a run may fail where its workers come after the time to start, and only there", async () => {
  const schedule = drawSchedule("bsp", 1);
  const [part] = schedule.parts;
  const ended = async (ms: number) => {
    const about = { faults: [], refusals: 0, interruptMs: null };
    const late = { ...part!, ...about, lateMs: part!.lateMs.map(() => ms) };
    const { outcomes, violations } = await simulateSchedule({ ...schedule, parts: [late] });
    return { outcome: outcomes[0]!.split(" ")[0], kinds: violations.map(({ kind }) => kind) };
  };
  const { startTimeoutMs } = simulatedTimes;
  assert.deepEqual(await ended(startTimeoutMs / 2), { outcome: "done", kinds: [] });
  assert.deepEqual(await ended(startTimeoutMs * 2), { outcome: "failed", kinds: [] });
});
