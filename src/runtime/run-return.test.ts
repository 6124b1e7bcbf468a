/** What another coordinator finds of a run in its folder. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { RunSetup } from "../core/work/run-setup.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { readCoordinatorState, writeCoordinatorState } from "../store/coordinator-state.js";
import { openRunDirectory } from "../store/runs/run-directory.js";
import { layoutOf } from "./compute/initial-state.js";
import { prepareReturn, stateAtStart } from "./run-return.js";
import type { RunSettings } from "./run-settings.js";

const root = mkdtempSync(join(tmpdir(), "paceline-run-return-"));
after(() => rm(root, { recursive: true, force: true }));

const spec = { ...sampleSpec, run: "a-1", name: "a" };
const setup: RunSetup = { spec, layout: layoutOf(spec), resume: null, workersAtStart: 2 };

/** A run's folder as a coordinator has left it that died before training. */
async function leave(name: string, hasState: boolean): Promise<RunSettings> {
  const request = { root, name, stem: "a", resuming: false, configText: "" };
  const directory = await openRunDirectory(request);
  if (hasState) await writeCoordinatorState(directory.path, stateAtStart(setup, null, 3));
  await directory.close();
  const workers = { min: 1, max: 2 };
  return { model: "mlp", mode: "bsp", workers, runDir: root, name } as RunSettings;
}

test("a run that did not train begins anew, under a term and generation of its own", async () => {
  const options = await leave("fresh", true);
  for (const [term, generation] of [
    [4, 1],
    [5, 2],
  ]) {
    const returned = await prepareReturn(options, "");
    assert.deepEqual([returned.term, returned.setup.generation], [term, generation]);
    assert.equal(returned.record, null);
    assert.deepEqual(returned.setup.spec, spec);
    assert.equal(returned.setup.workersAtStart, 2);
    assert.ok(returned.state !== null, "servers are given the start");
    const kept = await readCoordinatorState(returned.directory.path);
    assert.deepEqual([kept?.term, kept?.generation], [term, generation], "durable by then");
    await returned.directory.close();
  }
});

test("a folder that its coordinator still writes into is not taken", async () => {
  const options = await leave("held", true);
  const request = { root, name: "held", stem: "a", resuming: true, configText: "" };
  const held = await openRunDirectory(request);
  await assert.rejects(prepareReturn(options, ""), {
    code: "usage",
    message: /process \d+ on .* has been writing into/,
  });
  assert.equal((await readCoordinatorState(held.path))?.term, 3);
  await held.close();
  await (await prepareReturn(options, "")).directory.close();
});

test("a folder that does not say how its run began is a storage error, and left free", async () => {
  const options = await leave("bare", false);
  const wrong = { code: "storage", message: /does not say how its run began: start it again/ };
  await assert.rejects(prepareReturn(options, ""), wrong);
  await assert.rejects(prepareReturn(options, ""), wrong);
});
