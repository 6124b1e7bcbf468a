/** Coordinators that stand by, in virtual time: whatever ends the one that leads costs nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { modes } from "../../core/sync/modes.js";
import type { Fault } from "../fault-plan.js";
import { drawSchedule } from "../schedule.js";
import { type SeedVerdict, simulateSchedule } from "../simulate-seed.js";

const leadMs = 2000;

/** A run with two standbys in which nothing goes wrong but this. */
function simulated(mode: string, faults: readonly Fault[]): Promise<SeedVerdict> {
  const { parts, ...run } = drawSchedule(mode, 3, { faultsMax: 0 });
  const [part] = parts;
  const cluster = { workersMax: 3, servers: 2, replicas: 2, epochs: 3, batchSize: 2 };
  const evaluateEvery = { unit: "epoch", count: 1 } as const;
  const checkpointEvery = { unit: "step", count: 6 } as const;
  const spec = { ...part!.spec, ...cluster, evaluateEvery, checkpointEvery, maxSteps: 14 };
  const calm = { interruptMs: null, failedSaves: 0, refusals: 0, lateMs: [0, 0, 0] };
  const standing = { standbys: 2, leadMs, faults };
  const struck = { ...run, parts: [{ ...part!, ...calm, ...standing, spec }] };
  return simulateSchedule(struck, { trace: "story" });
}

function leads({ trace }: SeedVerdict): string[] {
  return trace.filter((line) => /: leads$/.test(line));
}

/** What a leader is about to do, or has just done, when it is struck. */
const moments = [
  ["persist", 2, 0],
  ["view", 3, -1],
  ["write", 1, 0],
  ["stop", 1, -1],
] as const;

const strikes = [
  { kind: "kill", isSilent: true, restartMs: null, lateMs: 0 },
  { kind: "freeze", durationMs: 2.5 * leadMs, isSuspended: true },
] as const;

for (const { name } of modes()) {
  test(`${name}: a leader that ends or is suspended costs nothing`, async () => {
    for (const [message, nth, afterMs] of moments) {
      for (const strike of strikes) {
        const about = { kind: "moment", atMs: 0, role: "coordinator", message, nth } as const;
        const verdict = await simulated(name, [{ ...about, afterMs, strike }]);
        const where = `${strike.kind} at ${message} ${nth}`;
        assert.deepEqual(verdict.violations, [], where);
        assert.match(verdict.outcomes.join(), /^done /, where);
        assert.ok(leads(verdict).length > 1, `${where}: another leads`);
      }
    }
  });
}

test("a leader that is cut off from the store ends, and another leads", async () => {
  const node = "coordinator";
  const cut: Fault = { kind: "storeCut", atMs: 100, node, durationMs: 3 * leadMs };
  const verdict = await simulated("bsp", [cut]);
  assert.deepEqual(verdict.violations, []);
  assert.match(verdict.outcomes.join(), /^done /);
  const text = verdict.trace.join("\n");
  assert.match(text, /ends: it leads no longer: etcd has not answered for 2\.0 s/);
  assert.equal(leads(verdict).length, 2);
});

test("a store that is away for less than a lease, or loses answers, ends no lead", async () => {
  const verdict = await simulated("bsp", [
    { kind: "storeLosesAnswers", atMs: 40, count: 3 },
    { kind: "storeAway", atMs: 120, durationMs: leadMs / 3 },
  ]);
  assert.deepEqual(verdict.violations, []);
  assert.match(verdict.outcomes.join(), /^done /);
  assert.ok(verdict.isCompared);
});
