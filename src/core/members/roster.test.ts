import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ServerReach } from "../../protocol/identity.js";
import { protocolVersion } from "../../protocol/messages.js";
import { lossOf, type Member, Roster } from "./roster.js";

/** A server whose session is open, and two workers. */
function rostered() {
  const times = { heartbeatIntervalMs: 250, leaseMs: 3000, closedGraceMs: 2500 };
  const roster = new Roster({ ...times, rankGraceMs: 4000, startTimeoutMs: 10_000 }, 1);
  const join = (role: "server" | "worker", rank: number): Member => {
    const place = { pid: 7, host: "h", address: "a", frames: null, attempt: "" };
    const request = { protocol: protocolVersion, role, rank, incarnation: null, ...place };
    const { member } = roster.register(request, { server: 1, worker: 2 }, 0);
    assert.ok(member !== null);
    member.opened = true;
    member.connected = true;
    return member;
  };
  const server = join("server", 0);
  const workers = [join("worker", 0), join("worker", 1)] as const;
  const close = (member: Member) => {
    member.connected = false;
    member.detector.closed(100);
  };
  const told = (changes: Partial<ServerReach> = {}): ServerReach[] => [
    { server: 0, incarnation: server.incarnation, unreachedMs: 90, refused: true, ...changes },
  ];
  const dead = () => roster.dead(200).map(({ member, reason }) => `${member.role}: ${reason}`);
  return { server, workers, close, told, dead };
}

describe("a server at whose address a worker is refused", () => {
  test("is dead at once where its session is closed", () => {
    const { server, workers, close, told, dead } = rostered();
    close(server);
    workers[0].reach = told({ refused: false });
    assert.deepEqual(dead(), []);
    workers[1].reach = told();
    const reason = "connection closed 0.1 s ago and worker-1 is refused at its address";
    assert.deepEqual(dead(), [`server: ${reason}`]);
  });

  test("lives while its session is open", () => {
    const { workers, told, dead } = rostered();
    for (const worker of workers) worker.reach = told();
    assert.deepEqual(dead(), []);
  });

  test("has its grace where another reaches it", () => {
    const { server, workers, close, told, dead } = rostered();
    close(server);
    workers[0].reach = told();
    workers[1].reach = told({ unreachedMs: 0, refused: false });
    assert.deepEqual(dead(), []);
  });

  test("has its grace where an earlier life of it is meant, or another server", () => {
    const { server, workers, close, told, dead } = rostered();
    close(server);
    workers[0].reach = told({ incarnation: server.incarnation - 1 });
    workers[1].reach = told({ server: 1 });
    assert.deepEqual(dead(), []);
  });

  test("takes no worker of the same number with it", () => {
    const { workers, close, told, dead } = rostered();
    close(workers[0]);
    workers[1].reach = told({ incarnation: workers[0].incarnation });
    assert.deepEqual(dead(), []);
  });
});

test("a server that holds nothing yet is lost at the step of the run", () => {
  const { server } = rostered();
  server.server = { chunks: 0, versionMin: 0 } as Member["server"];
  assert.equal(lossOf(server, "is gone", null, 70), "server-0 is gone: lost at step 70");
  server.server = { chunks: 2, versionMin: 75 } as Member["server"];
  assert.equal(lossOf(server, "is gone", null, 70), "server-0 is gone: lost at step 75");
});
