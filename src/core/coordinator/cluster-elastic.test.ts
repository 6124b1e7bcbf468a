/**
 * Workers that come, go and come again while a run goes on: joiners are gathered, who asks to leave
 * is let go with nothing lost, and below its minimum a run waits.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemberRole } from "../../protocol/identity.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, ModelCluster } from "../testing/model-cluster.js";
import { everyProtocol, nameOf, plainAsp, specOf } from "../testing/model-run.js";
import { positionsUsed, updatesOf } from "../testing/model-values.js";
import { gatherMs } from "./gathering.js";

const seeds = [0, 1, 2, 3, 4, 5];

/** Begins with so many workers of a range. */
function begin(
  seed: number,
  start: number,
  spec: Partial<RunSpec>,
  extra: Partial<ClusterPlan> = {},
): ModelCluster {
  const whole = specOf({ feed: "leased", workersMin: start, ...spec });
  const cluster = new ModelCluster({ seed, chunks: 4, spec: whole, ...extra });
  const setup = { spec: whole, layout: cluster.layout, resume: null, workersAtStart: start };
  cluster.tell({ type: "submit", setup, term: 1 });
  for (let index = 0; index < whole.servers; index++) cluster.startMember("server", index);
  for (let rank = 0; rank < start; rank++) cluster.startMember("worker", rank);
  return cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 2);
}

const told = (cluster: ModelCluster, pattern: RegExp) =>
  cluster.events.filter(({ text }) => pattern.test(text));

const leaveOf = (cluster: ModelCluster, role: MemberRole, rank: number) => {
  const found = cluster.members.find((one) => one.alive && one.role === role && one.rank === rank);
  cluster.say(found!, { type: "leaving", reason: "SIGTERM" });
  return found!;
};

/** Each example is used once in every chunk, but for torn steps, or reported as skipped. */
function demandAccount(cluster: ModelCluster, where: string): void {
  const { outcome, reason, epochs, tornSteps } = cluster.result;
  const { trainExamples, batchSize } = cluster.plan.spec;
  assert.equal(outcome, "done", `${where}: ${reason}`);
  for (const { examples, skipped } of epochs) {
    assert.equal(examples + skipped, trainExamples, where);
    assert.equal(skipped, 0, where);
  }
  for (const value of cluster.values()) {
    const used = positionsUsed(value, trainExamples);
    for (const { epoch, examples } of epochs) {
      const counts = used.get(epoch)!;
      const applied = counts.reduce((sum, count) => sum + count, 0);
      assert.ok(Math.max(...counts) === 1, `${where}: a position is used twice`);
      assert.ok(applied >= examples - tornSteps * batchSize, where);
    }
  }
  assert.deepEqual(cluster.refusals, [], where);
}

for (const protocol of everyProtocol) {
  const name = nameOf(protocol);

  test(`${name}: ten joiners at once make at most two views`, () => {
    for (const seed of seeds) {
      const cluster = begin(seed, 2, { protocol, workersMax: 12, trainExamples: 3000, epochs: 1 });
      const at = cluster.events.length;
      for (let rank = 2; rank < 12; rank++) cluster.startMember("worker", rank);
      const joined = () => told(cluster, /^worker-\d+ takes part from step/).length;
      cluster.run(1, () => joined() === 10);
      const views = cluster.events.slice(at).filter(({ kind }) => kind === "view");
      assert.ok(views.length <= 2, `seed ${seed}: ${views.map(({ text }) => text).join()}`);
      demandAccount(cluster.run(), `seed ${seed}`);
    }
  });

  test(`${name}: workers go from 2 to 6 to 3 and every example is used once`, () => {
    for (const seed of seeds) {
      const cluster = begin(seed, 2, { protocol, workersMax: 6, trainExamples: 1500, epochs: 2 });
      for (let rank = 2; rank < 6; rank++) cluster.startMember("worker", rank);
      const countIs = (wanted: number) => () => {
        const { members } = cluster.coordinator.snapshot(cluster.nowMs);
        const inView = members.filter(({ role, inView }) => role === "worker" && inView);
        return inView.length === wanted;
      };
      cluster.run(1, countIs(6));
      const gone = [1, 3, 4].map((rank) => leaveOf(cluster, "worker", rank));
      const left = /^worker-\d drained at step \d+, going on with \d workers?$/;
      cluster.run(1, () => told(cluster, left).length === 3);
      assert.ok(countIs(3)() && gone.every(({ alive }) => !alive));
      assert.equal(told(cluster, /^worker-\d asks to leave \(SIGTERM\): it leaves when/).length, 3);
      assert.equal(cluster.events.filter(({ kind }) => kind === "lost").length, 0);
      demandAccount(cluster.run(), `seed ${seed}`);
      assert.equal(cluster.result.tornSteps, 0);
    }
  });

  test(`${name}: below its minimum a run waits for another worker, and goes on with it`, () => {
    for (const seed of seeds.slice(0, 3)) {
      const config = { waitForWorkersMs: 60_000 };
      const cluster = begin(seed, 2, { protocol, workersMax: 3, epochs: 3 }, { config });
      leaveOf(cluster, "worker", 0);
      const news =
        /^1 worker is there and at least 2 must be: training waits up to 60 s for 1 more$/;
      cluster.run(1, () => told(cluster, news).length > 0);
      const fromMs = cluster.nowMs;
      cluster.run(1, () => cluster.nowMs > fromMs + 1000);
      const { globalSteps } = cluster.coordinator.snapshot(cluster.nowMs);
      cluster.run(1, () => cluster.nowMs > fromMs + 30_000);
      assert.equal(cluster.coordinator.snapshot(cluster.nowMs).globalSteps, globalSteps);
      cluster.startMember("worker", 2);
      demandAccount(cluster.run(), `seed ${seed}`);
      assert.equal(told(cluster, news).length, 1, "it is said once");
    }
  });
}

