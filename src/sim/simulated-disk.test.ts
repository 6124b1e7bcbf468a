/** What a simulated disk has after a crash, and when it is full. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../errors.js";
import { Random } from "../random.js";
import { readWhole } from "../store/files.js";
import { openRunDirectory } from "../store/runs/run-directory.js";
import { SimulatedDisk } from "./simulated-disk.js";

async function write(disk: SimulatedDisk, path: string, text: string, syncs: boolean) {
  const file = await disk.files.create(path);
  await file.write(Buffer.from(text));
  if (syncs) await file.sync();
  await file.close();
}

/** What is read of a file after each of many crashes. */
async function afterCrashes(prepare: (disk: SimulatedDisk) => Promise<void>): Promise<Set<string>> {
  const found = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const disk = new SimulatedDisk();
    await disk.files.makeFolder("/run");
    await disk.files.syncFolder("/");
    await prepare(disk);
    disk.crash(new Random("crash", seed));
    const content = await readWhole(disk.files, "/run/a", 100).then(String, () => "missing");
    found.add(content);
  }
  return found;
}

test("what is synced, and its name with it, survives every crash", async () => {
  const found = await afterCrashes(async (disk) => {
    await write(disk, "/run/a", "abc", true);
    await disk.files.syncFolder("/run");
  });
  assert.deepEqual([...found], ["abc"]);
});

test("what is not synced is there, cut short, torn or missing", async () => {
  const found = await afterCrashes(async (disk) => {
    await write(disk, "/run/a", "abc", false);
    await disk.files.syncFolder("/run");
  });
  for (const text of ["abc", "ab", ""]) assert.ok(found.has(text), JSON.stringify(text));
  assert.ok(
    [...found].some((text) => text.length === 3 && text.endsWith("\0")),
    "some are torn",
  );
  const named = await afterCrashes((disk) => write(disk, "/run/a", "abc", true));
  assert.deepEqual([...named].sort(), ["abc", "missing"]);
});

test("a rename happens as a whole, or not yet", async () => {
  const found = await afterCrashes(async (disk) => {
    await write(disk, "/run/a", "old", true);
    await write(disk, "/run/b", "new", true);
    await disk.files.syncFolder("/run");
    await disk.files.rename("/run/b", "/run/a");
  });
  assert.deepEqual([...found].sort(), ["new", "old"]);
});

test("a full disk fails one write, with the remedy", async () => {
  const disk = new SimulatedDisk();
  disk.writesLeft = 1;
  await disk.files.makeFolder("/run");
  await assert.rejects(write(disk, "/run/a", "abc", true), (error: unknown) => {
    return error instanceof PacelineError && /the disk is full/.test(error.message);
  });
  await write(disk, "/run/a", "abc", true);
});

test("a run's folder survives every crash once it is open, and its parents with it", async () => {
  for (const name of ["trial", null]) {
    for (let seed = 0; seed < 40; seed++) {
      const disk = new SimulatedDisk();
      const request = { root: "/deep/runs", name, stem: "mlp", resuming: false };
      const run = await openRunDirectory({ ...request, configText: "a: 1\n" }, disk.files);
      disk.crash(new Random("crash", seed));
      const path = `/deep/runs/${name ?? "mlp-001"}`;
      assert.equal(run.path, path);
      assert.equal(String(await readWhole(disk.files, `${path}/config.yaml`, 100)), "a: 1\n");
    }
  }
});
