/** The pool's account, walked by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IdSource } from "../../protocol/ids.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { idleWorker } from "../../protocol/statistics.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { paceOf } from "../sync/modes.js";
import { BatchPool, type DealtAssignment, type PoolSnapshot } from "./batch-pool.js";
import { RunAccount } from "./run-account.js";

const both = [0, 1];

function poolOf(extra: Partial<RunSpec> = {}): BatchPool {
  const spec: RunSpec = {
    ...sampleSpec,
    feed: "leased",
    trainExamples: 10,
    batchSize: 4,
    ...extra,
  };
  const pool = new BatchPool(spec, paceOf(spec.protocol));
  pool.open();
  return pool;
}

function shown(dealt: DealtAssignment | null): string {
  if (dealt === null) return "nothing";
  const { assignment, leftBy } = dealt;
  const left = leftBy === null ? "" : `, left by ${leftBy}`;
  const { epoch, start, end, firstStep } = assignment;
  return `${epoch}: ${start} to ${end} in step ${firstStep}${left}`;
}

test("batches are dealt in the order of their positions, the last with what is left", () => {
  const pool = poolOf();
  assert.equal(shown(pool.deal(0, 0, both)), "0: 0 to 4 in step 0");
  assert.equal(shown(pool.deal(1, 0, both)), "0: 4 to 8 in step 0");
  assert.equal(pool.finish(0, 1, 0, 0), 0);
  assert.equal(shown(pool.deal(0, 1, both)), "0: 8 to 10 in step 1");
  assert.equal(pool.finish(1, 2, 0, 0), 0);
  assert.equal(shown(pool.deal(1, 1, both)), "nothing");
  assert.ok(!pool.usedUp, "a batch is still out");
  assert.equal(pool.finish(0, 3, 0, 0), 0);
  assert.ok(pool.usedUp);
  assert.equal(pool.stepOf(0), 2);
});

test("a lost worker's batch is used if a chunk used it, else it is dealt before all others", () => {
  for (const [lastStep, examples, next] of [
    [4, 0, "0: 0 to 4 in step 6, left by 0"],
    [5, 4, "0: 4 to 8 in step 6"],
  ] as const) {
    const pool = poolOf();
    pool.deal(0, 5, both);
    assert.deepEqual(pool.lose(0, lastStep), { epoch: 0, examples });
    assert.equal(pool.lose(0, lastStep), null, "it has no other");
    assert.equal(shown(pool.deal(1, 6, both)), next);
  }
});

test("an assignment that is not, or no longer, a worker's is nobody's", () => {
  const pool = poolOf();
  pool.deal(0, 0, both);
  assert.equal(pool.finish(1, 1, 0, 0), null);
  assert.equal(pool.finish(0, 8, 0, 0), null);
  assert.equal(pool.refuse(1, 1), null);
  pool.lose(0, -1);
  assert.equal(pool.finish(0, 1, 0, 0), null);
});

test("what was not begun before a rest is dealt again, and nobody left it", () => {
  const pool = poolOf();
  pool.deal(0, 3, both);
  pool.finish(0, 1, 4, 0);
  pool.restsBefore(0, 3);
  assert.equal(shown(pool.deal(1, 3, both)), "0: 0 to 4 in step 3");
});

test("a refused batch is for others while there is one who has not refused it", () => {
  const pool = poolOf();
  pool.deal(0, 0, both);
  assert.deepEqual(pool.refuse(0, 1), { epoch: 0, range: { start: 0, end: 4 }, refusals: 1 });
  assert.equal(shown(pool.deal(0, 0, both)), "0: 4 to 8 in step 0");
  assert.equal(shown(pool.deal(1, 0, both)), "0: 0 to 4 in step 0, left by 0");
  assert.equal(pool.refuse(1, 3)?.refusals, 2);
  pool.finish(0, 2, 0, 0);
  assert.equal(shown(pool.deal(0, 1, both)), "0: 0 to 4 in step 1, left by 1");
  assert.equal(pool.refuse(0, 4)?.refusals, 3);
});

test("empty assignments take a step and no examples", () => {
  const pool = poolOf();
  const { start, end, firstStep, lastStep, id } = pool.dealEmpty(1, 8);
  assert.deepEqual([start, end, firstStep, lastStep], [10, 10, 8, 9]);
  assert.deepEqual(pool.lose(1, 8), { epoch: 0, examples: 0 });
  assert.equal(id, 1);
  assert.equal(pool.firstStepOf(), 9);
});

test("the steps a run may take bound its pushes where nobody keeps step", () => {
  const asp = { mode: "asp", staleness: { rule: "none", scale: 0, floor: 0, max: 0 } } as const;
  const pool = poolOf({ protocol: asp, epochs: 9, maxSteps: 5 });
  for (const step of [0, 1, 2]) {
    const dealt = pool.deal(0, step, [0]);
    pool.finish(0, dealt!.assignment.id, 0, 0);
  }
  assert.ok(pool.canOpen);
  assert.equal(pool.open(), 1);
  assert.equal(shown(pool.deal(0, 3, [0])), "1: 0 to 4 in step 3");
  pool.finish(0, 4, 0, 0);
  assert.equal(shown(pool.deal(0, 4, [0])), "1: 4 to 8 in step 4");
  pool.finish(0, 5, 0, 0);
  assert.equal(shown(pool.deal(0, 5, [0])), "nothing");
  assert.ok(pool.usedUp && !pool.canOpen);
});

test("a kept account goes on where it stood, with what was out counted as left", () => {
  const pool = poolOf({ epochs: 2 });
  pool.deal(0, 0, both);
  pool.deal(1, 0, both);
  pool.finish(1, 2, 0, 0);
  const kept = JSON.parse(JSON.stringify(pool.snapshot())) as PoolSnapshot;
  const left = [{ start: 0, end: 4, leftBy: null }];
  assert.deepEqual(kept, {
    pools: [{ epoch: 0, next: 8, end: 10, left }],
    nextStep: 1,
  });
  const spec: RunSpec = {
    ...sampleSpec,
    feed: "leased",
    trainExamples: 10,
    batchSize: 4,
    epochs: 2,
  };
  const again = new BatchPool(spec, paceOf(spec.protocol), kept);
  assert.equal(again.firstStepOf(), 1);
  assert.equal(shown(again.deal(3, 1, [3])), "0: 0 to 4 in step 1");
  assert.equal(shown(again.deal(4, 1, [3])), "0: 8 to 10 in step 1");
});

test("all of it, with what is out, goes on elsewhere as if it had never been anywhere else", () => {
  const pool = poolOf({ trainExamples: 20 });
  pool.begin(0, 3);
  pool.begin(1, 2);
  const [first, second] = [pool.deal(0, 3, both)!, pool.deal(1, 2, both)!];
  pool.refuse(1, second.assignment.id);
  const kept = JSON.parse(JSON.stringify(pool.record()));
  const spec: RunSpec = { ...sampleSpec, feed: "leased", trainExamples: 20, batchSize: 4 };
  const again = new BatchPool(spec, paceOf(spec.protocol), kept, new IdSource(2));
  assert.deepEqual(again.record(), kept);
  assert.deepEqual(again.assignmentOut(0), first.assignment);
  assert.equal(again.assignmentOut(1), null);
  assert.equal(shown(again.deal(1, 2, both)), "0: 8 to 12 in step 2", "0 has not refused 4 to 8");
  assert.equal(again.finish(0, first.assignment.id, 0, 0), 0);
  assert.equal(shown(again.deal(0, 4, both)), "0: 4 to 8 in step 4, left by 1");
});

test("one that has passed over the step of its batch is dealt that for a later step", () => {
  const pool = poolOf();
  const account = new RunAccount(pool, null);
  const { assignment } = pool.deal(0, 4, both)!;
  // Behind a step that went on without it, it stands past the step that the batch was for.
  const counts = { examples: 0, skipped: 4, dropped: 0, lossSum: 0, correct: 0, seconds: 0 };
  const statistics = { ...idleWorker, clock: 6 };
  account.done(0, { assignment: assignment.id, ...counts, statistics });
  assert.equal(shown(pool.deal(0, pool.stepOf(0), both)), "0: 0 to 4 in step 6");
});
