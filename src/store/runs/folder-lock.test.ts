import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { diskFiles } from "../files.js";
import { processStart } from "../process-life.js";
import { isLocked, lockFolder, lockName, refusalOf } from "./folder-lock.js";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-lock-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const since = "2024-01-01T00:00:00.000Z";

async function leave(owner: object): Promise<void> {
  await writeFile(join(folder, lockName), JSON.stringify({ since, ...owner }));
}

test("a folder has one writer at a time, who is named to the others", async () => {
  const lock = await lockFolder(folder);
  const wanted = new RegExp(`process ${process.pid} on .* since .*: wait until it ends`);
  await assert.rejects(lockFolder(folder), { code: "usage", message: wanted });
  assert.match((await refusalOf(folder)) ?? "", wanted);
  const other = await lockFolder(folder, "scores.lock");
  await lock.release();
  assert.equal(await refusalOf(folder), null);
  await (await lockFolder(folder)).release();
  await other.release();
  assert.deepEqual(await readdir(folder), []);
});

test("who has a folder removes what was left beside its files, and nothing else", async () => {
  const others = [".model.safetensors-0123abcd.part", ".notes.tmp", "x-0123abcd.tmp"];
  const left = [".config.yaml-0123abcd.tmp", ".result.json-ffffffff.tmp"];
  for (const name of [...others, ...left]) await writeFile(join(folder, name), "");
  await (await lockFolder(folder, "scores.lock")).release();
  assert.deepEqual((await readdir(folder)).sort(), [...others, ...left].sort());
  await (await lockFolder(folder)).release();
  assert.deepEqual((await readdir(folder)).sort(), others);
});

test("of many that come at once one has the folder, also where a dead one had it", async () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  for (const isStale of [false, true]) {
    if (isStale) await leave({ pid, host: hostname(), start: "boot/1" });
    const attempts = await Promise.allSettled(Array.from({ length: 12 }, () => lockFolder(folder)));
    const got = attempts.filter(({ status }) => status === "fulfilled");
    assert.equal(got.length, 1);
    for (const one of got) if (one.status === "fulfilled") await one.value.release();
    assert.deepEqual(await readdir(folder), []);
  }
});

test("a dead process, and another that got its pid, hold no folder", async (context) => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  await leave({ pid, host: hostname(), start: null });
  await (await lockFolder(folder)).release();
  if ((await processStart(process.pid)) === null) return context.skip("no /proc");
  await leave({ pid: process.pid, host: hostname(), start: "another boot/17" });
  await (await lockFolder(folder)).release();
  await leave({ pid: process.pid, host: hostname(), start: await processStart(process.pid) });
  await assert.rejects(lockFolder(folder), /wait until it ends/);
});

test("of a process elsewhere, and of a lock that says nothing, the user decides", async () => {
  await leave({ pid: 1, host: "elsewhere", start: null });
  await assert.rejects(lockFolder(folder), /on elsewhere .*: if it is gone, remove .*writer.lock/);
  await writeFile(join(folder, lockName), "");
  await assert.rejects(lockFolder(folder), /names no process: remove it if no process writes/);
});

test("the user may say that a process elsewhere is gone, and of none here", async () => {
  for (const content of [JSON.stringify({ pid: 1, host: "elsewhere", start: null, since }), ""]) {
    await writeFile(join(folder, lockName), content);
    const wanted = content === "" ? /names no process: add --take-over/ : /gone, add --take-over/;
    await assert.rejects(lockFolder(folder, lockName, diskFiles, "refused"), wanted);
    const lock = await lockFolder(folder, lockName, diskFiles, "taken over");
    assert.match(await readFile(join(folder, lockName), "utf8"), new RegExp(`:${process.pid},`));
    const living = /wait until it ends/;
    await assert.rejects(lockFolder(folder, lockName, diskFiles, "taken over"), living);
    assert.equal(await isLocked(folder), true);
    await lock.release();
    assert.equal(await isLocked(folder), false);
  }
});

test("who died while it took a folder over is named, and in nobody's way who leads", async () => {
  const aside = join(folder, `${lockName}.takeover`);
  const gone = { pid: spawnSync(process.execPath, ["-e", ""]).pid, host: hostname(), start: null };
  const elsewhere = { pid: 7, host: "elsewhere", start: null };
  await leave(gone);
  await writeFile(aside, JSON.stringify({ since, ...elsewhere }));
  const named = /process 7 on elsewhere has been taking .*: if it is gone, remove .*takeover$/;
  await assert.rejects(lockFolder(folder), named);
  await (await lockFolder(folder, lockName, diskFiles, "elected")).release();
  assert.deepEqual(await readdir(folder), []);
  await leave(gone);
  await writeFile(aside, JSON.stringify({ since, ...gone }));
  await (await lockFolder(folder)).release();
  assert.deepEqual(await readdir(folder), []);
});

test("who gives a folder free leaves the lock of another alone", async () => {
  const lock = await lockFolder(folder);
  await leave({ pid: 7, host: "elsewhere", start: null });
  await lock.release();
  assert.match(await readFile(join(folder, lockName), "utf8"), /elsewhere/);
});
