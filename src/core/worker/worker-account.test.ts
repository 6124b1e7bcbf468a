import assert from "node:assert/strict";
import { test } from "node:test";
import { WorkerAccount } from "./worker-account.js";

test("numbers stand at their epochs, and an epoch without one has none", () => {
  const account = new WorkerAccount();
  account.evaluated(null, 10);
  assert.deepEqual([account.lastAccuracyPercent, account.record().accuraciesPercent], [10, []]);
  account.spent(1, 2);
  account.spent(1, 3);
  account.evaluated(1, 50);
  account.evaluated(1, 60);
  account.spent(3, 4);
  account.evaluated(3, 70);
  const { epochSeconds, accuraciesPercent } = account.record();
  assert.deepEqual(epochSeconds, [null, 5, null, 4]);
  assert.deepEqual(accuraciesPercent, [null, 60, null, 70]);
  assert.equal(account.lastAccuracyPercent, 70);
});
