import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { PacelineError } from "../../errors.js";
import { fileError } from "../file-errors.js";
import { aroundFiles, diskFiles } from "../files.js";
import { type ClusterMember, logPathIn, openRunDirectory, runStem } from "./run-directory.js";

let root = "";

beforeEach(async () => {
  root = join(await mkdtemp(join(tmpdir(), "paceline-run-")), "runs");
});

afterEach(async () => {
  await rm(join(root, ".."), { recursive: true, force: true });
});

const request = (name: string | null, resuming = false) => {
  const stem = runStem({ model: "mlp", mode: "bsp", workers: 4 });
  return { root, name, stem, resuming, configText: `resuming: ${resuming}\n` };
};

function usageError(message: RegExp): (thrown: unknown) => boolean {
  return (thrown) => {
    assert.ok(thrown instanceof PacelineError && thrown.code === "usage", String(thrown));
    assert.match(thrown.message, message);
    return true;
  };
}

function member(id: number, pid: number): ClusterMember {
  return { role: "worker", id, pid, host: "box", address: "" };
}

test("made-up names take the next number, past those taken", async () => {
  const names: string[] = [];
  for (let turn = 0; turn < 2; turn++) {
    const run = await openRunDirectory(request(null));
    names.push(run.name);
    await run.close();
  }
  await mkdir(join(root, "mlp-bsp-4w-041"));
  await mkdir(join(root, "mlp-bsp-4w-old"));
  await mkdir(join(root, "mlp-asp-4w-999"));
  const run = await openRunDirectory(request(null));
  names.push(run.name);
  await run.close();
  assert.deepEqual(names, ["mlp-bsp-4w-001", "mlp-bsp-4w-002", "mlp-bsp-4w-042"]);
});

test("runs that start at the same moment get folders of their own", async () => {
  const runs = await Promise.all(Array.from({ length: 8 }, () => openRunDirectory(request(null))));
  await Promise.all(runs.map((run) => run.close()));
  assert.equal(new Set(runs.map((run) => run.path)).size, 8);
});

test("a name that is taken is refused unless the run is resumed", async () => {
  await (await openRunDirectory(request("trial"))).close();
  await assert.rejects(
    openRunDirectory(request("trial")),
    usageError(/--name trial: there is a run of that name in .*; .* with --resume trial/),
  );
  assert.equal(await readFile(join(root, "trial", "config.yaml"), "utf8"), "resuming: false\n");
  const run = await openRunDirectory(request("trial", true));
  await run.close();
  assert.equal(await readFile(join(root, "trial", "config.yaml"), "utf8"), "resuming: true\n");
});

test("a name that could lead out of the folder is refused", async () => {
  for (const name of [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    ".hidden",
    "-x",
    "a b",
    "x".repeat(101),
  ]) {
    await assert.rejects(openRunDirectory(request(name)), usageError(/write at most 100 letters/));
  }
  await assert.rejects(readdir(root), /ENOENT/);
});

test("a run's folder holds its files where the documentation says", async () => {
  const run = await openRunDirectory(request("trial"));
  run.event({ what: "started" });
  run.metric({ step: 1, loss: 2.5 });
  await run.writeCluster([member(0, 10)]);
  await run.writeResult({ experiment_name: "trial" });
  assert.equal(logPathIn(run.path, "server", 1), join(run.path, "logs", "server-1.log"));
  await run.close();
  assert.deepEqual((await readdir(run.path)).sort(), [
    "cluster.json",
    "config.yaml",
    "events.jsonl",
    "logs",
    "metrics.jsonl",
    "result.json",
  ]);
  const text = (name: string) => readFile(join(run.path, name), "utf8");
  assert.equal(await text("events.jsonl"), '{"what":"started"}\n');
  assert.equal(await text("metrics.jsonl"), '{"step":1,"loss":2.5}\n');
  assert.deepEqual(JSON.parse(await text("result.json")), { experiment_name: "trial" });
  assert.deepEqual(JSON.parse(await text("cluster.json")), { members: [member(0, 10)] });
});

test("of many changes of the cluster the last one stands, and an empty one is valid", async () => {
  const run = await openRunDirectory(request("trial"));
  for (let pid = 1; pid <= 50; pid++) void run.writeCluster([member(0, pid), member(1, pid)]);
  await run.flush();
  const cluster = async () => JSON.parse(await readFile(join(run.path, "cluster.json"), "utf8"));
  assert.deepEqual(await cluster(), { members: [member(0, 50), member(1, 50)] });
  await run.writeCluster([]);
  assert.deepEqual(await cluster(), { members: [] });
  await run.close();
});

test("a result that can't be written leaves the one before", async () => {
  let full = false;
  const files = aroundFiles(diskFiles, async (verb, path, action) => {
    if (!full || verb !== "write") return action();
    throw fileError(Object.assign(new Error("full"), { code: "ENOSPC" }), verb, path);
  });
  const run = await openRunDirectory(request("trial"), files);
  await run.writeResult({ accuracy: 97 });
  full = true;
  await assert.rejects(run.writeResult({ accuracy: 98 }), /disk is full/);
  full = false;
  await run.writeCluster([]);
  await run.close();
  const result = JSON.parse(await readFile(join(run.path, "result.json"), "utf8"));
  assert.deepEqual(result, { accuracy: 97 });
});

test("a full disk ends nothing, is told once, and what is lost is told on closing", async () => {
  let closed = 0;
  const full = (path: string) => /metrics.jsonl|cluster.json/.test(path);
  const files = aroundFiles(diskFiles, async (verb, path, action) => {
    if (verb === "close" && path.endsWith(".jsonl")) closed += 1;
    if (verb !== "write" || !full(path)) return action();
    throw fileError(Object.assign(new Error("full"), { code: "ENOSPC" }), verb, path);
  });
  const run = await openRunDirectory(request("trial"), files);
  const told: string[] = [];
  run.tellTrouble((text) => told.push(text));
  for (let turn = 0; turn < 3; turn++) {
    run.event({ turn });
    run.metric({ turn });
    await run.writeCluster([]).catch(() => undefined);
    assert.equal((await run.flush()).length, 2);
  }
  assert.equal(told.length, 2);
  const losses = await run.close();
  assert.match(losses[0]!, /metrics.jsonl lacks 3 lines: can't write .*: the disk is full/);
  assert.match(losses[1]!, /cluster.json is invalid: .*the disk is full/);
  const events = await readFile(join(run.path, "events.jsonl"), "utf8");
  assert.equal(events, '{"turn":0}\n{"turn":1}\n{"turn":2}\n');
  assert.ok(closed >= 2);
  await (await openRunDirectory(request("trial", true))).close();
});

test("a run's folder has one writer, resumed or not, until it is closed", async () => {
  const run = await openRunDirectory(request("trial"));
  run.event({ a: 1 });
  await run.flush();
  await assert.rejects(openRunDirectory(request("trial", true)), usageError(/wait until it ends/));
  assert.equal(await readFile(join(run.path, "config.yaml"), "utf8"), "resuming: false\n");
  await run.close();
  await (await openRunDirectory(request("trial", true))).close();
});

test("a folder that can't be begun takes no name", async () => {
  for (const name of ["trial", null]) {
    const files = aroundFiles(diskFiles, async (verb, path, action) => {
      if (verb !== "write") return action();
      throw fileError(Object.assign(new Error("full"), { code: "ENOSPC" }), verb, path);
    });
    await assert.rejects(openRunDirectory(request(name), files), /disk is full/);
    assert.deepEqual(await readdir(root), []);
  }
  await (await openRunDirectory(request("trial"))).close();
});
