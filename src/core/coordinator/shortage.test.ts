import assert from "node:assert/strict";
import { test } from "node:test";
import { Shortage } from "./shortage.js";

const spec = { workersMin: 3, workersMax: 4 };
const patience = { waitForWorkersMs: 600_000, startTimeoutMs: 60_000 };

/** These ranks are ready, and these prepare themselves. */
function workers(ready: readonly number[], preparing: readonly number[] = []) {
  const all = new Set([...ready, ...preparing]);
  return { ready: ready.length, preparing: preparing.length, has: (rank: number) => all.has(rank) };
}

test("below the minimum it is said once how many are missing, and for how long is waited", () => {
  const shortage = new Shortage(patience);
  assert.deepEqual(shortage.judge(spec, workers([0, 1, 2]), 0), { news: null, ending: null });
  const first = shortage.judge(spec, workers([0]), 1000);
  const news = "1 worker is there and at least 3 must be: training waits up to 10 min for 2 more";
  assert.deepEqual(first, { news, ending: null });
  assert.deepEqual(shortage.judge(spec, workers([0]), 600_999), { news: null, ending: null });
  const ending = "1 worker is left and at least 3 must be, after 10 min of waiting";
  assert.deepEqual(shortage.judge(spec, workers([0]), 601_000), { news: null, ending });
});

test("a shortage that is over begins anew with the next one", () => {
  const shortage = new Shortage(patience);
  assert.ok(shortage.judge(spec, workers([0, 1]), 0).news);
  shortage.judge(spec, workers([0, 1, 2]), 599_000);
  assert.ok(shortage.judge(spec, workers([1, 2]), 599_500).news);
  assert.equal(shortage.judge(spec, workers([1, 2]), 1_199_000).ending, null);
});

test("those who have come and prepare themselves have the time to start besides", () => {
  const shortage = new Shortage(patience);
  shortage.judge(spec, workers([0, 1]), 0);
  assert.equal(shortage.judge(spec, workers([0, 1], [2]), 650_000).ending, null);
  assert.match(shortage.judge(spec, workers([0, 1], [2]), 660_000).ending!, /10 min of waiting/);
});

test("with no time to wait it ends at once, unless enough prepare themselves", () => {
  const shortage = new Shortage({ waitForWorkersMs: 0, startTimeoutMs: 60_000 });
  const { news, ending } = shortage.judge(spec, workers([0, 1]), 0);
  assert.deepEqual([news, ending], [null, "2 workers are left and at least 3 must be"]);
  assert.equal(shortage.judge(spec, workers([0, 1], [3]), 10).ending, null);
});

test("nobody is waited for once a supervisor has given up too many ranks", () => {
  const shortage = new Shortage(patience);
  shortage.giveUp(0);
  assert.equal(shortage.judge(spec, workers([2, 3]), 0).ending, null, "rank 1 may come");
  shortage.giveUp(1);
  const ending = "2 workers are left and at least 3 must be";
  assert.deepEqual(shortage.judge(spec, workers([2, 3]), 5), { news: null, ending });
  // A process that comes all the same counts.
  shortage.expect(1);
  assert.equal(shortage.judge(spec, workers([2, 3], [1]), 10).ending, null);
});
