/** The servers of a run: what is told of its chunks, and who leaves when. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { layOut } from "../../protocol/layout.js";
import { firstPhase, type View } from "../../protocol/view.js";
import { Roster } from "../members/roster.js";
import { specOf } from "../testing/model-run.js";
import { RunServers } from "./run-servers.js";

const layout = layOut([{ name: "w", shape: [6], group: "weight" }], 1);
const times = { heartbeatIntervalMs: 1, leaseMs: 1, closedGraceMs: 1, rankGraceMs: 0 };
const idle = { isSaving: false, isBeside: false };
const nothing = { sealedStep: -1, clockMin: 0, version: 0, departed: [] };

/** Three servers whose first view is due. */
function begin(replicas = 2) {
  const roster = new Roster({ ...times, startTimeoutMs: 1 }, 1);
  const members = [0, 1, 2].map((rank) => {
    const process = { protocol: 4, role: "server", rank, incarnation: null, pid: 1 } as const;
    const place = { host: "h", address: `s${rank}`, frames: null, attempt: "" };
    const { member } = roster.register({ ...process, ...place }, { server: 3, worker: 1 }, 0);
    assert.ok(member !== null);
    return member;
  });
  const setup = { spec: specOf({ replicas, servers: 2, serversMax: 4 }), layout, resume: null };
  const servers = new RunServers(setup, 1, members, firstPhase(setup.spec.protocol));
  const told: string[] = [];
  const port = {
    emit: ({ text }: { readonly text: string }) => void told.push(text),
    dismiss: (_member: unknown, text: string) => void told.push(text),
  };
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
  /** Has everything take its course, until nothing changes. */
  const course = (saving = idle, nowMs = 0) => {
    for (let round = 0; round < 20; round++) {
      servers.attend(port, saving, nowMs);
      if (!servers.views.busy) return;
      settle(stand());
    }
    assert.fail("it comes to rest");
  };
  return { servers, members, stand, settle, port, told, course };
}

test("copies that are complete are told once, and again after each loss", () => {
  const { servers, members, stand, settle, port, told } = begin();
  const first = stand();
  assert.deepEqual(servers.news(0), ["some chunks lack a replica, which is copied meanwhile"]);
  settle(first);
  assert.deepEqual(servers.news(0), [], "a view is being agreed on");
  stand();
  assert.deepEqual(servers.news(0), ["redundant: every chunk is on 2 servers"]);
  assert.deepEqual(servers.news(0), []);
  servers.lose(members[2]!);
  stand();
  servers.attend(port, idle, 0);
  assert.deepEqual(told, [
    "chunk moves: 1 of 1 left",
    "some chunks lack a replica, which is copied meanwhile",
  ]);
  settle(stand());
  stand();
  const redundant = "redundant: every chunk is on 2 servers";
  assert.deepEqual(servers.news(0), [redundant], "nobody looked");
  servers.lose(members[1]!);
  stand();
  assert.deepEqual(servers.news(0), [
    "chunk moves: 1 done in 0.0 s",
    "every chunk is on one server; --replicas 2 needs 1 more server",
  ]);
});

for (const replicas of [1, 2, 3]) {
  test(`a server that is drained goes once others have its chunks: ${replicas} replicas`, () => {
    const { servers, members, stand, settle, told, course } = begin(replicas);
    settle(stand());
    course();
    const [, drained] = members;
    const chunks = servers.drain(drained!, 1000);
    assert.ok(chunks > 0);
    assert.match(servers.drainObjection(drained!) ?? "", /is being drained already/);
    assert.match(servers.drainObjection(members[0]!) ?? "", /2 servers take part and at least 2/);
    // Copies may be with it while a checkpoint is written beside training.
    course({ isSaving: false, isBeside: true }, 1500);
    const name = `${chunks} chunk${chunks === 1 ? "" : "s"}`;
    const text = `server-1 drained: ${name} moved in 2.0 s`;
    assert.equal(told.includes(text), false);
    assert.equal(servers.count, 2, "no view has it any more");
    course(idle, 3000);
    assert.equal(told.filter((one) => one === text).length, 1, told.join());
    assert.deepEqual(servers.draining, []);
  });
}

test("while servers are asked for a checkpoint nothing moves", () => {
  const { servers, members, stand, course } = begin(1);
  stand();
  servers.drain(members[1]!, 0);
  course({ isSaving: true, isBeside: false });
  assert.equal(servers.moves.left, servers.moves.total);
  assert.equal(servers.count, 3);
  course();
  assert.deepEqual([servers.moves.left, servers.count], [0, 2]);
});

test("a server stays after all where another is lost that was counted on", () => {
  const { servers, members, stand, settle, told, course } = begin();
  settle(stand());
  course();
  servers.drain(members[1]!, 0);
  servers.lose(members[2]!);
  course();
  assert.deepEqual(servers.draining, []);
  assert.ok(told.some((text) => /^server-1 stays: too few servers are left/.test(text)));
  assert.equal(servers.canSpare(members[0]!), true, "it has its chunks again");
});

test("a server that is lost when it has given up its chunks is not told to go", () => {
  const { servers, members, stand, told, course } = begin(1);
  stand();
  servers.drain(members[1]!, 0);
  course({ isSaving: false, isBeside: true });
  assert.equal(servers.lose(members[1]!), false, "it had no part any more");
  course();
  assert.deepEqual(
    told.filter((text) => text.includes("drained")),
    [],
  );
});
