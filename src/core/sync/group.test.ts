/** How workers are divided into groups, and how long a group waits for its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { groupPace } from "./group.js";
import { paceOf, protocolProblem } from "./modes.js";

/** The groups of lives 0, 1, ... whose steps take these times. */
function dividedInto(groups: number | "auto", times: readonly number[]): string {
  const divided = groupPace(groups).groups!.divide(
    times.map((tookMs, incarnation) => ({ incarnation, tookMs })),
  );
  return divided.map((group) => group.join(" ")).join(" | ");
}

test("auto has those together who take at most 1.5 times as long as their fastest", () => {
  assert.equal(dividedInto("auto", [10, 30, 12, 15, 44]), "0 2 3 | 1 4");
  assert.equal(dividedInto("auto", [10, 14, 19]), "0 1 | 2");
  assert.equal(dividedInto("auto", [7]), "0");
  assert.equal(dividedInto("auto", []), "");
});

test("a number of groups cuts where the next takes longer by the largest factors", () => {
  assert.equal(dividedInto(2, [10, 30, 12, 33]), "0 2 | 1 3");
  assert.equal(dividedInto(3, [10, 30, 12, 33, 90]), "0 2 | 1 3 | 4");
  assert.equal(dividedInto(1, [10, 30, 12]), "0 2 1");
  // As many as there are workers at most, while some are not measured.
  assert.equal(dividedInto(3, [20, 10]), "1 | 0");
});

test("a group waits for its workers for a step of its slowest, and for nobody then", () => {
  const { maySeal } = groupPace("auto").groups!;
  const progress = { size: 3, here: 2, sinceMs: 100, stepMs: 40 };
  const waiting = maySeal(progress, 130);
  assert.deepEqual([waiting.allowed, waiting.againMs], [false, 140]);
  assert.match(waiting.reason, /2 of 3 workers of a group are there, others have 10\.0 ms/);
  assert.ok(maySeal(progress, 140).allowed);
  assert.ok(maySeal({ ...progress, here: 3 }, 100).allowed);
  assert.equal(maySeal({ ...progress, stepMs: 1 }, 100).againMs, 120, "20 ms at least");
});

test("parameters from elsewhere are weighed", () => {
  assert.equal(protocolProblem({ mode: "group", groups: "auto" }), null);
  assert.equal(protocolProblem({ mode: "group", groups: 2 }), null);
  assert.equal(paceOf({ mode: "group", groups: 2 }).globalStep, "update");
  for (const [protocol, problem] of [
    [{ mode: "group", groups: 0 }, /groups is 0, it must be at least 1/],
    [{ mode: "group", groups: "many" }, /groups is "many", not a whole number from 0 on/],
    [{ mode: "group" }, /groups is undefined/],
    [{ mode: "group", groups: 2, grace: 3 }, /it has no parameter grace/],
  ] as const) {
    assert.match(protocolProblem(protocol) ?? "", problem);
  }
});
