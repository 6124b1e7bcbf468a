/** A submission that a serving coordinator could not keep. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { writeSampleMnist } from "../data/testing/sample-files.js";
import { PacelineError } from "../errors.js";
import { resolve } from "../options/resolve.js";
import { startServing } from "../runtime/serving/start-serving.js";
import type { QueueState } from "../store/queue-state.js";
import type { ServingStore } from "../store/serving-store.js";
import { MemoryNetwork } from "../transport/memory/memory.js";

test("a submission that can't be kept is refused, and begins at no time", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "paceline-unkept-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [dataDir, runDir] = [join(folder, "data"), join(folder, "runs")];
  await writeSampleMnist(dataDir, { train: 64, test: 16, seed: 1 });
  const given = { model: "logistic", data: "mnist-parity", dataDir, runDir, name: "job" };
  const { options } = resolve("train", {
    flags: new Map(Object.entries(given) as [keyof typeof given, string][]),
  });
  let refuse: (() => void) | null = null;
  let reads = 0;
  const none = { min: 0, max: 0 };
  const store = {
    ...{ where: "the queue", readQueue: async () => null, forget: async () => {} },
    states: { read: async () => null, write: async () => {} },
    writeQueue: (state: QueueState) =>
      state.jobs.length === 0
        ? Promise.resolve()
        : new Promise<void>((_, reject) => {
            refuse = () => reject(new PacelineError("storage", "there is no space left"));
          }),
  };
  const settings = { ...{ host: "memory", port: 1, runDir, serve: true }, leaseMs: 3000 };
  const times = { startTimeoutMs: 1000, ioTimeoutMs: 1000, gatherMs: 0 };
  const transport = new MemoryNetwork().createTransport();
  const serving = await startServing({ ...settings, ...times } as never, {
    ...{ store: store as unknown as ServingStore, log: () => {} },
    transport,
    readSubmitted: () => {
      reads++;
      return { settings: { ...options, workers: none, servers: none }, configText: "" } as never;
    },
  });
  t.after(() => serving.close());
  const submission = { config: "x", priority: 0, host: "h", pid: 1 };
  const submitted = transport.submit(serving.address, submission);
  while (refuse === null) await sleep(5);
  // Longer than from one look at the queue to the next.
  await sleep(300);
  (refuse as () => void)();
  await assert.rejects(submitted, /there is no space left/);
  await sleep(300);
  assert.equal(reads, 1, "it is read when it is submitted alone");
  assert.deepEqual(await transport.jobs(serving.address, ""), []);
});
