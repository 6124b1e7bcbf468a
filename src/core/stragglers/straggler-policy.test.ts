import assert from "node:assert/strict";
import { test } from "node:test";
import { type StragglerPicture, stragglerPolicies } from "./straggler-policy.js";

const slow = { rank: 2, throughput: 10, reason: "worker-2 straggles: 10 examples/s" };
const slower = { rank: 3, throughput: 4, reason: "worker-3 straggles: 4 examples/s" };
const calm: StragglerPicture = {
  ...{ inStep: true, isShareMet: false, stragglers: [], least: 1, aside: [] },
  active: [0, 1, 2, 3],
};

test("without a policy nothing follows", () => {
  assert.equal(stragglerPolicies.none.decide({ ...calm, stragglers: [slow] }), null);
});

test("greedy leaves the synchronous part while one straggles, and comes back to its rest", () => {
  const { decide } = stragglerPolicies.greedy;
  assert.equal(decide(calm), null);
  const left = decide({ ...calm, stragglers: [slow] });
  assert.deepEqual(left, {
    ...{ kind: "switch", to: "asp" },
    reason: `greedy leaves the synchronous part: ${slow.reason}`,
  });
  assert.equal(decide({ ...calm, inStep: false, stragglers: [slow] }), null);
  const back = decide({ ...calm, inStep: false });
  assert.equal(back?.kind === "switch" && back.to, "bsp");
});

test("greedy leaves a plan alone whose synchronous share is done", () => {
  const { decide } = stragglerPolicies.greedy;
  for (const inStep of [true, false]) {
    assert.equal(decide({ ...calm, inStep, isShareMet: true }), null);
    assert.equal(decide({ ...calm, inStep, isShareMet: true, stragglers: [slow] }), null);
  }
});

test("elastic sets all stragglers aside, and takes them back when nobody waits any more", () => {
  const { decide } = stragglerPolicies.elastic;
  assert.equal(decide(calm), null);
  assert.deepEqual(decide({ ...calm, stragglers: [slow, slower] }), {
    ...{ kind: "set aside", ranks: [2, 3] },
    reason: `elastic sets worker-2, worker-3 aside: ${slower.reason}; ${slow.reason}`,
  });
  const without = { ...calm, active: [0, 1], aside: [2, 3] };
  assert.equal(decide(without), null);
  assert.deepEqual(decide({ ...without, inStep: false }), {
    ...{ kind: "restore", ranks: [2, 3] },
    reason: "elastic takes worker-2, worker-3 back: workers wait for each other no more",
  });
  assert.equal(decide({ ...calm, inStep: false, stragglers: [slow] }), null);
});

test("elastic leaves as many workers as must be, the slowest going first", () => {
  const { decide } = stragglerPolicies.elastic;
  const tight = { ...calm, least: 3, stragglers: [slow, slower] };
  assert.deepEqual(decide(tight), {
    ...{ kind: "set aside", ranks: [3] },
    reason: `elastic sets worker-3 aside: ${slower.reason}`,
  });
  assert.equal(decide({ ...tight, least: 4 }), null);
});

test("elastic takes stragglers back where too few are left without them", () => {
  const decision = stragglerPolicies.elastic.decide({
    ...{ ...calm, active: [0], aside: [2, 3], least: 2 },
  });
  assert.deepEqual(decision, {
    ...{ kind: "restore", ranks: [2, 3] },
    reason: "elastic takes worker-2, worker-3 back: workers left: 1, and 2 must be",
  });
});
