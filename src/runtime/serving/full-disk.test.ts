/** A queue that can't be written for a while: no job is lost for it. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PacelineError } from "../../errors.js";
import type { QueueState } from "../../store/queue-state.js";
import type { ServingStore } from "../../store/serving-store.js";
import { MemoryNetwork } from "../../transport/memory/memory.js";
import { JobQueue } from "./job-queue.js";
import { startServing } from "./start-serving.js";

test("jobs wait while the disk is full, and begin when there is room", async (t) => {
  const runDir = await mkdtemp(join(tmpdir(), "paceline-full-"));
  t.after(() => rm(runDir, { recursive: true, force: true }));
  const queued = new JobQueue(null);
  const job = { config: "", priority: 0, host: "", pid: 0, workers: 0, servers: 0 };
  for (const name of ["one", "two"]) queued.add({ ...job, name }, "2026-01-01T00:00:00Z");
  let [isFull, refused] = [false, 0];
  let written: QueueState | null = null;
  const store: Partial<ServingStore> = {
    where: "the queue",
    readQueue: async () => queued.state,
    writeQueue: async (state) => {
      if (isFull) refused++;
      if (isFull) throw new PacelineError("storage", "there is no space left");
      written = state;
    },
    forget: async () => {},
  };
  const lines: string[] = [];
  const read: string[] = [];
  const settings = { ...{ host: "memory", port: 1, runDir, serve: true }, leaseMs: 3000 };
  const times = { startTimeoutMs: 1000, ioTimeoutMs: 1000, gatherMs: 0 };
  const until = async (what: string, isSo: () => boolean) => {
    for (let turn = 0; !isSo(); turn++) {
      assert.ok(turn < 1000, `${what}: ${lines.join("; ")}`);
      await sleep(10);
    }
  };
  const transport = new MemoryNetwork().createTransport();
  const serving = await startServing({ ...settings, ...times } as never, {
    ...{ store: store as ServingStore, transport, log: (line: string) => lines.push(line) },
    readSubmitted: () => {
      read.push("job");
      throw new PacelineError("usage", "that is all that is asked of it");
    },
  });
  t.after(() => serving.close());
  isFull = true;
  const before = refused;
  await until("further tries", () => refused > before + 3);
  assert.deepEqual(read, []);
  assert.equal(lines.filter((line) => /no space left/.test(line)).length, 1, "told once");
  isFull = false;
  await until("both jobs to begin", () => read.length === 2);
  await until("a queue that says so", () => written!.jobs.every(({ state }) => state === "failed"));
});
