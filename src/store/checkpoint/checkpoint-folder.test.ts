import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { PacelineError } from "../../errors.js";
import { layOut } from "../../protocol/layout.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { fileError } from "../file-errors.js";
import { aroundFiles, diskFiles } from "../files.js";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.js";
import {
  latestCheckpoint,
  listCheckpoints,
  pruneCheckpoints,
  readSound,
  resolveResume,
  retireLater,
} from "./checkpoint-folder.js";

let root = "";

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "paceline-runs-"));
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

function specOf(model: string): RunSpec {
  return {
    ...sampleSpec,
    name: "n",
    seed: 1,
    model,
    trainExamples: 10,
    testExamples: 10,
    updateRule: { ...sampleSpec.updateRule, beta1: 0, beta2: 0 },
    schedule: { ...sampleSpec.schedule, totalExamples: 10 },
    batchSize: 1,
    chunkValues: 4,
    virtualNodes: 1,
    loadBound: null,
    engine: "auto",
  };
}

async function keep(run: string, step: number, minute: number, model = "mlp"): Promise<string> {
  const layout = layOut([{ name: "w", shape: [2], group: "weight" }], 4);
  const marks = { version: step, examples: step, sealedStep: step - 1, applied: [] };
  const created = `2024-01-01T00:${String(minute).padStart(2, "0")}:00Z`;
  const spec = specOf(model);
  const place = { created, globalStep: step, examples: step, chunks: [marks] };
  return writeCheckpoint(join(root, run), {
    facts: { ...place, spec, cursor: null, machine: {} },
    layout,
    weights: Float32Array.of(1, 2),
    state: [],
  });
}

function checkpointError(message: RegExp): (thrown: unknown) => boolean {
  return (thrown) => {
    assert.ok(thrown instanceof PacelineError && thrown.code === "checkpoint", String(thrown));
    assert.match(thrown.message, message);
    return true;
  };
}

test("pruning keeps those of the highest steps, and one at least", async () => {
  for (const step of [5, 30, 200]) await keep("a", step, 0);
  const run = join(root, "a");
  const removed = await pruneCheckpoints(run, 2);
  assert.deepEqual(
    removed.map(({ step }) => step),
    [5],
  );
  await pruneCheckpoints(run, 0);
  assert.deepEqual(await readdir(join(run, "checkpoints")), ["step-200"]);
});

test("what a run has left behind by going back counts for nothing in what is kept", async () => {
  const run = join(root, "a");
  const steps = async () => (await listCheckpoints(run)).map(({ step }) => step);
  for (const step of [10, 20, 30, 40]) await keep("a", step, step);
  await pruneCheckpoints(run, 3);
  assert.deepEqual(await steps(), [20, 30, 40]);
  // The later two are broken: the run goes on from 20, with which alone it has anything.
  await retireLater(run, 20);
  await pruneCheckpoints(run, 1);
  assert.deepEqual(await steps(), [20], "the one that it goes on from");
  await keep("a", 25, 41);
  await pruneCheckpoints(run, 2);
  assert.deepEqual(await steps(), [20, 25]);
  await keep("a", 30, 42);
  await pruneCheckpoints(run, 2);
  assert.deepEqual(await steps(), [25, 30], "of its own line the newest");
  const retired = await readdir(join(run, "checkpoints", "retired"));
  assert.deepEqual(retired.sort(), ["step-30", "step-40"]);
});

