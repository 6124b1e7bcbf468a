import assert from "node:assert/strict";
import { test } from "node:test";
import { drawFaults, faultSentence, scenarios } from "./fault-plan.js";

const planOf = (name: string, seed = 1) => {
  const scenario = scenarios.find((one) => one.name === name)!;
  return drawFaults({ scenario, servers: 3, workers: 4, faults: 400, durationMs: 600_000, seed });
};

test("the seed and the mode alone say which faults come, and when they are due", () => {
  assert.deepEqual(planOf("asp"), planOf("asp"));
  assert.notDeepEqual(planOf("asp"), planOf("asp", 2));
  const due = planOf("bsp").map(({ dueMs }) => dueMs);
  assert.deepEqual(
    due,
    [...due].sort((left, right) => left - right),
  );
  assert.ok(due.at(-1)! < 600_000);
});

test("everybody is struck in every way, and workers as their mode can bear", () => {
  const kinds = (mode: string, role: string) => {
    const of = planOf(mode).filter(({ target }) => target.role === role);
    return [...new Set(of.map(({ kind }) => kind))].sort();
  };
  for (const mode of ["bsp", "bsp-elastic", "asp"] as const) {
    assert.deepEqual(kinds(mode, "server"), ["cut", "freeze", "kill", "restart", "silence"]);
    assert.deepEqual(kinds(mode, "leader"), ["cut", "freeze", "kill", "silence"]);
    assert.deepEqual(kinds(mode, "standby"), ["cut", "freeze", "kill", "restart", "silence"]);
    assert.deepEqual(kinds(mode, "etcd"), ["cut", "freeze", "kill", "restart", "silence"]);
  }
  assert.deepEqual(kinds("bsp", "worker"), ["cut", "freeze", "silence"]);
  const elastic = ["come", "cut", "freeze", "go", "kill", "restart", "silence"];
  assert.deepEqual(kinds("bsp-elastic", "worker"), elastic);
  const ofWorkers = planOf("bsp").filter(({ target }) => target.role === "worker");
  assert.ok(ofWorkers.every(({ forMs }) => forMs < 1000));
});

test("a fault is told in words", () => {
  const fault = {
    kind: "cut",
    target: { role: "worker", index: 1 },
    link: "session",
    forMs: 1000,
    dueMs: 0,
  } as const;
  assert.equal(faultSentence(fault), "cut the session link of worker-1 for 1 s");
  const leader = { ...fault, kind: "kill", target: { role: "leader" }, link: null } as const;
  assert.equal(faultSentence(leader), "kill leader, start it again after 1 s");
});
