/** Who registers where, and who is sent where it is wanted, over hosts that a test makes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoordinatorHost } from "../../host/coordinator-host.js";
import { ManualClock } from "../../host/testing/manual-clock.js";
import type { MemberIdentity, MemberRole } from "../../protocol/identity.js";
import { protocolVersion, type RegisterRequest } from "../../protocol/messages.js";
import type { MemberSnapshot } from "../../protocol/run-events.js";
import { MemberPlaces, type Seat } from "./member-places.js";

/** A host that takes everybody. */
class Host {
  readonly members: MemberSnapshot[] = [];
  readonly moved: string[] = [];
  readonly asked: RegisterRequest[] = [];
  readonly #term: number;

  constructor(term: number) {
    this.#term = term;
  }

  async register(request: RegisterRequest) {
    this.asked.push(request);
    const { role, pid, host } = request;
    const rank = request.rank ?? this.members.length;
    const incarnation = this.#term * 100 + this.members.length;
    const member = { role, rank, incarnation, pid, host, state: "alive" };
    this.members.push(member as unknown as MemberSnapshot);
    const times = { heartbeatIntervalMs: 1, leaseMs: 1, run: "" };
    return { accepted: true, rank, incarnation, term: this.#term, ...times } as const;
  }

  snapshot() {
    return { members: [...this.members] };
  }

  move(members: readonly MemberSnapshot[]): void {
    for (const member of members) {
      this.moved.push(`${member.role} ${member.pid}`);
      this.members.splice(this.members.indexOf(member), 1);
    }
  }

  remembers({ incarnation }: MemberIdentity): boolean {
    return Math.floor(incarnation / 100) === this.#term;
  }
}

function scene() {
  const clock = new ManualClock();
  const [pool, host] = [new Host(1), new Host(2)];
  const places = new MemberPlaces(pool as unknown as CoordinatorHost, clock);
  const seat = { host: host as unknown as CoordinatorHost, name: "x", run: "x-1" as string | null };
  const ranks = { workers: 3, servers: 1 };
  const wanted: Seat = { ...seat, wants: { workers: 2, servers: 1 }, ranks };
  let pids = 0;
  let attempts = 0;
  const come = (role: MemberRole, pid = ++pids, rank: number | null = null) => {
    const from = { pid, host: "box", address: "", frames: null, attempt: `${++attempts}` };
    return places.register({ protocol: protocolVersion, role, rank, incarnation: null, ...from });
  };
  return { clock, pool, host, places, seat: wanted, come };
}

test("idle members are sent where a run is short of them, once, and find their place", async () => {
  const { pool, host, places, seat, come, clock } = scene();
  for (const role of ["worker", "worker", "worker", "server"] as const) await come(role);
  assert.deepEqual(places.free, { workers: 3, servers: 1 });
  places.add(seat);
  assert.deepEqual(places.free, { workers: 1, servers: 0 }, "what a run wants is not free");
  places.fill();
  places.fill();
  assert.deepEqual(pool.moved, ["server 4", "worker 1", "worker 2"]);
  const other = await come("worker", 9);
  assert.equal(other.accepted && other.run, "", "the places are for those who were sent");
  for (const [role, pid] of [
    ["worker", 2],
    ["server", 4],
  ] as const) {
    const reply = await come(role, pid, 7);
    assert.equal(reply.accepted && reply.run, "x-1");
  }
  assert.deepEqual(
    host.asked.map(({ rank }) => rank),
    [0, 0],
    "ranks are the run's",
  );
  clock.pass(16_000);
  places.fill();
  assert.deepEqual(pool.moved.slice(3), ["worker 3"], "one that does not come is not waited for");
  assert.deepEqual(places.all, { workers: 2, servers: 1 });
});

test("a run that lost a member takes the next that registers; one that is full none", async () => {
  const { host, places, seat, come } = scene();
  places.add(seat);
  const runs: unknown[] = [];
  for (let pid = 1; pid < 4; pid++) {
    const reply = await come("worker", pid);
    runs.push(reply.accepted && reply.run);
  }
  assert.deepEqual(runs, ["x-1", "x-1", ""]);
  host.members.shift();
  const next = await come("worker", 4);
  assert.equal(next.accepted && next.run, "x-1");
  assert.deepEqual(
    host.asked.map(({ rank }) => rank),
    [0, 1, 0],
    "at once, in its rank",
  );
  places.remove(seat);
  assert.deepEqual(host.moved, ["worker 2", "worker 4"], "all go back when it is over");
  const back = await come("worker", 2);
  assert.equal(back.accepted && back.run, "");
});

test("of several that register at once each has a rank of its own", async () => {
  const { host, places, seat, come } = scene();
  places.add(seat);
  const replies = await Promise.all([1, 2, 3].map((pid) => come("worker", pid)));
  assert.deepEqual(
    replies.map((reply) => reply.accepted && reply.run),
    ["x-1", "x-1", ""],
  );
  assert.deepEqual(
    host.asked.map(({ rank }) => rank),
    [0, 1],
  );
});

test("ranks that idle members ask for are given while they are free", async () => {
  const { pool, come } = scene();
  for (const pid of [1, 2]) await come("worker", pid, 3);
  assert.deepEqual(
    pool.asked.map(({ rank }) => rank),
    [3, null],
  );
});

test("what is repeated reaches the same host, an identity the one that gave it", async () => {
  const { pool, host, places, seat } = scene();
  const from = { pid: 1, host: "box", address: "", frames: null, attempt: "same" };
  const asked = {
    protocol: protocolVersion,
    role: "worker",
    rank: null,
    incarnation: null,
  } as const;
  places.add(seat);
  for (let time = 0; time < 3; time++) await places.register({ ...asked, ...from });
  assert.deepEqual([host.asked.length, pool.asked.length], [3, 0]);
  const of = (incarnation: number) => places.hostOf({ role: "worker", rank: 0, incarnation });
  assert.equal(of(201), seat.host);
  assert.equal(of(101), pool as unknown as CoordinatorHost);
  assert.equal(of(901), pool as unknown as CoordinatorHost, "who is not known hears so there");
});
