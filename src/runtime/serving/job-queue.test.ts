/** What becomes known of jobs as they are taken, begin, stop and end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { endedMax, JobQueue } from "./job-queue.js";

const now = "2026-01-01T00:00:00.000Z";
const later = "2026-01-01T00:01:00.000Z";
const end = { state: "done", reason: "training is done", result: null } as const;

function add(queue: JobQueue, name: string, priority = 0): number {
  const from = { config: `name: ${name}`, host: "box", pid: 7, workers: 2, servers: 1 };
  return queue.add({ name, priority, ...from }, now).id;
}

const names = (jobs: readonly { readonly name: string }[]) => jobs.map(({ name }) => name);

test("higher priority goes first, then the earlier; what was stopped keeps its place", () => {
  const queue = new JobQueue(null);
  const first = add(queue, "a");
  for (const [name, priority] of [
    ["b", 0],
    ["c", 5],
    ["d", -1],
  ] as const) {
    add(queue, name, priority);
  }
  assert.deepEqual(names(queue.queued), ["c", "a", "b", "d"]);
  queue.begin(first, [], now);
  assert.deepEqual([names(queue.queued), names(queue.running)], [["c", "b", "d"], ["a"]]);
  queue.stop(first, "stopped by SIGINT at step 4");
  assert.deepEqual(names(queue.queued), ["c", "a", "b", "d"]);
  const { hasBegun, isStopped, startedAt } = queue.find("a");
  assert.deepEqual(
    { hasBegun, isStopped, startedAt },
    { hasBegun: true, isStopped: true, startedAt: now },
  );
  queue.begin(first, [2, 4], later);
  queue.goesOn(first);
  assert.equal(queue.find("a").startedAt, now, "it began once");
  assert.equal(queue.find("a").isStopped, false);
  assert.deepEqual([queue.find("b").passedBy, queue.find("c").passedBy], [1, 0]);
});

test("all of it survives being kept and read again", () => {
  const queue = new JobQueue(null);
  queue.begin(add(queue, "a"), [], now);
  add(queue, "b");
  assert.equal(queue.nextTerm(), 1);
  assert.equal(queue.nextTerm(8), 9);
  const again = new JobQueue(JSON.parse(JSON.stringify(queue.state)));
  assert.deepEqual(again.state, queue.state);
  assert.equal(again.nextTerm(3), 10, "a term is given once");
  assert.equal(add(again, "c"), 3, "and so is a number");
});

test("a name belongs to one job that has not ended; jobs are found by name or number", () => {
  const queue = new JobQueue(null);
  const first = add(queue, "a");
  assert.throws(() => add(queue, "a"), { code: "usage", message: /"?a: a job of that name is/ });
  queue.end(first, end, later);
  assert.equal(queue.find("a").endedAt, later);
  assert.equal(queue.find("a").config, "", "its folder has it");
  const second = add(queue, "a");
  assert.equal(queue.find("a").id, second, "the latest");
  assert.equal(queue.find(`${first}`).id, first);
  assert.throws(() => queue.find("9"), { code: "refused", message: /no job 9/ });
  assert.equal(queue.nextName(["job-3", "job-4"]), "job-5");
});

test("of those that have ended the latest are remembered", () => {
  const queue = new JobQueue(null);
  const waiting = add(queue, "waiting");
  for (let index = 0; index < endedMax + 3; index++) {
    queue.end(add(queue, `j${index}`), end, later);
  }
  assert.equal(queue.jobs.length, endedMax + 1);
  assert.equal(queue.get(waiting)?.name, "waiting");
  assert.equal(queue.get(waiting + 3), null);
  assert.equal(queue.get(waiting + 4)?.name, "j3");
});
