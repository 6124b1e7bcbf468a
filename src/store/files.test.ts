import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { PacelineError } from "../errors.js";
import { fileError, isMissing } from "./file-errors.js";
import { aroundFiles, diskFiles, readWhole, writeTextAtomically } from "./files.js";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-files-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test("a full disk and a forbidden path are storage errors with the path and the remedy", () => {
  const cases: [code: string, message: RegExp][] = [
    [
      "ENOSPC",
      /^can't write \/d\/f: the disk is full: free some space or choose another --run-dir$/,
    ],
    ["EACCES", /permission denied: change the permissions/],
    ["EROFS", /read-only/],
    ["EWEIRD", /^can't write \/d\/f: odd \(EWEIRD\): check the disk/],
  ];
  for (const [code, message] of cases) {
    const cause = Object.assign(new Error("odd"), { code });
    const error = fileError(cause, "write", "/d/f");
    assert.equal(error.code, "storage");
    assert.equal(error.cause, cause);
    assert.deepEqual(error.details, { errno: code, path: "/d/f" });
    assert.match(error.message, message);
  }
  const thrown = fileError("just text", "read", "/d/f");
  assert.match(thrown.message, /just text/);
  assert.equal(fileError(thrown, "write", "/elsewhere"), thrown);
});

test("a missing file is told apart, a missing folder lists as null", async () => {
  const path = join(folder, "none");
  await assert.rejects(diskFiles.openFile(path), (thrown) => {
    assert.ok(isMissing(thrown));
    assert.match((thrown as Error).message, /can't open .*none: there is no such file or folder/);
    return true;
  });
  assert.equal(await diskFiles.list(path), null);
  await writeFile(path, "");
  assert.equal(await diskFiles.list(path), null);
  await assert.rejects(diskFiles.openFile(folder), /it is a folder, not a file/);
});

test("a folder is claimed once", async () => {
  const path = join(folder, "claimed");
  assert.equal(await diskFiles.claimFolder(path), true);
  assert.equal(await diskFiles.claimFolder(path), false);
});

test("appending keeps what it is told to keep", async () => {
  const path = join(folder, "log");
  await writeFile(path, "kept torn");
  const file = await diskFiles.append(path, 5);
  await file.write(Buffer.from("one "));
  await file.write(Buffer.from("two"));
  await file.sync();
  await file.close();
  assert.equal(await readFile(path, "utf8"), "kept one two");
});

test("a file that ends while it is read is an error, not zeros", async () => {
  const path = join(folder, "short");
  await writeFile(path, "1234");
  const file = await diskFiles.openFile(path);
  await assert.rejects(file.read(Buffer.alloc(3), 2), /ended at byte 4 while it was read/);
  await file.close();
});

test("a file beyond the limit is refused with the code asked for", async () => {
  const path = join(folder, "big");
  await writeFile(path, "12345");
  assert.equal((await readWhole(diskFiles, path, 5)).toString(), "12345");
  await assert.rejects(readWhole(diskFiles, path, 4, "usage"), (thrown) => {
    assert.ok(thrown instanceof PacelineError && thrown.code === "usage");
    assert.match(thrown.message, /big is too large \(5 bytes, 4 are allowed\)/);
    return true;
  });
});

test("whichever verb fails, an atomic write leaves the old text or the new", async () => {
  const path = join(folder, "state.json");
  for (let failing = 0; ; failing++) {
    await writeFile(path, "old");
    let verbs = 0;
    const files = aroundFiles(diskFiles, async (verb, where, action) => {
      const fails = verbs++ === failing;
      if (fails && verb !== "close") {
        throw fileError(Object.assign(new Error("full"), { code: "ENOSPC" }), verb, where);
      }
      const done = await action();
      if (fails) throw fileError(Object.assign(new Error("bad"), { code: "EIO" }), verb, where);
      return done;
    });
    const failed = await writeTextAtomically(files, path, "new").then(
      () => false,
      (thrown) => thrown.code === "storage",
    );
    const text = await readFile(path, "utf8");
    assert.deepEqual(await readdir(folder), ["state.json"]);
    if (!failed) {
      assert.equal(text, "new");
      assert.equal(failing, 6, "create, write, sync, close, rename, sync the folder were tried");
      return;
    }
    assert.equal(text, failing < 5 ? "old" : "new");
  }
});

test("one that slept over a write tears nothing that another has written meanwhile", async () => {
  const path = join(folder, "result.json");
  let wake = () => {};
  const asleep = new Promise<void>((resolve) => {
    wake = resolve;
  });
  let sleeps = () => {};
  const sleeping = new Promise<void>((resolve) => {
    sleeps = resolve;
  });
  const files = aroundFiles(diskFiles, async (verb, _path, action) => {
    if (verb === "rename a file to") throw new PacelineError("refused", "it leads no longer");
    if (verb !== "write") return action();
    sleeps();
    await asleep;
    return action();
  });
  const late = writeTextAtomically(files, path, "late");
  await sleeping;
  await writeTextAtomically(diskFiles, path, "what the one that leads has written");
  wake();
  await assert.rejects(late, { code: "refused" });
  assert.equal(await readFile(path, "utf8"), "what the one that leads has written");
  assert.deepEqual(await readdir(folder), ["result.json"]);
});

test("what is no regular file is said to be a pipe or device", async () => {
  await assert.rejects(readWhole(diskFiles, "/dev/null", 10), {
    code: "storage",
    message: "/dev/null is no regular file (a pipe or device); copy it to a file first",
  });
});
