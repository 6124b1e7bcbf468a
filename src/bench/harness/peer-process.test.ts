import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { LineProcess, peerScript } from "./peer-process.js";

const echo = `
  const lines = require("node:readline").createInterface({ input: process.stdin });
  lines.on("line", (line) => console.log(JSON.stringify({ heard: JSON.parse(line) })));`;

test("each line is answered in its turn, and the process ends with its input", async () => {
  const process_ = new LineProcess(process.execPath, ["-e", echo]);
  assert.deepEqual(await process_.ask({ steps: 1 }), { heard: { steps: 1 } });
  assert.deepEqual(await process_.ask({ steps: 2 }), { heard: { steps: 2 } });
  const { pid } = process_;
  await process_.close();
  assert.throws(() => process.kill(pid as number, 0), { code: "ESRCH" });
});

test("a process that dies is told with the last of what it said", async () => {
  const words = ["-e", 'console.error("warning"); console.error("no such layer"); process.exit(3)'];
  const dying = new LineProcess(process.execPath, words);
  const message = /gave no answer: it ended with 3 \(no such layer\)$/;
  await assert.rejects(dying.ask({}), { code: "unavailable", message });
  await dying.close();
});

test("a command that is not there is told by its name", async () => {
  const missing = new LineProcess("paceline-no-such-command", []);
  await assert.rejects(missing.ask({}), {
    code: "unavailable",
    message:
      /paceline-no-such-command gave no answer: can't start .*: there is no such file or folder/,
  });
  await missing.close();
});

test("a measured process hears of no option that this one's environment gives", async (context) => {
  for (const [name, text] of Object.entries({ PACELINE_DTYPE: "bf16", WORLD_SIZE: "9" })) {
    process.env[name] = text;
    context.after(() => delete process.env[name]);
  }
  const names = `
    const lines = require("node:readline").createInterface({ input: process.stdin });
    lines.on("line", () => console.log(JSON.stringify({ names: Object.keys(process.env) })));`;
  const measured = new LineProcess(process.execPath, ["-e", names]);
  const { names: heard } = (await measured.ask({})) as { names: string[] };
  await measured.close();
  assert.ok(heard.includes("PATH"));
  assert.deepEqual(
    heard.filter((name) => name.startsWith("PACELINE_") || name === "WORLD_SIZE"),
    [],
  );
});

test("the peers' scripts are found from wherever the program lies", () => {
  assert.ok(existsSync(peerScript("torch_steps.py")));
});
