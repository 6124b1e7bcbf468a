/** A cause that stays and makes lives of a rank fail one after the other ends the run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "../../errors.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { successionMs, WorkerFailures } from "./worker-failures.js";

const reason = "shard 2 has label 7 in record 5";

/** Each life of a worker fails as soon as it is asked for part of an evaluation. */
function failing(seed: number, workers: number): ModelCluster {
  const spec = specOf({ epochs: 2, workersMin: 1, workersMax: workers });
  const cluster = new ModelCluster({ seed, chunks: 2, spec });
  cluster.onTalk = (_from, to, message) => {
    if (message.type !== "evaluate") return;
    const worker = cluster.worker(Number(to.slice("worker-".length)));
    if (worker === undefined) return;
    const said = { type: "failed", code: "data", reason } as const;
    cluster.network.after(1, () => {
      cluster.tell({ type: "message", member: worker, message: said });
      cluster.kill(worker, "closed");
      cluster.startMember("worker", worker.rank);
    });
  };
  return cluster.start();
}

for (const workers of [1, 3]) {
  test(`what makes each evaluation of ${workers} fail ends the run, with its code`, () => {
    for (const seed of [0, 1, 2, 3, 4, 5]) {
      const cluster = failing(seed, workers);
      const { outcome, code, reason: told } = cluster.run().result;
      assert.deepEqual([outcome, code], ["failed", "data"], told);
      assert.match(told, /^worker-\d has failed 3 times in succession: shard 2 has label 7 in /);
      const losses = cluster.events.filter(({ kind }) => kind === "lost").length;
      assert.ok(losses <= 3 * workers, `${losses} losses`);
    }
  });
}

test("only failures of one rank with one code count, of lives in training, that stay", () => {
  const failures = new WorkerFailures();
  const fails = (rank: number, code: ErrorCode, isActive = true) =>
    failures.judge({ role: "worker", rank }, isActive, { code, reason: "so" }, 0)?.code ?? null;
  const said = [
    [fails(0, "data"), fails(0, "data"), fails(1, "data"), fails(0, "memory")],
    [fails(0, "data"), fails(0, "data", false), fails(0, "unavailable"), fails(0, "data")],
  ];
  assert.deepEqual(said.flat(), Array(8).fill(null));
  assert.equal(
    failures.judge({ role: "server", rank: 0 }, true, { code: "data", reason: "so" }, 0),
    null,
  );
  assert.equal(fails(0, "data"), "data");
});

test("failures far apart are not in succession, however many", () => {
  const failures = new WorkerFailures();
  const fails = (nowMs: number) =>
    failures.judge({ role: "worker", rank: 1 }, true, { code: "data", reason: "so" }, nowMs)
      ?.reason ?? null;
  const day = 24 * successionMs;
  for (const times of [0, 1, 2, 3]) assert.equal(fails(times * day), null);
  assert.equal(fails(3 * day + successionMs - 1), null);
  assert.equal(
    fails(3 * day + 2 * successionMs - 2),
    "worker-1 has failed 3 times in succession: so",
  );
});
