import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemberSnapshot } from "../protocol/run-events.js";
import { JobQueue, missingMembers } from "./job-queue.js";

test("jobs come out as they went in, under names of their own", async () => {
  const queue = new JobQueue<number>();
  assert.equal(queue.next(), null);
  assert.equal(queue.add({ name: "a", request: 1 }), 0);
  assert.equal(queue.add({ name: "b", request: 2 }), 1);
  assert.throws(() => queue.add({ name: "b", request: 3 }), {
    message: /--name b: .* already queued/,
  });
  await queue.wait();
  assert.equal(queue.next()?.name, "a");
  assert.deepEqual(queue.clear(), ["b"]);
  const waited = queue.wait();
  queue.wake();
  await waited;
});

test("what a job waits for is told with the numbers", () => {
  const settings = { workers: { min: 1, max: 4 }, servers: { min: 1, max: 1 } };
  const member = (role: "server" | "worker") => ({ role, state: "alive" }) as MemberSnapshot;
  const told = missingMembers("j", settings, { members: [member("worker")] }, 60_000);
  assert.match(told ?? "", /^job j waits for 4 workers and 1 server, 1 and 0 are here; after 60 s/);
  const all = [member("server"), ...Array<MemberSnapshot>(4).fill(member("worker"))];
  assert.equal(missingMembers("j", settings, { members: all }, 60_000), null);
});
