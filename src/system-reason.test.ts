import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, openSync, readFileSync, renameSync } from "node:fs";
import { mkdtemp, open, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PacelineError, toPacelineError } from "./errors.js";
import { errnoOf, reasonOf, sentenceOf, systemReason } from "./system-reason.js";

const folder = await mkdtemp(join(tmpdir(), "paceline-reasons-"));
after(() => rm(folder, { recursive: true }));
const absent = join(folder, "absent");

async function thrownBy(action: () => unknown): Promise<unknown> {
  try {
    await action();
  } catch (thrown) {
    return thrown;
  }
  throw new Error("nothing was thrown");
}

const refused: readonly (readonly [action: () => unknown, reason: string, sentence: string])[] = [
  [
    () => readFileSync(absent),
    "there is no such file or folder",
    `can't open ${absent}: there is no such file or folder`,
  ],
  [
    () => open(join(folder, "absent", "further"), "w"),
    "there is no such file or folder",
    `can't open ${join(absent, "further")}: there is no such file or folder`,
  ],
  [
    () => readdir(absent),
    "there is no such file or folder",
    `can't list ${absent}: there is no such file or folder`,
  ],
  [
    () => mkdirSync(folder),
    "it exists already",
    `can't make the folder ${folder}: it exists already`,
  ],
  [
    () => readFileSync(folder),
    "it is a folder, not a file",
    "can't read a file: it is a folder, not a file",
  ],
  [
    () => once(spawn(absent), "spawn"),
    "there is no such file or folder",
    `can't start ${absent}: there is no such file or folder`,
  ],
  [
    () => once(connect(1, "127.0.0.1"), "connect"),
    "nobody listens there",
    "can't connect to 127.0.0.1: nobody listens there",
  ],
];

test("what the system refuses is told without Node's words", async () => {
  for (const [action, reason, sentence] of refused) {
    const thrown = await thrownBy(action);
    assert.equal(reasonOf(thrown), reason);
    assert.equal(sentenceOf(thrown), sentence);
    const error = toPacelineError(thrown);
    assert.deepEqual([error.code, error.message, error.cause], ["storage", sentence, thrown]);
    assert.equal(toPacelineError(thrown, "usage").code, "usage");
  }
});

test("an error that has no words of ours has the system's, and its name", async () => {
  mkdirSync(join(folder, "a"));
  const thrown = await thrownBy(() => renameSync(join(folder, "a"), join(folder, "a", "b")));
  assert.equal(reasonOf(thrown), "invalid argument (EINVAL)");
  assert.equal(reasonOf({ code: "EWHAT" }), "the system says EWHAT");
  const unknown = { code: "Unknown system error -117", message: "Unknown system error -117, read" };
  assert.equal(reasonOf(unknown), "the system says Unknown system error -117");
});

test("what is no error of the system keeps its message", async () => {
  const invalid = await thrownBy(() => openSync(Symbol("x") as unknown as string, "r"));
  assert.equal((invalid as { code?: string }).code, "ERR_INVALID_ARG_TYPE");
  for (const thrown of [invalid, new SyntaxError("no JSON"), new PacelineError("data", "gone")]) {
    assert.deepEqual([errnoOf(thrown), systemReason(thrown)], ["", null]);
    assert.equal(reasonOf(thrown), (thrown as Error).message);
  }
  assert.equal(toPacelineError(new SyntaxError("no JSON")).code, "internal");
  assert.equal(reasonOf("text"), "text");
});
