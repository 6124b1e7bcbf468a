import assert from "node:assert/strict";
import { test } from "node:test";
import type { SuddenFault } from "../protocol/injected-fault.js";
import { InjectedFaults } from "./injected-faults.js";

const kill: SuddenFault = { kind: "kill", role: "server", rank: 1, at: 5, forMs: null };
const pause: SuddenFault = { kind: "pause", role: "server", rank: 1, at: 7, forMs: 3000 };

test("an injected fault comes once, at its step or at the first that is told after it", () => {
  const suffered: [SuddenFault, number][] = [];
  const faults = new InjectedFaults((fault, step) => suffered.push([fault, step]));
  faults.expect([pause]);
  faults.expect([kill]);
  for (const step of [3, 4, 5, 5, 6]) faults.reached(step);
  assert.deepEqual(suffered, [[kill, 5]]);
  assert.deepEqual(faults.left, [pause]);
  for (const step of [9, 9, 10]) faults.reached(step);
  assert.deepEqual(suffered, [
    [kill, 5],
    [pause, 9],
  ]);
  assert.deepEqual(faults.left, []);
});

test("of faults that are due at a time each comes, the earlier first", () => {
  const suffered: SuddenFault[] = [];
  const faults = new InjectedFaults((fault) => suffered.push(fault));
  faults.expect([pause, kill]);
  faults.reached(20);
  assert.deepEqual(suffered, [kill, pause]);
});
