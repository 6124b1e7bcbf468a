/** What a shard promises, over many seeds and sizes of a simulated room. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Protocol, StalenessRule } from "../../protocol/run-spec.js";
import { judgeStaleness } from "../../protocol/staleness.js";
import { examplesOf, type Plan, Simulation, upTo } from "../testing/shard-simulation.js";

const sizes = {
  seed: fc.nat(),
  workers: fc.integer({ min: 1, max: 4 }),
  servers: fc.integer({ min: 1, max: 3 }),
  chunks: fc.integer({ min: 1, max: 4 }),
  steps: fc.integer({ min: 1, max: 6 }),
};
const calm = { breaks: false, removals: false, nonfinite: false, idle: false, later: false };
const bsp: Protocol = { mode: "bsp" };
const rule: StalenessRule = { rule: "scale+reject", scale: 0.1, floor: 0.1, max: 2 };

/** Checks a property of simulations over many seeds and sizes. */
function forAll(name: string, extra: Partial<Plan>, check: (plan: Plan) => void): void {
  test(name, () => {
    const plans = fc.record(sizes).map((size) => ({ protocol: bsp, ...calm, ...size, ...extra }));
    fc.assert(fc.property(plans, check), { seed: 11, numRuns: 150 });
  });
}

/** How often each push was applied to a chunk. */
function timesApplied(simulation: Simulation, chunk: number): Map<string, number> {
  const times = new Map<string, number>();
  for (const { labels } of simulation.history[chunk]!) {
    for (const label of labels) times.set(label, (times.get(label) ?? 0) + 1);
  }
  return times;
}

/** The living finished, their pushes count once everywhere, nobody's twice; no slot is lost. */
function assertComplete(simulation: Simulation, rejectedToo = false): void {
  const { plan } = simulation;
  for (const worker of simulation.workers) {
    if (worker.alive) assert.equal(worker.step, plan.steps, `worker ${worker.rank} finished`);
  }
  upTo(plan.chunks).forEach((chunk) => {
    const times = timesApplied(simulation, chunk);
    for (const [label, count] of times) assert.equal(count, 1, `${label} on chunk ${chunk}`);
    for (const { rank, alive } of simulation.workers) {
      for (const step of upTo(plan.steps)) {
        if (!alive || rejectedToo || examplesOf(plan, rank, step) === 0) continue;
        assert.equal(times.get(`${rank}@${step}`), 1, `${rank}@${step} on chunk ${chunk}`);
      }
    }
  });
  assert.equal(simulation.leakedSlots(), 0);
}

forAll(
  "BSP applies the same whatever the order of arrival and the servers",
  { idle: true },
  (plan) => {
    const one = new Simulation(plan).run();
    assertComplete(one);
    const other = new Simulation({ ...plan, seed: plan.seed + 1, servers: 1, breaks: true }).run();
    assert.deepEqual(one.history, other.history);
    for (const { labels } of one.history.flat()) {
      assert.equal(new Set(labels.map((label) => label.split("@")[1])).size, 1, "one step a fold");
      assert.deepEqual(labels, [...labels].sort(), "in ascending rank");
    }
  },
);

forAll("BSP ends alike when entries are committed later", { idle: true }, (plan) => {
  const atOnce = new Simulation(plan).run();
  const later = new Simulation({ ...plan, later: true, breaks: true }).run();
  assertComplete(later);
  assert.deepEqual(atOnce.history, later.history);
});

forAll("pushes that arrive again change nothing in BSP", { breaks: true, idle: true }, (plan) => {
  assertComplete(new Simulation(plan).run());
});

for (const [protocol, later] of [bsp, { mode: "ssp", staleness: 1 }].flatMap((one: Protocol) =>
  [false, true].map((later) => [one, later] as const),
)) {
  const faults = { protocol, later, breaks: true, removals: true, nonfinite: !later };
  const when = later ? ", also with entries that are not committed" : "";
  forAll(`removing workers at any moment never blocks ${protocol.mode}${when}`, faults, (plan) => {
    const simulation = new Simulation(plan).run();
    assertComplete(simulation);
    const leadMax = protocol.mode === "ssp" ? Number(protocol.staleness) : 0;
    assert.ok(simulation.leadMax <= leadMax, `lead ${simulation.leadMax}`);
  });
}

