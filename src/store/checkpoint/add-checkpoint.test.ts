/** Which checkpoints of a run stay when another joins them. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { layOut } from "../../protocol/layout.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { aroundFiles, diskFiles, type Files } from "../files.js";
import { addCheckpoint } from "./add-checkpoint.js";
import { readCheckpoint } from "./checkpoint.js";
import { listCheckpoints } from "./checkpoint-folder.js";

async function emptyRun(context: TestContext): Promise<string> {
  const run = await mkdtemp(join(tmpdir(), "paceline-add-"));
  context.after(() => rm(run, { recursive: true, force: true }));
  return run;
}

function add(run: string, step: number, value: number, files: Files = diskFiles): Promise<string> {
  const layout = layOut([{ name: "w", shape: [2], group: "weight" }], 4);
  const chunks = [{ version: step, examples: step, sealedStep: step - 1, applied: [] }];
  const place = { created: "2024-01-01T00:00:00Z", globalStep: step, examples: step, chunks };
  const facts = { ...place, spec: sampleSpec, cursor: null, machine: {} };
  const weights = Float32Array.of(value, value);
  return addCheckpoint(run, { facts, layout, weights, state: [] }, 2, files);
}

async function stepsOf(run: string): Promise<number[]> {
  return (await listCheckpoints(run)).map(({ step }) => step);
}

/** The disk, on which something else happens before a verb is done at a path for the first time. */
function before(verb: string, where: RegExp, happens: () => Promise<unknown>): Files {
  let isDone = false;
  return aroundFiles(diskFiles, async (one, path, action) => {
    if (!isDone && one === verb && where.test(path)) {
      isDone = true;
      await happens();
    }
    return action();
  });
}

test("as many stay as are to be kept, and what was given up is moved away", async (context) => {
  const run = await emptyRun(context);
  for (const step of [10, 20, 30]) await add(run, step, step);
  assert.deepEqual(await stepsOf(run), [20, 30]);
  await add(run, 25, 1);
  assert.deepEqual(await stepsOf(run), [20, 25]);
  assert.deepEqual(await readdir(join(run, "checkpoints", "retired")), ["step-30"]);
});

test("one that was slow moves none away that came while it was written", async (context) => {
  const run = await emptyRun(context);
  await add(run, 10, 1);
  const slow = before("sync the folder", /checkpoints$/, () => add(run, 30, 3));
  await add(run, 20, 2, slow);
  assert.deepEqual(await stepsOf(run), [20, 30]);
});

test("of two that write the same step neither writes into the other's files", async (context) => {
  const run = await emptyRun(context);
  let ended: Promise<unknown> = Promise.resolve();
  let other: Promise<unknown> = Promise.resolve();
  const slow = before("create", /manifest\.json$/, async () => {
    // The other one has written half of its own when this one goes on.
    await new Promise<void>((resolve) => {
      const waits = before("create", /manifest\.json$/, () => {
        resolve();
        return ended;
      });
      other = add(run, 10, 2, waits);
    });
  });
  const one = add(run, 10, 1, slow);
  ended = one.catch(() => {});
  await assert.rejects(one, { code: "storage" });
  await other;
  const [found] = await listCheckpoints(run);
  const { weights } = await readCheckpoint(found!.path);
  assert.deepEqual([...weights], [2, 2]);
});
