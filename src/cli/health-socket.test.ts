import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { PacelineError } from "../errors.js";
import { answerHealth, askHealth, type Life } from "./health-socket.js";
import { runProgram } from "./program.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-health-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** What a command prints and ends with. */
async function called(...argv: string[]) {
  const said = { exitCode: -1, out: "", err: "" };
  const stdout = { write: (text: string) => (said.out += text) };
  const stderr = { write: (text: string) => (said.err += text) };
  said.exitCode = await runProgram(argv, { stdout, stderr, environment: {}, isTerminal: false });
  return said;
}

/** Something else that listens. */
async function other(name: string, onSocket: (socket: Socket) => void): Promise<[string, Server]> {
  const path = join(folder, name);
  const server = createServer(onSocket);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return [path, server];
}

const refused = (code: string, words: RegExp) => (thrown: unknown) =>
  thrown instanceof PacelineError && thrown.code === code && words.test(thrown.message);

describe("the socket at which a process says that it lives", () => {
  test("answers each who asks with what holds now, and is gone when it is closed", async () => {
    const healthSocket = join(folder, "worker");
    let life: Life = { isReady: false, state: "has no coordinator yet" };
    const stop = await answerHealth({ healthSocket, role: "worker", now: () => life });
    const first = await askHealth(healthSocket);
    assert.deepEqual(first, { role: "worker", pid: process.pid, ...life });
    const words = ["health", "--health-socket", healthSocket];
    assert.equal((await called(...words)).exitCode, 0);
    const waits = await called(...words, "--ready");
    assert.equal(waits.exitCode, 1);
    assert.equal(waits.out, `worker (process ${process.pid}): has no coordinator yet\n`);
    life = { isReady: true, state: "takes part in a run" };
    const ready = await called(...words, "--ready", "--json");
    assert.equal(ready.exitCode, 0);
    assert.deepEqual(JSON.parse(ready.out), { role: "worker", pid: process.pid, ...life });
    await stop();
    const gone = await called(...words);
    assert.equal(gone.exitCode, 1);
    assert.match(gone.err, /no process answers at .*worker .*same --health-socket/);
  });

  test("of a dead process is taken over, of a living one it is not", async () => {
    const healthSocket = join(folder, "server");
    const now = () => ({ isReady: true, state: "is a member and waits for work" });
    const stop = await answerHealth({ healthSocket, role: "server", now });
    await assert.rejects(
      answerHealth({ healthSocket, role: "server", now }),
      refused("usage", /--health-socket: the socket path .* is in use; give --health-socket/),
    );
    await stop();
    writeFileSync(healthSocket, "a file of somebody's");
    await assert.rejects(answerHealth({ healthSocket, role: "server", now }), /is in use/);
  });

  test("in a folder that is not there is refused, with what to do", async () => {
    const healthSocket = join(folder, "none", "socket");
    const now = () => ({ isReady: false, state: "starts" });
    await assert.rejects(
      answerHealth({ healthSocket, role: "coordinator", now }),
      refused("usage", /can't listen on .*none.*; give --health-socket a path in a folder/),
    );
  });
});

describe("asking", () => {
  test("a process that is silent is a timeout", async () => {
    const [path, server] = await other("silent", () => {});
    await assert.rejects(askHealth(path, 50), refused("timeout", /has not answered for 0.05 s/));
    server.close();
  });

  test("something else is told apart", async () => {
    const [path, server] = await other("other", (socket) => socket.end("HTTP/1.1 400\r\n"));
    await assert.rejects(askHealth(path), refused("protocol", /no process of this version/));
    server.close();
    const [loud, second] = await other("loud", (socket) => {
      socket.on("error", () => {});
      socket.write("x".repeat(10_000));
    });
    await assert.rejects(askHealth(loud), refused("protocol", /no process of this version/));
    second.close();
  });

  test("without a path is a mistake of usage", async () => {
    const { exitCode, err } = await called("health");
    assert.equal(exitCode, 2);
    assert.match(err, /needs to know where the process answers; give --health-socket/);
  });
});
