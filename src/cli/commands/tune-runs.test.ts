import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { CommandIo } from "../../options/resolved-options.js";
import { RunsOfSearch } from "./tune-runs.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-tune-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function begin(lines: string, environment: Record<string, string> = {}): RunsOfSearch {
  const path = join(folder, "run.yaml");
  writeFileSync(path, `model: mlp\ndata: mnist\n${lines}\n`);
  const sink = { write: () => {} };
  const io = { stdout: sink, stderr: sink, environment } as unknown as CommandIo;
  return new RunsOfSearch({ path, repeats: 1, folder: join(folder, "results") }, io);
}

test("a search refuses a mode that is not bsp, wherever it is said", () => {
  const wanted = {
    code: "usage",
    message: /run\.yaml keeps pace by asp, and what paceline tune switch tries begins as bsp;/,
  };
  assert.throws(() => begin("pace: {mode: asp}"), wanted);
  assert.throws(() => begin("when: [{match: {model: mlp}, set: {mode: asp}}]"), wanted);
  assert.throws(() => begin("", { PACELINE_MODE: "asp" }), wanted);
  assert.throws(() => begin("mode: asp"), /mode in .*run\.yaml is what paceline tune switch tries/);
  assert.ok(begin("pace: {mode: bsp}"));
});
