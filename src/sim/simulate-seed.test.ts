/** Whole clusters of the hosts of production in virtual time, with faults drawn by seed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { modes } from "../core/sync/modes.js";
import { drawSchedule } from "./schedule.js";
import { simulateSchedule, simulateSeed } from "./simulate-seed.js";
import { seedsText, simulateSeeds } from "./simulate-seeds.js";
import { simulatedTimes } from "./simulated-cluster.js";
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

test("only a run that had all its workers all the time is compared with an unbroken one", async () => {
  const schedule = drawSchedule("bsp", 3, { faultsMax: 0 });
  const [part] = schedule.parts;
  const spec = { ...part!.spec, workersMax: 2, epochs: 3, batchSize: 1, maxSteps: null };
  const simulate = (lateMs: readonly number[]) =>
    simulateSchedule({
      ...schedule,
      parts: [{ ...part!, spec, lateMs, interruptMs: null, failedSaves: 0, refusals: 0 }],
    });
  const startMs = simulatedTimes.startTimeoutMs;
  const cases = [
    { lateMs: [0, 0], isCompared: true },
    { lateMs: [0, startMs / 2], isCompared: true },
    { lateMs: [0, startMs + 50], isCompared: false },
    { lateMs: [0, startMs * 10], isCompared: false },
  ];
  for (const { lateMs, isCompared } of cases) {
    const verdict = await simulate(lateMs);
    const about = `late by ${lateMs} ms: ${verdict.outcomes}`;
    assert.equal(verdict.outcomes.at(-1)?.startsWith("done"), true, about);
    assert.deepEqual(verdict.violations, [], about);
    assert.equal(verdict.isCompared, isCompared, about);
  }
});
