/** Whole clusters of the hosts of production in virtual time, with faults drawn by seed. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { modes, paceOf } from "../core/sync/modes.js";
import { casesOf, seedsOf } from "../core/testing/seeds.js";
import { simulatedTimes } from "./cluster-plan.js";
import { drawSchedule } from "./schedule.js";
import { simulateSchedule, simulateSeed } from "./simulate-seed.js";
import { seedsText, simulateSeeds } from "./simulate-seeds.js";

const seedsOfMode = 20;

for (const { name } of modes()) {
  test(`${name}: what must hold does in ${seedsOfMode} runs with faults of all kinds`, async () => {
    const report = await simulateSeeds({ mode: name, from: 0, count: seedsOfMode });
    assert.deepEqual(report.kinds, [], seedsText(report));
    assert.ok((report.outcomes.get("done") ?? 0) > seedsOfMode / 2, seedsText(report));
  });
}

test("a seed gives the same trace each time, and another seed another one", async () => {
  for (const index of seedsOf(modes().length)) {
    const { name } = modes()[index]!;
    const traced = await simulateSeed(name, 5, { trace: "all" });
    const again = await simulateSeed(name, 5);
    assert.equal(again.hash, traced.hash);
    assert.ok(traced.trace.length > 100, `${traced.trace.length} lines`);
    assert.notEqual((await simulateSeed(name, 6)).hash, traced.hash);
  }
});

test("a server without copies that is started again costs a run no bit", async () => {
  const { parts, ...run } = drawSchedule("bsp", 3, { faultsMax: 0 });
  const [part] = parts;
  const cluster = { workersMax: 2, servers: 2, replicas: 1, epochs: 3, batchSize: 1 };
  const checkpointEvery = { unit: "step", count: 4 } as const;
  const spec = { ...part!.spec, ...cluster, maxSteps: null, checkpointEvery };
  const calm = { interruptMs: null, failedSaves: 0, refusals: 0, lateMs: [0, 0] };
  for (const atMs of [100, 200, 400]) {
    const faults = [0, 1].map(
      (index) =>
        ({ kind: "kill", atMs, node: `server-${index}`, isSilent: false, restartMs: 200 }) as const,
    );
    const struck = { ...run, parts: [{ ...part!, ...calm, spec, faults }] };
    const verdict = await simulateSchedule(struck, { trace: "all" });
    assert.deepEqual(verdict.violations, []);
    assert.match(verdict.outcomes.join(), /^done /, `servers end at ${atMs} ms`);
    assert.ok(verdict.isCompared);
    assert.ok(verdict.trace.some((line) => /the run (goes back|begins anew)/.test(line)));
  }
});

const returnMoments = [
  "persist",
  "view",
  "work",
  "evaluate",
  "evaluation",
  "save",
  "write",
  "stop",
];

/** Which of these messages, and so long after it; before it where that is negative. */
const returnTurns = [
  [1, -1],
  [2, 0],
  [3, 4],
] as const;

for (const { name } of modes()) {
  test(`${name}: a coordinator that is started again at any moment costs nothing`, async () => {
    const { parts, ...run } = drawSchedule(name, 3, { faultsMax: 0 });
    const [part] = parts;
    const cluster = { workersMax: 3, servers: 2, replicas: 2, epochs: 3, batchSize: 2 };
    const evaluateEvery = { unit: "epoch", count: 1 } as const;
    const checkpointEvery = { unit: "step", count: 6 } as const;
    const spec = {
      ...part!.spec,
      ...cluster,
      evaluateEvery,
      checkpointEvery,
      maxSteps: 14,
      plan: [],
    };
    const calm = { interruptMs: null, failedSaves: 0, refusals: 0, lateMs: [0, 0, 0] };
    let returns = 0;
    for (const [index, message] of returnMoments.entries()) {
      const turns = [1, 2, 3].map((_, turn) => returnTurns[(index + turn) % 3]!);
      for (const [nth, afterMs] of casesOf(turns)) {
        const strike = { kind: "kill", isSilent: false, restartMs: 120, lateMs: 0 } as const;
        const about = { kind: "moment", atMs: 0, role: "coordinator", message, nth } as const;
        const faults = [{ ...about, afterMs, strike }];
        const struck = { ...run, parts: [{ ...part!, ...calm, spec, faults }] };
        const verdict = await simulateSchedule(struck, { trace: "story" });
        const where = `${message} ${nth}, ${afterMs} ms`;
        assert.deepEqual(verdict.violations, [], where);
        assert.match(verdict.outcomes.join(), /^done /, where);
        assert.ok(verdict.hadAllWorkers, `${where}: a worker was lost`);
        const { meetsAtBoundaries, hasDecider } = paceOf(spec.protocol);
        assert.equal(verdict.isCompared, meetsAtBoundaries && !hasDecider, where);
        returns += verdict.trace.filter((line) => /was started again, under/.test(line)).length;
      }
    }
    assert.ok(returns >= returnMoments.length / 2, `${returns} returns`);
  });
}

describe("workers that come late", () => {
  const { startTimeoutMs } = simulatedTimes;
  const cases = [
    { lateMs: [0, 0], outcome: "done", isCompared: true },
    { lateMs: [0, startTimeoutMs / 2], outcome: "done", isCompared: true },
    { lateMs: [0, startTimeoutMs + 50], outcome: "done", isCompared: false },
    { lateMs: [0, startTimeoutMs * 10], outcome: "done", isCompared: false },
    { lateMs: [startTimeoutMs * 2, startTimeoutMs + 200], outcome: "failed", isCompared: false },
  ];
  for (const { lateMs, outcome, isCompared } of cases) {
    const bits = isCompared ? "bits to be compared" : "no bits to be compared";
    test(`by ${lateMs.join(" and ")} ms: the run is ${outcome} and has ${bits}`, async () => {
      const schedule = drawSchedule("bsp", 3, { faultsMax: 0 });
      const [part] = schedule.parts;
      const spec = { ...part!.spec, workersMax: 2, epochs: 3, batchSize: 1, maxSteps: null };
      const undisturbed = { interruptMs: null, failedSaves: 0, refusals: 0 };
      const parts = [{ ...part!, ...undisturbed, spec, lateMs }];
      const verdict = await simulateSchedule({ ...schedule, parts });
      assert.deepEqual(verdict.violations, []);
      assert.match(verdict.outcomes.join(), new RegExp(`^${outcome} `));
      assert.equal(verdict.isCompared, isCompared);
    });
  }
});
