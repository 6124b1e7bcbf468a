import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { bindSocket, socketPathBytesMax } from "./bound-socket.js";

let closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
});

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "paceline-socket-"));
  closers.push(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function bind(path: string): Promise<void> {
  const bound = await bindSocket(`unix:${path}`, (socket) => void socket.end("here"));
  assert.equal(bound.address, `unix:${path}`);
  closers.push(() => bound.release());
}

async function answerOf(path: string): Promise<string> {
  const socket = connect(path);
  const [bytes] = await once(socket, "data");
  return String(bytes);
}

/** A process that listens on a Unix socket, once it does. */
async function startListening(path: string) {
  const own = new URL("./bound-socket.js", import.meta.url).href;
  const script = `
    import { bindSocket } from "${own}";
    process.on("message", () => process.exit(0));
    await bindSocket(${JSON.stringify(`unix:${path}`)}, (socket) => {
      socket.on("error", () => {});
      socket.end("there");
    });
    process.send("listening");
  `;
  const url = `data:text/javascript,${encodeURIComponent(script)}`;
  const execArgv = ["--input-type=module", "--eval", `await import(${JSON.stringify(url)})`];
  const child = fork("", [], { execArgv });
  closers.push(() => child.kill("SIGKILL"));
  await once(child, "message");
  return child;
}

test("a socket's file is there while it is listened on", async () => {
  const path = join(makeFolder(), "s");
  const bound = await bindSocket(`unix:${path}`, (socket) => void socket.end("here"));
  assert.equal(await answerOf(path), "here");
  await bound.release();
  assert.equal(existsSync(path), false);
});

test("a path that a living process listens on is refused and left to it", async () => {
  const path = join(makeFolder(), "s");
  await startListening(path);
  await assert.rejects(bind(path), { code: "usage", message: new RegExp(`${path} is in use`) });
  assert.equal(await answerOf(path), "there");
});

test("the file of a process that was killed is replaced", async () => {
  const path = join(makeFolder(), "s");
  const child = await startListening(path);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(existsSync(path), true);
  await bind(path);
  assert.equal(await answerOf(path), "here");
});

test("a process that exits takes its file with it", async () => {
  const path = join(makeFolder(), "s");
  const child = await startListening(path);
  child.send("exit");
  await once(child, "exit");
  assert.equal(existsSync(path), false);
});

test("a process ends as well where its file can't be removed", async () => {
  const path = join(makeFolder(), "s");
  const child = await startListening(path);
  rmSync(path);
  mkdirSync(path);
  child.send("exit");
  const [exitCode] = await once(child, "exit");
  assert.equal(exitCode, 0);
  assert.equal(existsSync(path), true);
});

test("a file that is no socket is not removed", async () => {
  const path = join(makeFolder(), "s");
  writeFileSync(path, "precious");
  await assert.rejects(bind(path), { code: "usage", message: /is in use/ });
  assert.equal(existsSync(path), true);
});

test("a path too long, or in a folder that is missing, is refused with the remedy", async () => {
  const folder = makeFolder();
  const longest = join(folder, "x".repeat(socketPathBytesMax - folder.length - 1));
  await bind(longest);
  await assert.rejects(bind(`${longest}y`), {
    code: "usage",
    message: new RegExp(`has ${socketPathBytesMax + 1} bytes, at most .* TMPDIR`),
  });
  await assert.rejects(bind(join(folder, "none", "s")), {
    code: "usage",
    message: /\((permission denied|there is no such file or folder)\); set TMPDIR/,
  });
  await assert.rejects(bind(""), { code: "usage", message: /has no path; give unix:PATH/ });
});
