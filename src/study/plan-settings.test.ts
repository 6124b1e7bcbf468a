/** Runs that differ in their plans are no repeats of one run. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readStudyResult } from "./read-results.js";

test("two plans with the same modes are told apart", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "paceline-plans-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const planOf = async (end: number) => {
    const phases = [
      { protocol: { mode: "bsp" }, end },
      { protocol: { mode: "asp" }, end: null },
    ];
    const paceline = { protocol: "bsp-asp", workers: 2, spec: { plan: phases } };
    const path = join(folder, `${end}.json`);
    const metrics = { server_metrics: null, raw_worker_metrics: [] };
    writeFileSync(path, JSON.stringify({ experiment_name: `to-${end}`, ...metrics, paceline }));
    return (await readStudyResult(path)).settings.plan;
  };
  const [early, late] = [await planOf(100), await planOf(200)];
  assert.equal(early, "bsp end 100,asp");
  assert.notEqual(early, late);
});
