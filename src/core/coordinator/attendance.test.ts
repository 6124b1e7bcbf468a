/** Who is missed in a run that is ending. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { specOf } from "../testing/model-run.js";
import { Attendance } from "./attendance.js";

test("in a run that is ending a worker that reaches no server is waited for no longer", () => {
  const reach = (unreachedMs: number) => [
    { server: 0, incarnation: 9, unreachedMs, refused: false },
  ];
  const members = [
    { role: "worker", rank: 0, incarnation: 1, reach: reach(3400) },
    { role: "worker", rank: 1, incarnation: 2, reach: reach(0) },
    { role: "server", rank: 0, incarnation: 9, reach: [] },
  ];
  const roster = {
    everybody: () => members,
    all: (role: string) => members.filter((one) => one.role === role),
    get: (role: string, rank: number) =>
      members.find((one) => one.role === role && one.rank === rank),
  };
  const training = { isClosing: true, isActive: () => true, canSpare: () => false };
  const attendance = new Attendance({ leaseMs: 3000, startTimeoutMs: 1000 });
  const lost: string[] = [];
  const refuse = () => assert.fail("nobody else is missed");
  const scene = { training, roster, spec: specOf({ workersMin: 2, workersMax: 2 }) };
  attendance.attend(scene as never, 0, {
    lose: ({ rank }, reason) => lost.push(`${rank}: ${reason}`),
    ...{ tell: refuse, close: refuse, perform: refuse },
  });
  assert.equal(lost.length, 1);
  assert.match(lost[0]!, /^0: has not reached server-0 for 3\.4 s, lease 3\.0 s/);
});

test("a server that nobody reaches ends the run if it is there, else it is lost", () => {
  for (const connected of [true, false]) {
    const reach = [{ server: 0, incarnation: 9, unreachedMs: 5000, refused: false }];
    const members = [
      { role: "worker", rank: 0, incarnation: 1, readyFor: "", reach },
      { role: "server", rank: 0, incarnation: 9, connected, reach: [] },
    ];
    const find = (role: string, rank: number) =>
      members.find((one) => one.role === role && one.rank === rank);
    const all = (role: string) => members.filter((one) => one.role === role);
    const roster = { everybody: () => members, all, get: find };
    const joiners = { has: () => true, count: 1 };
    const training = {
      ...{ isClosing: false, isActive: () => true, canSpare: () => false, joiners },
      ...{ onReady: () => {}, releaseAll: () => {} },
    };
    const attendance = new Attendance({ leaseMs: 3000, startTimeoutMs: 1000 });
    const seen: string[] = [];
    const scene = { training, roster, spec: specOf({ workersMin: 1, workersMax: 1 }) };
    attendance.attend(scene as never, 0, {
      lose: ({ role, rank }) => seen.push(`${role}-${rank} is lost`),
      close: ({ reason }) => seen.push(`ends: ${reason}`),
      ...{ tell: () => {}, perform: () => {} },
    });
    const [what, ...others] = seen;
    assert.deepEqual(others, []);
    assert.match(what!, connected ? /^ends: server-0 .*no worker reaches it/ : /^server-0 is lost/);
  }
});
