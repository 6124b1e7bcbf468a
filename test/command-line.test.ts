import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const main = join(dirname(fileURLToPath(import.meta.url)), "..", "dist", "cli", "main.js");

interface Ended {
  readonly exitCode: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the command as a process of its own and waits for its end, for a minute at most. */
function paceline(words: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...words], {
    env: { ...process.env, ...environment },
    timeout: 60_000,
  });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exitCode) => resolve({ exitCode, out, err }));
  });
}

describe("the paceline command as a process", () => {
  test("bare, it says what to do next and ends with 0", async () => {
    const { exitCode, out, err } = await paceline([]);
    assert.deepEqual({ exitCode, err }, { exitCode: 0, err: "" });
    assert.match(out, /Start here:/);
  });
  test("reads the environment of the process", async () => {
    const { out } = await paceline(["config", "print"], { TOTAL_WORKERS_EXPECTED: "7" });
    assert.match(out, /^ {2}workers: 7 +# environment TOTAL_WORKERS_EXPECTED$/m);
  });
  test("refuses with exit code 2, one sentence and nothing on standard output", async () => {
    const ended = await paceline(["train", "--modle", "mlp"]);
    assert.deepEqual(ended, {
      exitCode: 2,
      out: "",
      err:
        "paceline train has no option --modle (did you mean --model?); " +
        "see paceline train --help\n",
    });
  });
  test("says what to do where it may have too few files open", async () => {
    const line = `ulimit -n 60; exec ${process.execPath} ${main} doctor`;
    const child = spawn("bash", ["-c", line], { timeout: 60_000 });
    let err = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(code, 1);
    assert.match(
      err,
      /^paceline: this process may have 60 files open .* raise .* ulimit -n 1024\n$/,
    );
  });
  test("fails where what it prints can't be written, and says so", async () => {
    const line = `exec ${process.execPath} ${main} config schema > /dev/full`;
    const child = spawn("bash", ["-c", line], { timeout: 60_000 });
    let err = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(code, 1);
    const what = "1 write to standard output could not be made (the disk is full); free some space";
    assert.equal(err, `paceline: ${what}\n`);
  });
  test("ends quietly when its reader closes the pipe", async () => {
    const child = spawn(process.execPath, [main, "config", "schema"], { timeout: 60_000 });
    child.stdout.destroy();
    let err = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    await new Promise((resolve) => child.on("close", resolve));
    assert.equal(err, "");
  });
});
