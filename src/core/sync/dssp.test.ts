/** Where the bound of DSSP lies: by what the last steps of the fastest and the slowest took. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { View } from "../../protocol/view.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { furtherSteps } from "./dssp.js";
import { paceOf, protocolProblem } from "./modes.js";
import type { ChunkProgress, WorkerPulse } from "./pace.js";

test("the fastest takes as many more steps as let it wait the least", () => {
  const pulse = (pushedMs: number, tookMs: number): WorkerPulse => ({ pushedMs, tookMs });
  const table: [WorkerPulse, WorkerPulse, number, number, number][] = [
    // The slowest pushes at 130 again: three steps of 10 ms from 100 on end there.
    [pulse(100, 10), pulse(95, 35), 5, 3, 0],
    // No more than there may be: after two it waits for 10 ms.
    [pulse(100, 10), pulse(95, 35), 2, 2, 10],
    // It is about to push, so waiting is the least.
    [pulse(100, 30), pulse(70, 31), 3, 0, 1],
    // Of two that are alike the fewer steps.
    [pulse(100, 10), pulse(100, 10), 3, 1, 0],
    [pulse(100, 10), pulse(60, 0), 3, 0, 0],
  ];
  for (const [fast, slow, most, more, waitMs] of table) {
    assert.deepEqual(furtherSteps(fast, slow, most), { more, waitMs });
  }
});

test("a step is allowed up to LOW, never above HIGH, and between by the controller", () => {
  const pace = paceOf({ mode: "dssp", stalenessMin: 1, staleness: 3 });
  const workers = [0, 1].map((rank) => ({ rank, incarnation: 10 + rank, fromStep: 0 }));
  const view = { workers } as unknown as View;
  const progress = (clocks: readonly number[], pulses: readonly (WorkerPulse | null)[]) =>
    ({
      clockOf: ({ rank }: { rank: number }) => clocks[rank]!,
      pulseOf: (rank: number) => pulses[rank]!,
    }) as unknown as ChunkProgress;
  const known = [
    { pushedMs: 100, tookMs: 10 },
    { pushedMs: 95, tookMs: 25 },
  ];
  assert.ok(pace.mayStart(view, progress([5, 4], [null, null]), 5, 0).allowed);
  const unknown = pace.mayStart(view, progress([6, 4], [null, null]), 6, 0);
  assert.equal(unknown.reason, "waiting for worker 1: step 4 of 6, at most 1 to 3 behind");
  assert.ok(pace.mayStart(view, progress([6, 4], known), 6, 0).allowed);
  assert.ok(!pace.mayStart(view, progress([8, 4], known), 8, 0).allowed, "4 are above HIGH");
  const soon = [known[0]!, { pushedMs: 80, tookMs: 21 }];
  assert.equal(
    pace.mayStart(view, progress([6, 4], soon), 6, 0).reason,
    "waiting for worker 1: step 4 of 6, at most 1 to 3 behind: 1.0 ms are the least of 0 to 2 " +
      "more steps",
  );
  assert.ok(!pace.mayStart(view, progress([7, 4], known), 6, 0).allowed, "another is further");
});

test("a worker's first step may lie ahead of those who rest and wait for it", () => {
  const pace = paceOf({ mode: "dssp", stalenessMin: 0, staleness: 1 });
  const workers = [0, 15].map((fromStep, rank) => ({ rank, incarnation: 10 + rank, fromStep }));
  const view = { workers } as unknown as View;
  const progress = {
    clockOf: ({ rank }: { rank: number }) => [14, 15][rank]!,
    pulseOf: () => null,
  } as unknown as ChunkProgress;
  assert.ok(pace.mayStart(view, progress, 15, 1).allowed);
  assert.ok(!pace.mayStart(view, progress, 16, 1).allowed, "2 are above HIGH");
});

test("bounds that cross are no protocol", () => {
  const problemOf = (stalenessMin: number, staleness: number) =>
    protocolProblem({ mode: "dssp", stalenessMin, staleness });
  assert.equal(problemOf(2, 2), null);
  assert.match(problemOf(3, 2) ?? "", /stalenessMin is 3, above staleness, which is 2/);
  assert.match(problemOf(-1, 2) ?? "", /stalenessMin is -1/);
});

test("beside a slow worker the others are ahead by more than LOW and never more than HIGH", () => {
  const protocol = { mode: "dssp", stalenessMin: 1, staleness: 4 };
  const spec = specOf({ protocol, workersMax: 3, trainExamples: 240, epochs: 1, feed: "leased" });
  const slow = { rank: 2, factor: 5 };
  const cluster = new ModelCluster({ seed: 3, spec, chunks: 3, slow }).start().run();
  assert.equal(cluster.result.outcome, "done", cluster.result.reason);
  assert.ok(cluster.leadMax > 1 && cluster.leadMax <= 4, `ahead by ${cluster.leadMax}`);
  assert.deepEqual(
    cluster.result.epochs.map(({ examples, skipped }) => [examples, skipped]),
    [[240, 0]],
  );
});