for (const [protocol, hard] of [
  [{ mode: "bsp" }, [78]],
  [{ mode: "ssp", staleness: 2 }, [3, 10, 13]],
] as const) {
  test(`${nameOf(protocol)}: one that comes while others come to rest for want of it`, () => {
    for (const seed of hard) {
      const spec = { feed: "static", protocol, workersMin: 3, trainExamples: 1200, epochs: 1 };
      const cluster = begin(seed, 3, spec as Partial<RunSpec>, { chunks: 3, computeMs: 40 });
      cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 4);
      cluster.startMember("worker", 3);
      const untilMs = cluster.nowMs + 20 + (seed % 7) * 20;
      cluster.run(1, () => cluster.nowMs > untilMs);
      cluster.kill(cluster.worker(0)!, "exited");
      assert.equal(cluster.run().result.outcome, "done", `seed ${seed}`);
    }
  });
}

test("a run that waits in vain ends with a checkpoint, when its time is over", () => {
  for (const seed of seeds) {
    const config = { waitForWorkersMs: 20_000 };
    const cluster = begin(seed, 2, { workersMax: 3, epochs: 9 }, { config });
    leaveOf(cluster, "worker", 1);
    cluster.run(1, () => told(cluster, /training waits/).length > 0);
    const fromMs = cluster.nowMs;
    const { code, reason } = cluster.run().result;
    assert.equal(code, "too_few_workers");
    assert.match(reason, /^1 worker is left and at least 2 must be, after 20 s of waiting: go on/);
    const waitedMs = cluster.nowMs - fromMs;
    assert.ok(waitedMs > 19_000 && waitedMs < 25_000, `${waitedMs} ms`);
    assert.equal(cluster.checkpoints.at(-1)!.why, "ending");
  }
});

for (const [protocol, other] of [
  [{ mode: "bsp" }, plainAsp],
  [plainAsp, { mode: "bsp" }],
] as const) {
  test(`${nameOf(protocol)}: what is done while workers lack lets nobody train on`, () => {
    for (const feed of ["static", "leased"] as const) {
      const checkpointEvery = { unit: "second", count: 3 } as const;
      const spec = { protocol, feed, workersMax: 4, epochs: 9, checkpointEvery };
      const cluster = begin(1, 3, spec, { config: { waitForWorkersMs: 60_000 } });
      const steps = () => cluster.values().map((value) => updatesOf(value).length);
      const pass = (ms: number) => {
        const untilMs = cluster.nowMs + ms;
        cluster.run(1, () => cluster.nowMs > untilMs);
      };
      leaveOf(cluster, "worker", 1);
      pass(1500);
      const before = steps();
      const { activity } = cluster.coordinator.snapshot(cluster.nowMs);
      assert.match(activity, /^waiting for workers: at least 3/);
      pass(8000);
      assert.deepEqual(steps(), before, `${feed}: checkpoints by the clock`);
      cluster.tell({ type: "switch", request: other });
      pass(4000);
      assert.equal(told(cluster, /^switch from/).length, 1, feed);
      assert.deepEqual(steps(), before, `${feed}: a switch`);
      cluster.startMember("worker", 3);
      assert.equal(cluster.run().result.outcome, "done", feed);
    }
  });
}

test("a loss does not wait for joiners that are gathered", () => {
  for (const seed of seeds) {
    const cluster = begin(seed, 3, { workersMin: 1, workersMax: 9, epochs: 9 });
    cluster.startMember("worker", 3);
    cluster.run(1, () => cluster.worker(3) !== undefined);
    cluster.kill(cluster.worker(2)!, "exited");
    const killedMs = cluster.nowMs;
    const at = cluster.events.length;
    cluster.run(1, () => cluster.events.slice(at).some(({ kind }) => kind === "view"));
    assert.ok(cluster.nowMs - killedMs < gatherMs / 2, `${cluster.nowMs - killedMs} ms`);
    demandAccount(cluster.run(), `seed ${seed}`);
  }
});

test("a worker that asks to leave while it prepares goes, and the run does not wait for it", () => {
  const cluster = begin(1, 2, { workersMax: 3, epochs: 3 });
  cluster.startMember("worker", 2);
  cluster.run(1, () => cluster.worker(2) !== undefined);
  leaveOf(cluster, "worker", 2);
  cluster.run(1, () => cluster.worker(2) === undefined);
  demandAccount(cluster.run(), "");
});

test("who is let go while the run is to go back leaves no record of that", () => {
  const config = { serverGraceMs: 60_000 };
  const cluster = begin(1, 3, { workersMin: 1, workersMax: 3, epochs: 30 }, { config });
  cluster.kill(cluster.servers()[1]!, "exited");
  const phase = () => cluster.coordinator.snapshot(cluster.nowMs).phase;
  cluster.run(1, () => phase() === "rolling back");
  const { records } = cluster.driven;
  const count = records.length;
  const worker = leaveOf(cluster, "worker", 2);
  cluster.run(1, () => !worker.alive);
  assert.equal(phase(), "rolling back");
  assert.equal(records.length, count, "another coordinator would not miss the server");
});
