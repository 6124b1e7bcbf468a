import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { ignoreHangUp, onSignals, signalExitCode, stopsProcess } from "./signals.js";

function processWith({ terminal }: { terminal: boolean }) {
  const emitter = new EventEmitter();
  const streams = { stdout: { isTTY: terminal }, stderr: {} };
  const clock = { ms: 1000 };
  const taken: string[] = [];
  const self = Object.assign(emitter, streams);
  const release = onSignals(
    (signal) => taken.push(signal),
    self,
    () => clock.ms,
  );
  const send = (signal: NodeJS.Signals) => emitter.emit(signal, signal);
  return { send, taken, clock, release, emitter };
}

test("whatever asks to stop is heard, and exits with its own code", () => {
  const codes = {
    SIGHUP: 129,
    SIGINT: 130,
    SIGQUIT: 131,
    SIGUSR1: 138,
    SIGUSR2: 140,
    SIGTERM: 143,
  };
  for (const [signal, code] of Object.entries(codes) as [NodeJS.Signals, number][]) {
    const { send, taken, release, emitter } = processWith({ terminal: true });
    send(signal);
    assert.deepEqual(taken, [signal]);
    assert.equal(signalExitCode(signal), code);
    release();
    assert.deepEqual(emitter.eventNames(), []);
  }
});

test("one press that comes twice counts once, a later one counts again", () => {
  const { send, taken, clock } = processWith({ terminal: true });
  send("SIGINT");
  clock.ms += 10;
  send("SIGINT");
  assert.equal(taken.length, 1);
  clock.ms += 500;
  send("SIGINT");
  assert.equal(taken.length, 2);
});

test("a hang-up counts once, and not at all where there is no terminal to lose", () => {
  const { send, taken, clock } = processWith({ terminal: true });
  send("SIGHUP");
  clock.ms += 5000;
  send("SIGHUP");
  assert.deepEqual(taken, ["SIGHUP"]);
  const detached = processWith({ terminal: false });
  detached.send("SIGHUP");
  assert.deepEqual(detached.taken, []);
  detached.send("SIGTERM");
  assert.deepEqual(detached.taken, ["SIGTERM"]);
});

test("a hang-up stops a process that has a terminal, and ends none that has not", () => {
  for (const terminal of [true, false]) {
    const { emitter } = processWith({ terminal });
    const self = Object.assign(emitter, { stdout: { isTTY: terminal }, stderr: {} });
    assert.equal(stopsProcess("SIGHUP", self), terminal);
    assert.equal(stopsProcess("SIGTERM", self), true);
    assert.equal(stopsProcess("SIGKILL", self), false);
    const before = emitter.listenerCount("SIGHUP");
    ignoreHangUp(self);
    assert.equal(emitter.listenerCount("SIGHUP") - before, terminal ? 0 : 1);
  }
});
