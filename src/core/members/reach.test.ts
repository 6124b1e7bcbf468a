import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { Absences, judgeReach, type ReachReport } from "./reach.js";

/** A worker that reaches servers 0 and 1 as told; null where it has no link yet. */
function worker(rank: number, ...times: readonly (number | null)[]): ReachReport {
  const reach = times.flatMap((unreachedMs, server) =>
    unreachedMs === null ? [] : [{ server, incarnation: 1, unreachedMs, refused: false }],
  );
  return { role: "worker", rank, reach };
}

const nothing = { removed: [], lost: null };

describe("who can't reach a server", () => {
  test("is waited for until the lease is over", () => {
    assert.deepEqual(judgeReach([worker(0, 0, 2999), worker(1, 0, 0)], 3000), nothing);
  });

  test("is taken out where another reaches it", () => {
    const reports = [worker(0, 0, 3400), worker(1, 0, 0), worker(2, 0, 0)];
    const what = "has not reached server-1 for 3.4 s, lease 3.0 s";
    assert.deepEqual(judgeReach(reports, 3000), {
      removed: [{ role: "worker", rank: 0, reason: `${what}, and 2 other workers reach it` }],
      lost: null,
    });
  });

  test("is not taken out while it is not known whether others reach it", () => {
    const reports = [worker(0, 0, 9000), worker(1, 0, 100), worker(2, null, null)];
    assert.deepEqual(judgeReach(reports, 3000), nothing);
    assert.deepEqual(judgeReach(reports.slice(0, 2), 3000), nothing);
  });

  test("has the server lost where nobody reaches it", () => {
    const { removed, lost } = judgeReach([worker(0, 3000, 0), worker(1, 3100, 0)], 3000);
    assert.deepEqual(removed, []);
    assert.deepEqual(lost, {
      server: 0,
      reason: "no worker reaches it: worker-0 for 3.0 s, worker-1 for 3.1 s, lease 3.0 s",
    });
  });

  test("is taken out where it is a server itself", () => {
    const peer: ReachReport = {
      role: "server",
      rank: 1,
      reach: [{ server: 0, incarnation: 1, unreachedMs: 4000, refused: false }],
    };
    const { removed, lost } = judgeReach([peer, worker(0, 0, 0)], 3000);
    const what = "has not reached server-0 for 4.0 s, lease 3.0 s, and 1 other worker reaches it";
    assert.deepEqual(removed, [{ role: "server", rank: 1, reason: what }]);
    assert.equal(lost, null, "the copy is given up, not the chunks that it is of");
  });
});

test("who is taken out stays out for longer each time", () => {
  const absences = new Absences();
  assert.equal(absences.has(2, 0), false);
  assert.equal(absences.begin(2, 1000), 5000);
  assert.deepEqual([absences.has(2, 5999), absences.has(2, 6000)], [true, false]);
  assert.equal(absences.has(1, 2000), false);
  const durations = Array.from({ length: 8 }, () => absences.begin(2, 0) / 1000);
  assert.deepEqual(durations, [10, 20, 40, 80, 160, 300, 300, 300]);
});

const seeds = Array.from({ length: 5 }, (_, index) => index);
const protocols = [
  { mode: "bsp" },
  { mode: "ssp", staleness: 1 },
  { mode: "asp", staleness: { rule: "none", scale: 0, floor: 0, max: 0 } },
] as const;

function steps(cluster: ModelCluster): number {
  return cluster.coordinator.snapshot(cluster.nowMs).globalSteps;
}

for (const protocol of protocols) {
  test(`a worker that can't reach one server stalls nobody for ever (${protocol.mode})`, () => {
    for (const seed of seeds) {
      const spec = specOf({ protocol, trainExamples: 400, epochs: 2 });
      const cluster = new ModelCluster({ seed, chunks: 5, spec, returns: true }).start();
      cluster.run(1, () => steps(cluster) >= 4);
      const unblock = cluster.block(2, seed % 2);
      const blockedMs = cluster.nowMs;
      const isLost = () => cluster.events.some(({ kind }) => kind === "lost");
      cluster.run(1, isLost);
      assert.ok(cluster.nowMs - blockedMs < 4000, "within little more than a lease");
      const { text } = cluster.events.find(({ kind }) => kind === "lost")!;
      const why = /^worker-2 has not reached server-. for 3\.\d s, lease 3\.0 s, and 3 other/;
      assert.match(text, why);
      assert.match(text, /workers reach it; it may take part again in 5 s: lost at step/);
      const before = steps(cluster);
      cluster.run(1, () => steps(cluster) > before + 3);
      unblock();
      const { outcome, reason } = cluster.run().result;
      assert.equal(outcome, "done", reason);
    }
  });
}

test("a server that no worker reaches ends the run, with a checkpoint", () => {
  for (const seed of seeds) {
    const spec = specOf({ trainExamples: 400 });
    const cluster = new ModelCluster({ seed, chunks: 5, spec }).start();
    cluster.run(1, () => steps(cluster) >= 4);
    for (const rank of [0, 1, 2, 3]) cluster.block(rank, 1);
    const { outcome, code, reason } = cluster.run().result;
    assert.deepEqual([outcome, code], ["failed", "member_lost"]);
    assert.match(reason, /^server-1 \(pid \d+ on h\) is lost: no worker reaches it: worker-0 for/);
    assert.match(reason, /: go on from its checkpoint of step \d+ with paceline resume$/);
    assert.equal(cluster.checkpoints.at(-1)!.why, "ending");
  }
});
