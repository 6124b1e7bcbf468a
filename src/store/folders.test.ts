import assert from "node:assert/strict";
import { mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { diskFiles } from "./files.js";
import { makeFolders } from "./folders.js";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-folders-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test("parents are made, and what exists is fine, also through a link", async () => {
  const deep = join(folder, "a", "b", "c");
  await Promise.all([makeFolders(deep), makeFolders(deep), makeFolders(join(folder, "a", "d"))]);
  await makeFolders(deep);
  assert.ok((await stat(deep)).isDirectory());
  await symlink(join(folder, "a"), join(folder, "link"));
  await makeFolders(join(folder, "link", "e"));
  assert.ok((await stat(join(folder, "a", "e"))).isDirectory());
  await makeFolders("/");
});

test("a file in the way and a link to nowhere are said to be what they are", async () => {
  await writeFile(join(folder, "file"), "");
  await symlink(join(folder, "nowhere"), join(folder, "dangling"));
  for (const name of ["file", "file/inside", "dangling", "dangling/inside"]) {
    const making = diskFiles.makeFolder(join(folder, name));
    await assert.rejects(making, /can't make the folder .*: (it exists already|.* is a file)/);
  }
});

test("a file system that takes no folders ends the attempt", async (context) => {
  if (process.platform !== "linux") return context.skip("there is no /proc");
  for (const name of ["/proc/runs", "/proc/runs/a/b", "/proc/self/runs"]) {
    await assert.rejects(diskFiles.makeFolder(name), /the file system takes no folders there/);
  }
});
