import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoordinatorSnapshot, MemberSnapshot } from "../../protocol/run-events.js";
import { whatLacks } from "./whole-cluster.js";

const server: MemberSnapshot = {
  ...{ role: "server", rank: 0, incarnation: 1, pid: 7, host: "h", address: "", frames: null },
  ...{ state: "alive", reason: "last heard 0.1 s ago, lease 3.0 s", activity: "", engine: "" },
  ...{ inView: true, server: null, worker: null },
};
const snapshot: CoordinatorSnapshot = {
  ...{ run: "r", name: "r", phase: "training", activity: "", epoch: 0, epochs: 1 },
  ...{ globalSteps: 5, examples: 0, totalExamples: 0, moves: { left: 0, total: 0 } },
  ...{ members: [server], algorithms: [], evaluations: [] },
};
const awaited = [{ name: "server-0", pid: 7 }];
const event = (text: string) => `${JSON.stringify({ kind: "info", text })}\n`;
const redundant = event("redundant: every chunk is on 2 servers");

test("a cluster is whole when everybody is heard and each chunk has its copies", () => {
  assert.equal(whatLacks(snapshot, awaited, redundant), null);
  const lacking = event("some chunks lack a replica, which is copied meanwhile");
  assert.equal(whatLacks(snapshot, awaited, redundant + lacking), "some chunks lack copies");
  assert.equal(whatLacks(snapshot, awaited, lacking + redundant), null);
  assert.equal(whatLacks(snapshot, awaited, ""), "some chunks lack copies");
});

test("what lacks is told", () => {
  const lackOf = (member: Partial<MemberSnapshot>) =>
    whatLacks({ ...snapshot, members: [{ ...server, ...member }] }, awaited, redundant);
  assert.equal(lackOf({ pid: 8 }), "server-0 is pid 8, not 7");
  assert.equal(lackOf({ rank: 1 }), "server-0 is not a member");
  const closed = "connection closed 0.2 s ago, grace 2.5 s";
  assert.equal(lackOf({ state: "suspect", reason: closed }), `server-0 is ${closed}`);
  const late = "last heard 0.9 s ago, lease 3.0 s";
  assert.equal(lackOf({ reason: late }), `server-0 ${late}`);
  const moving = { ...snapshot, moves: { left: 2, total: 3 } };
  assert.equal(whatLacks(moving, awaited, redundant), "2 chunks are on their way");
  const back = { ...snapshot, phase: "rolling back" };
  assert.equal(whatLacks(back, awaited, redundant), "the run is rolling back");
  assert.match(whatLacks(snapshot, [], redundant) ?? "", /more members than processes/);
});
