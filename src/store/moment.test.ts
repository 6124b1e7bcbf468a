/** How far apart two moments are, whatever clocks do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { msBetween, presentMoment } from "./moment.js";

test("on one machine the time of day does not count, on two nothing else does", () => {
  const from = { boot: "a", sinceBootMs: 1000, timeMs: 5_000_000 };
  assert.equal(msBetween(from, { boot: "a", sinceBootMs: 3500, timeMs: 0 }), 2500);
  assert.equal(msBetween(from, { boot: "b", sinceBootMs: 0, timeMs: 5_004_000 }), 4000);
  assert.equal(msBetween(from, { boot: "b", sinceBootMs: 9000, timeMs: 4_000_000 }), 0);
  const nowhere = { ...from, boot: "" };
  assert.equal(msBetween(nowhere, { ...nowhere, sinceBootMs: 0, timeMs: 5_000_007 }), 7);
  const [first, second] = [presentMoment(), presentMoment()];
  assert.ok(msBetween(first, second) >= 0 && msBetween(first, second) < 60_000);
});
