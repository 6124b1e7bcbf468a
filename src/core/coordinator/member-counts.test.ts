/** What is counted of members that are gone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServerStatistics } from "../../protocol/messages.js";
import { idleServer } from "../../protocol/statistics.js";
import { MemberCounts, stepOfAll } from "./member-counts.js";

/** The counts of two servers, and a way for a life of one to tell its own. */
function counted() {
  const counts = new MemberCounts();
  const tell = (rank: number, incarnation: number, more: Partial<ServerStatistics>) =>
    counts.keep(
      { role: "server", rank, incarnation },
      { worker: null, server: { ...idleServer, chunks: 3, ...more } },
    );
  tell(0, 1, { versionMin: 100, rejected: 5, stalenessSum: 50, bytesIn: 1000, updates: 300 });
  tell(1, 2, { versionMin: 100 });
  return { counts, tell, all: () => Object.values(counts.servers) };
}

test("of a lost server its own work counts: its chunks, and their tallies, are others'", () => {
  const { counts, tell, all } = counted();
  counts.serverLost({ role: "server", rank: 0, incarnation: 1 });
  tell(1, 2, { versionMin: 5000, chunks: 6, rejected: 6, stalenessSum: 60 });
  assert.equal(stepOfAll(all()), 5000);
  const sum = (pick: (one: ServerStatistics) => number) =>
    all().reduce((total, one) => total + pick(one), 0);
  assert.deepEqual([sum((one) => one.rejected), sum((one) => one.stalenessSum)], [6, 60]);
  assert.deepEqual([sum((one) => one.bytesIn), sum((one) => one.updates)], [1000, 300]);
});

test("a server that comes back counts its bytes on, and its chunks anew", () => {
  const { counts, tell } = counted();
  counts.serverLost({ role: "server", rank: 0, incarnation: 1 });
  for (const bytesIn of [10, 20]) tell(0, 9, { versionMin: 200, rejected: 1, bytesIn });
  const { versionMin, rejected, bytesIn } = counts.servers[0]!;
  assert.deepEqual([versionMin, rejected, bytesIn], [200, 1, 1020]);
});

test("a server that has not heard that its run went back tells nothing of its chunks", () => {
  const counts = new MemberCounts(2);
  const tell = (more: Partial<ServerStatistics>) =>
    counts.keep(
      { role: "server", rank: 0, incarnation: 1 },
      { worker: null, server: { ...idleServer, chunks: 3, ...more } },
    );
  tell({ generation: 1, versionMin: 12, pushes: 24, rejected: 1, bytesIn: 10 });
  assert.equal(stepOfAll(Object.values(counts.servers)), 0);
  const { pushes, rejected, bytesIn } = counts.servers[0]!;
  assert.deepEqual([pushes, rejected, bytesIn], [0, 0, 10]);
  tell({ generation: 2, versionMin: 3, bytesIn: 30 });
  assert.equal(stepOfAll(Object.values(counts.servers)), 3);
  assert.equal(counts.servers[0]!.bytesIn, 30);
});
