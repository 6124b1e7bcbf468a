/** The servers of a run: what is told of the copies of its chunks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { layOut } from "../../protocol/layout.js";
import type { View } from "../../protocol/view.js";
import { specOf } from "../testing/model-run.js";
import { Roster } from "./roster.js";
import { RunServers } from "./run-servers.js";

const layout = layOut([{ name: "w", shape: [6], group: "weight" }], 1);
const times = { heartbeatIntervalMs: 1, leaseMs: 1, closedGraceMs: 1, rankGraceMs: 0 };
const nothing = { sealedStep: -1, clockMin: 0, departed: [] };

/** Three servers whose first view stands. */
function begin() {
  const roster = new Roster({ ...times, startTimeoutMs: 1 }, 1);
  const members = [0, 1, 2].map((rank) => {
    const process = { protocol: 4, role: "server", rank, incarnation: null, pid: 1 } as const;
    const place = { host: "h", address: `s${rank}`, frames: null, attempt: "" };
    const { member } = roster.register({ ...process, ...place }, { server: 3, worker: 1 }, 0);
    assert.ok(member !== null);
    return member;
  });
  const setup = { spec: specOf({ replicas: 2 }), layout, resume: null };
  const servers = new RunServers(setup, 1, members);
  /** Has all servers take the view that is due. */
  const stand = (): View => {
    const view = servers.views.begin();
    assert.ok(view !== null);
    for (const { index } of view.servers) servers.views.answer(index, view.number, nothing);
    return view;
  };
  /** Every candidate of a view catches up. */
  const settle = ({ candidates }: View) => {
    for (const { chunk, server } of candidates) {
      const { incarnation } = members[server]!;
      servers.caughtUp({ type: "caughtUp", chunk, server, incarnation });
    }
  };
  return { servers, members, stand, settle };
}

test("copies that are complete are told once, and again after each loss", () => {
  const { servers, members, stand, settle } = begin();
  const first = stand();
  assert.deepEqual(servers.news(0), ["some chunks lack a replica, which is copied meanwhile"]);
  settle(first);
  assert.deepEqual(servers.news(0), [], "a view is being agreed on");
  stand();
  assert.deepEqual(servers.news(0), ["redundant: every chunk is on 2 servers"]);
  assert.deepEqual(servers.news(0), []);
  servers.lose(members[2]!);
  stand();
  assert.deepEqual(servers.plan(0), []);
  settle(stand());
  stand();
  const redundant = "redundant: every chunk is on 2 servers";
  assert.deepEqual(servers.news(0), ["chunk moves: 1 of 1 left", redundant], "nobody looked");
  servers.lose(members[1]!);
  stand();
  assert.deepEqual(servers.news(0), [
    "chunk moves: 1 done in 0.0 s",
    "every chunk is on one server; --replicas 2 needs 1 more server",
  ]);
});
