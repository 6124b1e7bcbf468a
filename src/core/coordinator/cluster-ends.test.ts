/**
 * How runs end, and what does not end them: each outcome with its code and a reason that names the
 * culprit.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { mint } from "../../protocol/ids.js";
import { protocolVersion } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, type Death, ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { positionsUsed } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

const seeds = seedsOf(20);

function clusterOf(seed: number, spec: Partial<RunSpec> = {}, extra: Partial<ClusterPlan> = {}) {
  return new ModelCluster({ seed, chunks: 4, spec: specOf({ epochs: 3, ...spec }), ...extra });
}

function training(cluster: ModelCluster): boolean {
  return cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 2;
}

test("a lost server ends the run and is named", () => {
  for (const seed of seeds) {
    const death = (["closed", "silent", "exited"] as const)[seed % 3]!;
    const cluster = clusterOf(seed).start();
    cluster.run(1, () => training(cluster));
    cluster.kill(cluster.servers().find(({ rank }) => rank === 1)!, death);
    cluster.run();
    const { outcome, code, reason } = cluster.result;
    assert.deepEqual([outcome, code], ["failed", "member_lost"]);
    assert.match(reason, /^server-1 \(pid 7 on h\) is lost: .*no checkpoint was written, start/);
  }
});

test("a killed server that nobody supervises is lost within a second", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed).start();
    cluster.run(1, () => training(cluster));
    const { nowMs } = cluster;
    cluster.kill(cluster.servers().find(({ rank }) => rank === 1)!, "closed");
    cluster.run(1, () => cluster.events.some(({ kind }) => kind === "lost"));
    const { text } = cluster.events.find(({ kind }) => kind === "lost")!;
    const why = /^server-1 connection closed 0\.\d s ago and worker-\d is refused at its address/;
    assert.match(text, why);
    assert.ok(cluster.nowMs - nowMs < 1000, `${cluster.nowMs - nowMs} ms`);
  }
});

test("a server whose session and links are cut for less than its grace is not lost", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed).start();
    cluster.run(1, () => training(cluster));
    const server = cluster.servers().find(({ rank }) => rank === 1)!;
    cluster.cut(server, 2000);
    assert.equal(cluster.run().result.outcome, "done", cluster.result.reason);
    assert.deepEqual(
      cluster.events.filter(({ kind }) => kind === "lost"),
      [],
    );
  }
});

test("a server that a supervisor saw end before it registered ends the run at once", () => {
  const cluster = clusterOf(1);
  cluster.submit(cluster.plan.spec);
  const ended = { role: "server", rank: 0, reason: "ended with code 1", restarts: false } as const;
  cluster.tell({ type: "exited", ...ended, pid: 7 });
  cluster.run();
  assert.equal(cluster.result.code, "member_lost");
  assert.match(cluster.result.reason, /server-0 is lost: ended with code 1; look at its log/);
});

for (const role of ["server", "worker"] as const) {
  test(`a ${role} that ended saying what is wrong ends a run that has not begun, so`, () => {
    const cluster = clusterOf(1);
    cluster.submit(cluster.plan.spec);
    const reason = "(pid 7) ended with exit code 2: --x 1 is wrong; write 2";
    const ended = { role, rank: 1, pid: 7, reason, restarts: false } as const;
    cluster.tell({ type: "exited", ...ended, code: "usage" });
    cluster.run();
    const { outcome, code, reason: told } = cluster.result;
    assert.deepEqual([outcome, code, told], ["failed", "usage", `${role}-1 ${reason}`]);
  });
}

test("a worker that ends so while others train is a loss like any other", () => {
  const cluster = clusterOf(1).start();
  cluster.run(1, () => training(cluster));
  const worker = cluster.worker(3)!;
  const ended = { role: "worker", rank: 3, reason: "ended with code 2", restarts: false } as const;
  cluster.kill(worker, "closed");
  cluster.tell({ type: "exited", ...ended, pid: worker.pid, code: "usage" });
  assert.equal(cluster.run().result.outcome, "done");
});

test("a server that nobody supervises may be started again while the cluster forms", () => {
  const cluster = clusterOf(1);
  cluster.submit(cluster.plan.spec);
  cluster.startMember("server", 0);
  cluster.run(1, () => cluster.servers().some(({ spec }) => spec !== null));
  cluster.kill(cluster.servers()[0]!, "closed");
  for (const index of [0, 1]) cluster.startMember("server", index);
  for (const rank of [0, 1, 2, 3]) cluster.startMember("worker", rank);
  assert.equal(cluster.run().result.outcome, "done");
});

test("with all workers but one killed the run goes on to its end", () => {
  for (const seed of seeds) {
    for (const protocol of [{ mode: "bsp" }, { mode: "ssp", staleness: 1 }] as const) {
      const death: Death = seed % 2 === 0 ? "closed" : "silent";
      const cluster = clusterOf(seed, { protocol, trainExamples: 200 }).start();
      cluster.run(1, () => training(cluster));
      for (const rank of [0, 1, 3]) cluster.kill(cluster.worker(rank)!, death);
      const { outcome, epochs } = cluster.run().result;
      assert.equal(outcome, "done");
      for (const { examples, skipped } of epochs) assert.equal(examples + skipped, 200);
      assert.equal(epochs.at(-1)!.skipped, 0, "the last epoch is planned for those who are left");
      assert.deepEqual(cluster.refusals, []);
    }
  }
});

test("the account of an epoch agrees with what the servers applied, whichever member dies", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed, { trainExamples: 200 }).start();
    cluster.run(1, () => training(cluster));
    for (const rank of [1, 2]) cluster.kill(cluster.worker(rank)!, "restarted");
    const { epochs, tornSteps } = cluster.run().result;
    for (const value of cluster.values()) {
      const used = positionsUsed(value, 200);
      for (const { epoch, examples, skipped } of epochs) {
        const applied = used.get(epoch)!.reduce((sum, count) => sum + count, 0);
        assert.equal(examples + skipped, 200);
        assert.ok(applied <= examples && applied >= examples - 4 * tornSteps, `seed ${seed}`);
      }
    }
  }
});

test("with all workers killed and started again the run goes on", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed).start();
    cluster.run(1, () => training(cluster));
    for (const rank of [0, 1, 2, 3]) cluster.kill(cluster.worker(rank)!, "restarted");
    assert.equal(cluster.run().result.outcome, "done");
  }
});

for (const protocol of [
  { mode: "bsp" },
  { mode: "ssp", staleness: 1 },
  { mode: "asp", staleness: { rule: "none", scale: 0, floor: 0, max: 0 } },
] as const) {
  test(`a stranger takes over when all of an epoch's ${protocol.mode} workers are gone`, () => {
    for (const seed of seeds) {
      const evaluateEvery = { unit: "step", count: 4 } as const;
      const choices = { protocol, trainExamples: 200, epochs: 2, evaluateEvery };
      const cluster = clusterOf(seed, choices).start(2);
      cluster.run(1, () => training(cluster));
      for (const rank of [0, 1]) cluster.kill(cluster.worker(rank)!, "closed");
      for (const rank of [2, 3]) cluster.startMember("worker", rank);
      const { outcome, epochs, reason } = cluster.run().result;
      assert.equal(outcome, "done", reason);
      assert.equal(epochs[1]!.skipped, 0);
      assert.deepEqual(cluster.refusals, []);
    }
  });
}

const protocols = [
  { mode: "bsp" },
  { mode: "ssp", staleness: 1 },
  { mode: "asp", staleness: { rule: "none", scale: 0, floor: 0, max: 0 } },
] as const;

test("below its minimum a run waits for workers, and ends without", () => {
  const cluster = clusterOf(1, { workersMin: 3, epochs: 40 }).start();
  cluster.run(1, () => training(cluster));
  for (const rank of [0, 1]) cluster.kill(cluster.worker(rank)!, "closed");
  const killedMs = cluster.nowMs;
  cluster.run();
  assert.equal(cluster.result.code, "too_few_workers");
  assert.match(
    cluster.result.reason,
    /^2 workers are left and at least 3 must be, after 4 s .*checkpoint of step \d+ .*--workers$/,
  );
  assert.ok(cluster.nowMs - killedMs > 4000, "workers were waited for");
});

test("below its minimum a run ends at once where a supervisor starts nobody again", () => {
  const cluster = clusterOf(1, { workersMin: 4, epochs: 20 }).start();
  cluster.run(1, () => training(cluster));
  cluster.kill(cluster.worker(0)!, "exited");
  const killedMs = cluster.nowMs;
  cluster.run();
  assert.equal(cluster.result.code, "too_few_workers");
  assert.ok(cluster.nowMs - killedMs < 1000);
});

for (const feed of ["static", "leased"] as const) {
  for (const protocol of protocols) {
    test(`below its minimum nobody trains on (${protocol.mode}, ${feed})`, () => {
      for (const seed of seeds.slice(0, 4)) {
        const spec = { workersMin: 4, trainExamples: 1000, protocol, feed };
        const cluster = clusterOf(seed, spec).start();
        cluster.run(1, () => training(cluster));
        cluster.kill(cluster.worker(seed % 4)!, "closed");
        const reason = /^3 workers are there and at least 4 must be: training waits up to 4 s /;
        cluster.run(1, () => cluster.events.some(({ text }) => reason.test(text)));
        const waitedMs = cluster.nowMs + 1000;
        cluster.run(1, () => cluster.nowMs > waitedMs);
        const { activity, globalSteps } = cluster.coordinator.snapshot(cluster.nowMs);
        assert.equal(activity, "waiting for workers: at least 4 must take part");
        cluster.run(1, () => cluster.nowMs > waitedMs + 1500);
        assert.equal(cluster.coordinator.snapshot(cluster.nowMs).globalSteps, globalSteps);
        cluster.startMember("worker", seed % 4);
        const { outcome, reason: why, epochs } = cluster.run().result;
        assert.equal(outcome, "done", why);
        for (const { examples, skipped } of epochs) assert.equal(examples + skipped, 1000);
        assert.deepEqual(cluster.refusals, []);
      }
    });
  }
}

test("too few workers while all servers live end with a checkpoint to go on from", () => {
  for (const protocol of protocols) {
    for (const seed of seeds.slice(0, 4)) {
      const spec = { workersMin: 3, epochs: 3, protocol };
      const cluster = clusterOf(seed, spec).start();
      cluster.run(1, () => training(cluster));
      for (const rank of [1, 2]) cluster.kill(cluster.worker(rank)!, "exited");
      const { code, reason } = cluster.run().result;
      assert.equal(code, "too_few_workers");
      const { step, why } = cluster.checkpoints.at(-1)!;
      assert.equal(why, "ending");
      const remedy = `go on from its checkpoint of step ${step} with paceline resume, or lower the`;
      const left = "2 workers are left and at least 3 must be";
      assert.equal(reason, `${left}: ${remedy} minimum of --workers`);
      const resume = cluster.checkpoints.at(-1)!;
      const rest = clusterOf(seed + 100, spec, { resume })
        .start()
        .run();
      assert.equal(rest.result.outcome, "done", rest.result.reason);
      for (const { examples, skipped } of rest.result.epochs) assert.equal(examples + skipped, 96);
    }
  }
});

test("what the host finds broken in mid-run ends it with a checkpoint", () => {
  const cluster = clusterOf(1).start();
  cluster.run(1, () => training(cluster));
  cluster.tell({ type: "fail", code: "data", reason: "shard 3 is corrupt" });
  const { code, reason } = cluster.run().result;
  assert.equal(code, "data");
  assert.match(reason, /^shard 3 is corrupt: go on from its checkpoint of step \d+ with/);
});

test("a range of workers that is written starts with its minimum, and others join", () => {
  const cluster = clusterOf(1, { workersMin: 1, workersMax: 3 });
  const setup = { spec: cluster.plan.spec, layout: cluster.layout, resume: null };
  cluster.tell({ type: "submit", setup: { ...setup, workersAtStart: 1 }, term: 1 });
  for (const index of [0, 1]) cluster.startMember("server", index);
  cluster.startMember("worker", 0);
  cluster.run(1, () => training(cluster));
  assert.ok(cluster.nowMs < 5000, "the time to start is not waited for");
  cluster.startMember("worker", 1);
  assert.equal(cluster.run().result.outcome, "done");
  assert.deepEqual(Object.keys(cluster.result.workers), ["0", "1"]);
});

test("processes that are busy while they start are not taken for dead", () => {
  const cluster = clusterOf(1, {}, { startsBusyMs: 7000 }).start();
  const { outcome, reason } = cluster.run().result;
  assert.equal(outcome, "done", reason);
  assert.deepEqual(
    cluster.events.filter(({ kind }) => kind === "lost"),
    [],
  );
});

test("a loss that is not finite ends the run and names step and worker", () => {
  const cluster = clusterOf(1, {}, { diverges: { rank: 2, step: 5 } })
    .start()
    .run();
  assert.equal(cluster.result.code, "diverged");
  assert.match(cluster.result.reason, /^loss is NaN at step 5 on worker 2: lower --lr/);
});

test("a cluster that does not form says who has come", () => {
  const cluster = clusterOf(1, { workersMin: 2 });
  cluster.submit(cluster.plan.spec);
  cluster.startMember("server", 0);
  cluster.startMember("worker", 0);
  cluster.run();
  assert.equal(cluster.result.code, "cluster_not_formed");
  assert.match(
    cluster.result.reason,
    /^the time to start is over and 1 of 2 servers and 1 of 4 workers have come: /,
  );
});

test("a cluster with its minimum starts when the time to start is over", () => {
  const cluster = clusterOf(1, { workersMin: 2 }).start(2);
  assert.equal(cluster.run().result.outcome, "done");
  assert.deepEqual(Object.keys(cluster.result.workers), ["0", "1"]);
});

test("a member that registers and never opens a session is dropped when it had time to", () => {
  const cluster = clusterOf(1, {}, { config: { leaseMs: 1000, startTimeoutMs: 2000 } });
  const request = {
    protocol: protocolVersion,
    role: "worker",
    rank: null,
    incarnation: null,
  } as const;
  cluster.tell({
    type: "register",
    request: { ...request, pid: 1, host: "h", address: "", frames: null, attempt: "" },
  });
  const member = { role: "worker", rank: 0, incarnation: mint(1, 1) } as const;
  assert.ok(cluster.coordinator.knows(member));
  cluster.run(1, () => cluster.nowMs > 2850);
  assert.ok(cluster.coordinator.knows(member));
  cluster.run(1, () => cluster.nowMs > 3200);
  assert.ok(!cluster.coordinator.knows(member));
});

test("a worker with other tensors is told so, and the others go on", () => {
  const cluster = clusterOf(1, { workersMin: 2 });
  cluster.submit(cluster.plan.spec);
  for (const index of [0, 1]) cluster.startMember("server", index);
  for (const rank of [0, 1, 3]) cluster.startMember("worker", rank);
  cluster.startMember("worker", 2, 0, true);
  assert.equal(cluster.run().result.outcome, "done");
  const warning = cluster.events.find(({ kind }) => kind === "warning")!;
  assert.match(warning.text, /^worker-2's model is not the run's mlp: it has w 5 .* where .* w 4 /);
});

test("weights that can't be loaded end the run", () => {
  const cluster = clusterOf(1, {}, { loadFails: true }).start().run();
  assert.deepEqual([cluster.result.outcome, cluster.result.code], ["failed", "timeout"]);
});

test("an interrupt before training ends the run with nothing to save", () => {
  const cluster = clusterOf(1).start();
  cluster.tell({ type: "interrupt", reason: "Ctrl-C" });
  assert.equal(cluster.run().result.outcome, "interrupted");
  assert.equal(cluster.checkpoints.length, 0);
});

for (const protocol of [
  { mode: "bsp" },
  { mode: "ssp", staleness: 1 },
  { mode: "asp", staleness: { rule: "none", scale: 0, floor: 0, max: 0 } },
] as const) {
  test(`an interrupt of ${protocol.mode} saves a quiet state, also without workers`, () => {
    for (const seed of seeds) {
      const every = { unit: "step", count: 7 } as const;
      const spec = { protocol, evaluateEvery: every, checkpointEvery: every };
      const cluster = clusterOf(seed, spec).start();
      cluster.run(1, () => training(cluster));
      const deaths = seed % 3 === 0 ? [0, 1, 2, 3] : seed % 3 === 1 ? [seed % 4] : [];
      for (const rank of deaths) cluster.kill(cluster.worker(rank)!, "closed");
      const interrupt = () => cluster.tell({ type: "interrupt", reason: "Ctrl-C" });
      cluster.network.after(50 * seed, interrupt);
      cluster.run();
      assert.equal(cluster.result.outcome, "interrupted", cluster.result.reason);
      const resume = cluster.checkpoints.at(-1)!;
      assert.equal(resume.why, "interrupt");
      const rest = clusterOf(seed + 100, spec, { resume })
        .start()
        .run();
      assert.equal(rest.result.outcome, "done");
      for (const value of rest.values()) positionsUsed(value, 96);
      for (const { examples, skipped } of rest.result.epochs) assert.equal(examples + skipped, 96);
    }
  });
}

test("a run whose last checkpoint can't be written has not ended well", () => {
  for (const isInterrupted of [false, true]) {
    const cluster = clusterOf(1, {}, { saveProblem: "the disk is full" }).start();
    if (isInterrupted) {
      cluster.run(1, () => training(cluster));
      cluster.tell({ type: "interrupt", reason: "Ctrl-C" });
    }
    const { outcome, code, reason } = cluster.run().result;
    assert.deepEqual([outcome, code], ["failed", "unsaved"]);
    assert.match(reason, /^(training is done|interrupted), not saved: the disk is full$/);
  }
});

for (const protocol of [
  { mode: "bsp" },
  { mode: "ssp", staleness: 1 },
  { mode: "asp", staleness: { rule: "none", scale: 0, floor: 0, max: 0 } },
] as const) {
  test(`checkpoints of ${protocol.mode} that are due by the clock change nothing else`, () => {
    for (const seed of seeds.slice(0, 6)) {
      const slow = { computeMs: 400 };
      const spec = { protocol, epochs: 2 };
      const unbroken = clusterOf(seed, { ...spec, checkpointEvery: null }, slow)
        .start()
        .run();
      const timed = { unit: "second", count: 1 } as const;
      const cluster = clusterOf(seed, { ...spec, checkpointEvery: timed }, slow)
        .start()
        .run();
      assert.equal(cluster.result.outcome, "done");
      const why = cluster.checkpoints.map((checkpoint) => checkpoint.why);
      assert.ok(why.length > 2 && why.slice(0, -1).every((one) => one === "checkpoint"), `${why}`);
      const examples = ({ result }: ModelCluster) =>
        result.epochs.map((epoch) => epoch.examples + epoch.skipped);
      assert.deepEqual(examples(cluster), examples(unbroken));
      if (protocol.mode !== "bsp") continue;
      assert.equal(cluster.values()[0]!.digest, unbroken.values()[0]!.digest);
    }
  });
}

test("a serving coordinator takes one run after the other with the same members", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed, {}, { config: { serve: true } }).start();
    cluster.run(1, () => training(cluster));
    cluster.startMember("worker", null);
    cluster.startMember("server", null);
    cluster.run(1, () => cluster.members.length === 8);
    cluster.run();
    const members = cluster.members.filter(({ alive }) => alive).length;
    const digest = cluster.values()[0]!.digest;
    for (const run of ["second", "third"]) {
      const before = cluster.results.length;
      if (seed % 2 === 0) cluster.cut(cluster.worker(1)!, 400);
      cluster.submit({ ...cluster.plan.spec, run });
      cluster.run(before + 1);
      assert.equal(cluster.result.outcome, "done");
      assert.equal(cluster.values()[0]!.digest, digest);
    }
    assert.equal(cluster.members.filter(({ alive }) => alive).length, members);
    assert.equal(members, 8);
  }
});

test("a late answer for an earlier run is not taken for one of this run", () => {
  const cluster = clusterOf(1, {}, { config: { serve: true } })
    .start()
    .run();
  cluster.submit({ ...cluster.plan.spec, run: "second" });
  cluster.tell({ type: "fail", code: "timeout", reason: "late", run: "r" });
  cluster.tell({ type: "loaded", problem: null, run: "r" });
  cluster.run(2);
  assert.equal(cluster.result.outcome, "done");
});

test("the counts at the end include those of workers that were lost", () => {
  const cluster = clusterOf(1, { trainExamples: 200 }).start();
  cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 6);
  cluster.kill(cluster.worker(2)!, "restarted");
  const { workers, servers, globalSteps } = cluster.run().result;
  const lives = cluster.workers().filter(({ rank }) => rank === 2);
  assert.equal(lives.length, 2);
  const last = lives[1]!.heartbeat();
  assert.ok(last.type === "heartbeat" && workers[2]!.examples > last.worker!.examples);
  const versions = Object.values(servers).filter(({ chunks }) => chunks > 0);
  assert.equal(globalSteps, Math.min(...versions.map(({ versionMin }) => versionMin)));
  assert.ok(globalSteps > 30);
});
