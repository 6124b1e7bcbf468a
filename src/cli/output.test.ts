import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { guardOutput, guardProcessOutput, type OutputStream } from "./output.js";

function errno(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

/** A stream whose writes fail in one way or the other. */
function failing(how: { throws?: string }) {
  const listeners: ((error: NodeJS.ErrnoException) => void)[] = [];
  const stream: OutputStream = {
    fd: 7,
    write: () => {
      if (how.throws !== undefined) throw errno(how.throws);
      return true;
    },
    on: (_event, listener) => listeners.push(listener),
  };
  const fail = (code: string) => {
    for (const listener of listeners) listener(errno(code));
  };
  return { stream, fail };
}

test("a reader that goes away ends nothing and is asked no more", () => {
  const { stream, fail } = failing({});
  const written: unknown[] = [];
  guardOutput(stream, (_fd, text) => written.push(text));
  assert.equal(stream.write("a"), true);
  fail("EPIPE");
  assert.equal(stream.write("b"), false);
  assert.deepEqual(written, []);
});

test("a full disk ends nothing, is counted, and has what fits again", () => {
  const how: { throws?: string } = { throws: "ENOSPC" };
  const { stream } = failing(how);
  let full = true;
  const written: unknown[] = [];
  const loss = guardOutput(stream, (_fd, text) => {
    if (full) throw errno("ENOSPC");
    written.push(text);
  });
  assert.equal(stream.write("a"), false);
  assert.equal(stream.write("b"), false);
  full = false;
  assert.equal(stream.write("c"), true);
  assert.deepEqual([written, loss], [["c"], { writes: 2, code: "ENOSPC" }]);
});

test("a command has failed whose result is lost, not one that keeps it in a folder", () => {
  for (const keeps of [true, false]) {
    const told: string[] = [];
    const full = Object.assign(new Error("full"), { code: "ENOSPC" });
    const stdout = Object.assign(new EventEmitter(), { write: () => true });
    const stderr = Object.assign(new EventEmitter(), { write: (text: string) => told.push(text) });
    const self = Object.assign(new EventEmitter(), { stdout, stderr, exitCode: 0 });
    guardProcessOutput(() => keeps, self as unknown as NodeJS.Process);
    stdout.emit("error", full);
    self.emit("exit");
    assert.equal(self.exitCode, keeps ? 0 : 1);
    assert.match(told.join(""), keeps ? /see the run's folder/ : /; free some space\n$/);
  }
});
