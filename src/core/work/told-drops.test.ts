/** What of a worker's rejected examples is of the assignment that is out when it is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { paceOf } from "../sync/modes.js";
import { specOf } from "../testing/model-run.js";
import { Cursor } from "./cursor.js";

const protocol = { mode: "ringmaster", delayBound: 2 };
const spec = specOf({ protocol, trainExamples: 80, batchSize: 4, epochs: 3, workersMax: 2 });
const pace = paceOf(protocol);

/** An account whose rank 0 has told of 8 examples in vain, and has its second epoch's share out. */
function inSecondEpoch(): Cursor {
  const cursor = new Cursor(spec, pace);
  cursor.begin(0, 0);
  for (const inVain of [8, null]) {
    const plan = cursor.planNext([0, 1]);
    const { id } = cursor.deal(plan, 0, Number.POSITIVE_INFINITY)!;
    if (inVain !== null) cursor.finish(0, id, 0, inVain);
  }
  return cursor;
}

test("what a worker had told before it was lost is not taken off again", () => {
  const cursor = inSecondEpoch();
  // Of its second share it took five steps, two of which were rejected.
  assert.deepEqual(cursor.lose(0, 14, 16), { epoch: 1, examples: 20 - 8 });
  const plan = cursor.openEpochs()[1]!;
  assert.equal(plan.shares[0]!.next, 20);
  assert.equal(cursor.skipped(plan), 8 + 20 + 40, "rejected, not taken, and the other's");
});

test("a record keeps what was told, and a life or a phase begins without", () => {
  const restored = new Cursor(spec, pace, JSON.parse(JSON.stringify(inSecondEpoch().record())));
  assert.deepEqual(restored.lose(0, 14, 16), { epoch: 1, examples: 12 });
  const next = inSecondEpoch();
  next.begin(0, 10);
  assert.deepEqual(next.lose(0, 14, 8), { epoch: 1, examples: 12 });
  const switched = inSecondEpoch();
  switched.keepPace(pace, 10);
  assert.deepEqual(switched.lose(0, 14, 8), { epoch: 1, examples: 12 });
});

test("no more is taken off than the assignment has", () => {
  assert.deepEqual(inSecondEpoch().lose(0, 10, 100), { epoch: 1, examples: 0 });
  assert.deepEqual(inSecondEpoch().lose(0, 9, 100), { epoch: 1, examples: 0 });
  assert.deepEqual(inSecondEpoch().lose(0, 14, 3), { epoch: 1, examples: 20 });
});
