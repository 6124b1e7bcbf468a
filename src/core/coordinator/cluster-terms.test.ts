/**
 * Whole clusters whose coordinator goes on under a higher term, hears of one, or can't keep what it
 * must.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { termOf } from "../../protocol/ids.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { seedsOf } from "../testing/seeds.js";

const seeds = seedsOf(10);

function clusterOf(seed: number): ModelCluster {
  return new ModelCluster({ seed, chunks: 4, spec: specOf({ epochs: 2 }) });
}

test("workers that came before the run's term was known come again, under ids of that term", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed);
    const { spec } = cluster.plan;
    for (let rank = 0; rank < spec.workersMax; rank++) cluster.startMember("worker", rank);
    for (let index = 0; index < spec.servers; index++) cluster.startMember("server", index);
    cluster.run(1, () => cluster.members.length === spec.workersMax + spec.servers);
    const early = [...cluster.members];
    const setup = { spec, layout: cluster.layout, resume: null };
    cluster.tell({ type: "submit", setup, term: 5 });
    const told = cluster.events.filter(({ text }) =>
      / has to register again: .* term 5$/.test(text),
    );
    assert.equal(told.length, spec.workersMax);
    for (const member of early)
      assert.equal(cluster.coordinator.knows(member), member.role === "server");
    for (let rank = 0; rank < spec.workersMax; rank++) cluster.startMember("worker", rank);
    assert.equal(cluster.run().result.outcome, "done", `seed ${seed}`);
    const later = cluster.workers().filter((worker) => !early.includes(worker));
    assert.ok(later.length >= spec.workersMax);
    assert.ok(later.every(({ incarnation }) => termOf(incarnation) === 5));
    for (const { term, view } of cluster.driven.records) {
      assert.deepEqual([term, termOf(view.number)], [5, 5]);
    }
  }
});

test("a term that is not higher than the coordinator's own leaves everybody in", () => {
  const cluster = clusterOf(1);
  cluster.startMember("worker", 0);
  cluster.run(1, () => cluster.members.length === 1);
  const setup = { spec: cluster.plan.spec, layout: cluster.layout, resume: null };
  cluster.tell({ type: "submit", setup, term: 1 });
  assert.ok(cluster.coordinator.knows(cluster.members[0]!));
  assert.equal(cluster.coordinator.term, 1);
});

test("a coordinator whose member has heard of a higher term ends its run, and says so", () => {
  const cluster = clusterOf(2).start();
  cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 2);
  const worker = cluster.worker(1)!;
  const beat = worker.heartbeat();
  assert.ok(beat.type === "heartbeat");
  cluster.say(worker, { ...beat, term: 4 });
  const { outcome, code, reason } = cluster.run().result;
  assert.deepEqual([outcome, code], ["failed", "refused"]);
  assert.match(reason, /^worker-1 has heard of term 4, this coordinator's is 1: another has taken/);
});

test("a run whose first view can't be kept fails before a server has heard of it", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed);
    cluster.driven.persistProblem = "the disk is full";
    const { outcome, code, reason } = cluster.start().run().result;
    assert.deepEqual([outcome, code], ["failed", "storage"]);
    assert.match(reason, /the disk is full/);
    assert.ok(cluster.servers().every(({ view }) => view === null));
    assert.deepEqual(cluster.driven.records, []);
  }
});
