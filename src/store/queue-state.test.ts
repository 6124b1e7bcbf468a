/** The queue's file: written whole, read as it was, and refused where it says something else. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { fileError } from "./file-errors.js";
import { aroundFiles, diskFiles } from "./files.js";
import { type QueueState, queueName, readQueueState, writeQueueState } from "./queue-state.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-queue-state-"));
const path = join(folder, queueName);
after(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
});

const job = {
  ...({ id: 2, name: "a", state: "queued", priority: -1, workers: 2, servers: 1 } as const),
  ...{ submittedAt: "2026-01-01T00:00:00.000Z", startedAt: null, endedAt: null },
  ...{ submitter: { host: "box", pid: 7 }, reason: "", result: null, config: "model: mlp\n" },
  ...{ hasBegun: true, isStopped: true, isCancelled: false, passedBy: 3 },
};
const state: QueueState = { term: 4, taken: 2, jobs: [job] };

test("what is kept is read as it was written, and a folder without it has none", async () => {
  assert.equal(await readQueueState(folder), null);
  await writeQueueState(folder, state);
  assert.deepEqual(await readQueueState(folder), state);
  assert.deepEqual(await readdir(folder), [queueName]);
});

test("a write that fails at any point leaves what was there", async () => {
  await writeQueueState(folder, state);
  let failAt = 0;
  for (let isWhole = false; !isWhole; failAt++) {
    let calls = 0;
    const files = aroundFiles(diskFiles, (verb, where, action) => {
      if (calls++ === failAt) throw fileError(new Error("the disk is full"), verb, where);
      return action();
    });
    const other = { ...state, term: 5 };
    isWhole = await writeQueueState(folder, other, files).then(
      () => true,
      () => false,
    );
    const { term } = (await readQueueState(folder)) ?? { term: 0 };
    assert.ok(term === 4 || term === 5, `whole either way, found ${term}`);
    if (!isWhole) await writeQueueState(folder, state);
  }
  assert.ok(failAt > 4, "each verb has failed once");
});

test("a file that is torn or says something else is told, and stays", async () => {
  await writeQueueState(folder, state);
  const whole = await readFile(path, "utf8");
  const ofLater = whole.replace('"taken":2', '"taken":1');
  for (const [text, message] of [
    [whole.slice(0, 40), /is not JSON: restore it, or move it away/],
    [whole.replace('"queued"', '"asleep"'), /is not a queue of jobs \(jobs.0.state/],
    [
      `{"jobs":${"[".repeat(9000)}${"]".repeat(9000)}}`,
      /is nested deeper than 100 levels: restore/,
    ],
    [ofLater, /a job has a number that was not given/],
  ] as const) {
    await writeFile(path, text);
    await assert.rejects(readQueueState(folder), { code: "storage", message });
    assert.equal(await readFile(path, "utf8"), text);
  }
});
