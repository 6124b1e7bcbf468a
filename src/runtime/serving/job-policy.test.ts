/** Which job begins, what the others wait for, and that a large one does not wait for ever. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseJob, idleReason, passesMax, shortageOf, type WaitingJob } from "./job-policy.js";

const job = (id: number, workers: number, passedBy = 0): WaitingJob => {
  return { id, name: `j${id}`, workers, servers: 1, passedBy };
};
const members = (workers: number, servers = 1) => ({ workers, servers });
const idle = { running: [], jobsMax: 2 };

test("the first that fits begins, and says of the others what they wait for", () => {
  const supply = { ...idle, free: members(2), all: members(4) };
  const { next, passed, waitsFor } = chooseJob([job(1, 4), job(2, 2), job(3, 1)], supply);
  assert.deepEqual({ next, passed }, { next: 2, passed: [1] });
  assert.deepEqual(Object.fromEntries(waitsFor), {
    1: "waits for 2 more workers: 2 of 4 are free",
    3: "waits for its turn",
  });
});

test("at the limit of --jobs all wait for their turn", () => {
  const supply = { free: members(9), all: members(9), running: ["a", "b"], jobsMax: 2 };
  const { next, waitsFor } = chooseJob([job(1, 1)], supply);
  assert.equal(next, null);
  assert.equal(waitsFor.get(1), "waits for its turn: a, b run, and --jobs is 2");
});

test("a job that was passed often enough holds back those behind it", () => {
  const supply = { ...idle, free: members(2), all: members(4) };
  let waiting = job(1, 4);
  for (let round = 0; round < passesMax; round++) {
    const { next, passed } = chooseJob([waiting, job(2 + round, 1)], supply);
    assert.deepEqual({ next, passed }, { next: 2 + round, passed: [1] });
    waiting = { ...waiting, passedBy: waiting.passedBy + 1 };
  }
  const held = chooseJob([waiting, job(9, 1)], supply);
  assert.equal(held.next, null);
  assert.equal(held.waitsFor.get(9), "waits until job j1 has begun, which 4 jobs have passed");
  assert.equal(chooseJob([waiting, job(9, 1)], { ...supply, free: members(4) }).next, 1);
});

test("a job that needs more than there are in all holds nobody back", () => {
  const supply = { ...idle, free: members(2), all: members(3) };
  const { next, passed } = chooseJob([job(1, 4, passesMax), job(2, 1)], supply);
  assert.deepEqual({ next, passed }, { next: 2, passed: [] });
});

test("what is missing is told of both roles", () => {
  const missing = shortageOf({ workers: 2, servers: 2 }, { workers: 1, servers: 0 });
  const wanted = "2 more servers: 0 of 2 are free, and 1 more worker: 1 of 2 are free";
  assert.equal(missing, wanted);
  assert.equal(shortageOf({ workers: 1, servers: 1 }, { workers: 1, servers: 1 }), null);
});

test("an idle member knows why", () => {
  const waiting = { id: 1, name: "x", waitsFor: "waits for 1 more worker: 0 of 1 are free" };
  const running = { name: "y", workers: 2, servers: 1 };
  assert.equal(idleReason("worker", [], []), "idle: no job");
  assert.equal(idleReason("worker", [], [running]), "idle: job y has its 2 workers");
  assert.equal(idleReason("server", [], [running]), "idle: job y has its 1 server");
  const both = idleReason("server", [], [running, running]);
  assert.equal(both, "idle: 2 jobs have the servers they need");
  const of = idleReason("server", [waiting], [running]);
  assert.equal(of, "idle: job x waits for 1 more worker: 0 of 1 are free");
});
