import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

test("a log may be a pipe, which is read once", () => {
  const reader = `
    import { LogReader } from ${JSON.stringify(new URL("./read-logs.js", import.meta.url).href)};
    const reader = new LogReader();
    await reader.takeFile("/dev/stdin");
    console.log(JSON.stringify(reader.signs) !== "" ? "read" : "");
  `;
  const words = ["--input-type=module", "-e", reader];
  const shell = `echo "a line" | "$0" "$@"`;
  const { stdout, stderr } = spawnSync("sh", ["-c", shell, process.execPath, ...words]);
  assert.equal(String(stdout), "read\n", String(stderr));
});
