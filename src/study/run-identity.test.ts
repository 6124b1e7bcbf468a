import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { groupResults } from "./group-results.js";
import { readStudyResult } from "./read-results.js";

const root = mkdtempSync(join(tmpdir(), "paceline-identity-"));
after(() => rmSync(root, { recursive: true }));

function file(text: string): string {
  const path = join(root, "one.json");
  writeFileSync(path, text);
  return path;
}

const worker = { worker_id: 0, total_workers: 2, epoch_times_seconds: [280, 300] };

describe("files that look different", () => {
  const run = { spec: { run: "r1" }, startedAt: "2026-01-01", endedAt: "2026-01-02" };
  const named = (name: string, paceline: object) => ({
    experiment_name: name,
    raw_worker_metrics: [worker],
    paceline: { protocol: "bsp", workers: 2, ...paceline },
  });
  const identityOf = async (content: unknown) =>
    (await readStudyResult(file(JSON.stringify(content)))).identity;

  test("are of one run where the run says so", async () => {
    const own = await identityOf(named("a", run));
    assert.equal(await identityOf(named("sync_2workers", { ...run, attempts: 1 })), own);
    assert.notEqual(await identityOf(named("a", { ...run, spec: { run: "r2" } })), own);
    // What a checkpoint was resumed twice has one id, and two ends.
    assert.notEqual(await identityOf(named("a", { ...run, endedAt: "2026-01-03" })), own);
  });
});

test("an epoch may have any number, and a file begin with a byte order mark", async () => {
  const epoch = 4_000_000_000;
  const epochs = [{ epoch, examples: 10, trainLoss: 0.5 }];
  const content = {
    experiment_name: "sync_2workers",
    raw_worker_metrics: [worker],
    paceline: { protocol: "bsp", workers: 2, epochs },
  };
  const path = file(`\uFEFF${JSON.stringify(content)}`);
  const result = await readStudyResult(path);
  assert.deepEqual(
    result.epochs.map((one) => one.epoch),
    [1, 2, epoch],
  );
  assert.equal(result.epochs[2]!.trainLoss, 0.5);
  const [group] = groupResults([result]);
  assert.equal(group!.epochs.length, 3);
});