test("a crash amid pruning leaves no half checkpoint in the list", async () => {
  for (const step of [5, 30]) await keep("a", step, 0);
  const run = join(root, "a");
  const files = aroundFiles(diskFiles, async (verb, path, action) => {
    if (verb !== "remove") return action();
    await rm(join(path, "manifest.json"));
    throw fileError(Object.assign(new Error("crash"), { code: "EIO" }), verb, path);
  });
  await assert.rejects(pruneCheckpoints(run, 1, files), /can't remove/);
  const steps = (await listCheckpoints(run)).map(({ step }) => step);
  assert.deepEqual(steps, [30]);
  await pruneCheckpoints(run, 1);
  assert.deepEqual(await readdir(join(run, "checkpoints")), ["step-30"]);
});

test("a checkpoint being replaced counts until the other is in place", async () => {
  const path = await keep("a", 7, 0);
  const old = join(root, "a", "checkpoints", ".old-step-7");
  await rename(path, old);
  assert.deepEqual(await listCheckpoints(join(root, "a")), [{ path: old, step: 7 }]);
  const whole = await keep("b", 7, 0);
  await rename(whole, path);
  assert.deepEqual(await listCheckpoints(join(root, "a")), [{ path, step: 7 }]);
  await rm(path, { recursive: true });
  await keep("a", 8, 0);
  const names = await readdir(join(root, "a", "checkpoints"));
  assert.deepEqual(names.sort(), ["step-7", "step-8"]);
});

test("strange names in the folder are no checkpoints", async () => {
  const folder = join(root, "a", "checkpoints");
  for (const name of ["step-", "step-x", "step-1.5", "notes", ".tmp-step-3", "step--4"]) {
    await mkdir(join(folder, name), { recursive: true });
  }
  assert.deepEqual(await listCheckpoints(join(root, "a")), []);
});

test("--resume takes a run's name, a run's folder, or a checkpoint's folder", async () => {
  await keep("a", 5, 0);
  const latest = await keep("a", 12, 1);
  const first = join(root, "a", "checkpoints", "step-5");
  const run = join(root, "a");
  const point = { step: 12, path: latest, runDirectory: run, skipped: [], isExact: false };
  assert.deepEqual(await resolveResume({ wanted: "a", runRoot: root }), point);
  assert.deepEqual(await resolveResume({ wanted: run, runRoot: "elsewhere" }), point);
  assert.deepEqual(await resolveResume({ wanted: first, runRoot: root }), {
    step: 5,
    path: first,
    runDirectory: run,
    skipped: [],
    isExact: true,
  });
  const moved = join(root, "kept-aside");
  await rename(first, moved);
  const outside = await resolveResume({ wanted: moved, runRoot: root });
  assert.deepEqual([outside.step, outside.runDirectory], [5, null]);
});

test("--resume auto takes the one written last, of the model if one is given", async () => {
  await keep("a", 900, 1);
  const written = await keep("b", 3, 9, "logistic");
  const auto = { wanted: "auto", runRoot: root };
  assert.equal((await resolveResume(auto)).path, written);
  assert.equal((await resolveResume({ ...auto, model: "mlp" })).step, 900);
  await assert.rejects(
    resolveResume({ ...auto, model: "resnet" }),
    checkpointError(/no checkpoint of model resnet; runs with one: a \(step 900\), b/),
  );
});

test("--resume auto passes over a checkpoint that can't be read, and says so", async () => {
  await keep("a", 10, 1);
  const broken = await keep("a", 20, 2);
  await writeFile(join(broken, "manifest.json"), "{}");
  const point = await resolveResume({ wanted: "auto", runRoot: root });
  assert.equal(point.step, 10);
  assert.equal(point.skipped[0]?.path, broken);
  assert.match(point.skipped[0]?.reason ?? "", /manifest.json is corrupt/);
});

test("a --resume that finds nothing says what there is", async () => {
  const ask = (wanted: string) => resolveResume({ wanted, runRoot: root });
  await assert.rejects(
    ask("auto"),
    checkpointError(/no checkpoint; no run in .* has one: train with --checkpoint-every/),
  );
  await keep("a", 5, 0);
  await mkdir(join(root, "bare"));
  await writeFile(join(root, "file"), "");
  await assert.rejects(
    ask("lost"),
    checkpointError(/--resume lost is neither a run in .* nor a folder; .*: a \(step 5\)/),
  );
  await assert.rejects(ask("bare"), checkpointError(/bare holds no complete checkpoint; runs/));
  await assert.rejects(ask(join(root, "file")), checkpointError(/neither a run/));
  await assert.rejects(ask("../x/y"), checkpointError(/neither a run/));
  await assert.rejects(
    resolveResume({ wanted: "auto", runRoot: join(root, "none") }),
    checkpointError(/no checkpoint/),
  );
});

test("going back retires what came later; what is written from there is the latest", async () => {
  for (const step of [48, 56, 64]) await keep("a", step, 0);
  const run = join(root, "a");
  const retired = join(run, "checkpoints", "retired");
  assert.deepEqual(await retireLater(run, 64), []);
  assert.deepEqual(await retireLater(run, 48), [
    { path: join(retired, "step-56"), step: 56 },
    { path: join(retired, "step-64"), step: 64 },
  ]);
  assert.equal((await readCheckpoint(join(retired, "step-64"))).manifest.globalStep, 64);
  await keep("a", 52, 1);
  await pruneCheckpoints(run, 1);
  assert.equal((await latestCheckpoint(run))?.step, 52);
  assert.equal((await resolveResume({ wanted: "a", runRoot: root })).step, 52);
  assert.equal((await resolveResume({ wanted: "auto", runRoot: root })).step, 52);
  await keep("a", 64, 2);
  assert.deepEqual(await retireLater(run, 50), [
    { path: join(retired, "step-52"), step: 52 },
    { path: join(retired, "step-64.2"), step: 64 },
  ]);
});

test("a crash amid retiring leaves checkpoints of one line", async () => {
  for (const step of [8, 16, 24]) await keep("a", step, 0);
  let renames = 0;
  const files = aroundFiles(diskFiles, async (verb, path, action) => {
    if (verb === "rename a file to" && ++renames === 2) throw fileError(new Error(), verb, path);
    return action();
  });
  await assert.rejects(retireLater(join(root, "a"), 8, files), /can't rename/);
  const steps = (await listCheckpoints(join(root, "a"))).map(({ step }) => step);
  assert.deepEqual(steps, [8, 16]);
});

test("a broken latest checkpoint is passed over for the sound one before it", async () => {
  for (const step of [10, 20, 30]) await keep("a", step, step);
  const folder = join(root, "a", "checkpoints");
  await writeFile(join(folder, "step-30", "model.safetensors"), "torn");
  await rm(join(folder, "step-20", "optimizer.safetensors"));
  for (const wanted of ["a", "auto"]) {
    const meant = await resolveResume({ wanted, runRoot: root });
    const { value, point } = await readSound(meant, readCheckpoint);
    assert.deepEqual([value.manifest.globalStep, point.step], [10, 10]);
    assert.deepEqual(
      point.skipped.map(({ path }) => path),
      [join(folder, "step-30"), join(folder, "step-20")],
    );
  }
  await writeFile(join(folder, "step-30", "manifest.json"), "{}");
  const exact = await resolveResume({ wanted: join(folder, "step-30"), runRoot: root });
  await assert.rejects(
    readSound(exact, readCheckpoint, "--ckpt"),
    checkpointError(/manifest.json is corrupt.*; step 10 of the same run is sound: --ckpt .*-10$/),
  );
  await rm(join(folder, "step-10"), { recursive: true });
  const named = await resolveResume({ wanted: "a", runRoot: root });
  await assert.rejects(readSound(named, readCheckpoint), checkpointError(/step-30.*is corrupt/));
});

/** A disk on which reading below a path ends with this error, so many times. */
function failing(below: string, code: string, times = Number.POSITIVE_INFINITY) {
  let left = times;
  return aroundFiles(diskFiles, async (verb, path, action) => {
    if (verb === "read" && path.startsWith(below) && left-- > 0) {
      throw fileError(Object.assign(new Error("no words of ours"), { code }), verb, path);
    }
    return action();
  });
}

for (const code of ["EIO", "Unknown system error -117"]) {
  test(`what the disk can't read (${code}) is passed over, which is said`, async () => {
    for (const step of [10, 20, 30]) await keep("a", step, step);
    const folder = join(root, "a", "checkpoints");
    for (const [wanted, file] of [
      ["a", "model.safetensors"],
      ["a", "manifest.json"],
      ["auto", "manifest.json"],
    ] as const) {
      const files = failing(join(folder, "step-30", file), code);
      const meant = await resolveResume({ wanted, runRoot: root }, files);
      const read = (path: string) => readCheckpoint(path, files);
      const { value, point } = await readSound(meant, read, "--resume", files);
      assert.deepEqual([value.manifest.globalStep, point.step], [20, 20]);
      assert.equal(point.skipped.length, 1);
      assert.match(point.skipped[0]!.reason, /^can't read .*step-30.*: /);
    }
    const files = failing(join(folder, "step-30"), code);
    const exact = await resolveResume({ wanted: join(folder, "step-30"), runRoot: root }, files);
    await assert.rejects(
      readSound(exact, (path) => readCheckpoint(path, files), "--ckpt", files),
      checkpointError(/can't read .*; step 20 of the same run is sound: --ckpt .*step-20$/),
    );
  });
}

test("what the disk could not read for a moment is not passed over", async () => {
  for (const step of [10, 20]) await keep("a", step, step);
  const newest = join(root, "a", "checkpoints", "step-20");
  for (const wanted of ["a", "auto"]) {
    const files = failing(newest, "EIO", 1);
    const meant = await resolveResume({ wanted, runRoot: root }, files);
    const { point } = await readSound(meant, (path) => readCheckpoint(path, files), "", files);
    assert.deepEqual([point.path, point.skipped], [newest, []]);
  }
});

for (const code of ["EACCES", "ETIMEDOUT", ""]) {
  test(`where there is no way to the newest checkpoint (${code}) no other is taken`, async () => {
    for (const step of [10, 20]) await keep("a", step, step);
    await keep("b", 5, 1);
    const files = failing(join(root, "a", "checkpoints", "step-20"), code);
    await assert.rejects(resolveResume({ wanted: "auto", runRoot: root }, files), {
      code: "storage",
      message: /^can't read .*step-20/,
    });
    const meant = await resolveResume({ wanted: "a", runRoot: root }, files);
    const reading = readSound(meant, (path) => readCheckpoint(path, files), "--resume", files);
    await assert.rejects(reading, { code: "storage", message: /^can't read .*step-20/ });
  });
}