test("workers are removed, links break and NaN is refused in the schedules above", () => {
  let removed = 0;
  let nonfinite = 0;
  for (let seed = 0; seed < 20; seed++) {
    const size = { seed, workers: 4, servers: 2, chunks: 3, steps: 6 };
    const faults = { ...calm, breaks: true, removals: true, nonfinite: true };
    const simulation = new Simulation({ ...size, ...faults, protocol: bsp }).run();
    removed += simulation.workers.filter(({ alive }) => !alive).length;
    nonfinite += simulation.nonfinite;
  }
  assert.ok(removed > 10 && nonfinite > 20, `${removed} removed, ${nonfinite} refused`);
});

for (const staleness of [0, 1, 3]) {
  const protocol: Protocol = { mode: "ssp", staleness };
  forAll(
    `SSP(${staleness}) never lets a worker lead by more`,
    { protocol, breaks: true },
    (plan) => {
      const simulation = new Simulation(plan).run();
      assertComplete(simulation);
      assert.ok(simulation.leadMax <= staleness, `lead ${simulation.leadMax}`);
    },
  );

  test(`SSP(${staleness}) lets a worker lead by as much`, () => {
    const leads = upTo(30).map((seed) => {
      const size = { seed, workers: 4, servers: 2, chunks: 2, steps: 6 };
      return new Simulation({ ...calm, ...size, protocol }).run().leadMax;
    });
    assert.equal(Math.max(...leads), staleness);
  });
}

const asp: Protocol = { mode: "asp", staleness: rule };

forAll("ASP's counts agree with what its workers were told", { protocol: asp }, (plan) => {
  const simulation = new Simulation(plan).run();
  assertComplete(simulation, true);
  const counts = simulation.shards.map((shard) => shard.statistics());
  const sum = (pick: (count: (typeof counts)[number]) => number) =>
    counts.reduce((total, count) => total + pick(count), 0);
  const stalenesses = simulation.stalenessesSeen.filter((staleness) => staleness <= rule.max);
  assert.deepEqual([...simulation.stalenesses].sort(), [...stalenesses].sort());
  assert.equal(
    sum((count) => count.stalenessCount),
    stalenesses.length,
  );
  assert.equal(
    sum((count) => count.stalenessSum),
    stalenesses.reduce((total, staleness) => total + staleness, 0),
  );
  const stalenessMax = Math.max(0, ...stalenesses);
  assert.equal(Math.max(...counts.map((count) => count.stalenessMax)), stalenessMax);
  assert.equal(
    sum((count) => count.rejected),
    simulation.rejected,
  );
  const asked = plan.workers * plan.steps;
  assert.equal(simulation.stalenessesSeen.length, asked);
  assert.equal(stalenesses.length + simulation.rejected, asked);
  const updates = simulation.history.flat();
  assert.equal(
    sum((count) => count.updates),
    updates.length,
  );
  const scales = stalenesses.map((staleness) => judgeStaleness(rule, staleness).scale).sort();
  for (const updates of simulation.history) {
    assert.deepEqual(updates.map(({ scale }) => scale).sort(), scales, "the same on every chunk");
  }
  counts.forEach((count, server) => {
    const own = simulation.history.filter((_, chunk) => chunk % plan.servers === server);
    assert.equal(count.pushes, Math.max(0, ...own.map((applied) => applied.length)));
    assert.equal(count.versionMax, Math.max(0, ...own.map((applied) => applied.length)));
  });
});

forAll("ASP applies no push twice when links break and workers go", { protocol: asp }, (plan) => {
  const simulation = new Simulation({ ...plan, breaks: true, removals: true }).run();
  assertComplete(simulation, true);
});
