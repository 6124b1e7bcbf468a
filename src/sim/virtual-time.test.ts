import assert from "node:assert/strict";
import { test } from "node:test";
import { EventTrace } from "./event-trace.js";
import { SimulatedProcess } from "./simulated-process.js";
import { VirtualTime } from "./virtual-time.js";

function walk(time: VirtualTime): void {
  while (time.move());
}

test("things happen in the order of their moments, then of their planning", () => {
  const time = new VirtualTime();
  const seen: string[] = [];
  for (const [name, atMs] of [
    ["c", 3],
    ["a", 1],
    ["d", 3],
    ["b", 2],
    ["e", 3],
  ] as const) {
    time.at(atMs, () => seen.push(`${name} at ${time.nowMs}`));
  }
  time.at(2.5, () => seen.push("never")).cancel();
  time.at(4, () => time.at(1, () => seen.push(`late at ${time.nowMs}`)));
  walk(time);
  assert.deepEqual(seen, ["a at 1", "b at 2", "c at 3", "d at 3", "e at 3", "late at 4"]);
});

test("what comes to a frozen process comes when it goes on, and never to an ended one", () => {
  const time = new VirtualTime();
  const crashes: unknown[] = [];
  const around = {
    time,
    trace: new EventTrace("none"),
    onCrash: (_process: SimulatedProcess, thrown: unknown) => crashes.push(thrown),
  };
  const process = new SimulatedProcess("worker-0", 0, around);
  const seen: string[] = [];
  const say = (what: string) => () => void seen.push(`${what} at ${time.nowMs}`);
  process.clock.after(5, say("timer"));
  process.clock.after(6, say("cancelled")).cancel();
  time.at(1, () => process.freeze());
  time.at(7, () => process.run(say("message")));
  time.at(20, () => process.thaw());
  time.at(21, () => process.run(() => assert.fail("a crash")));
  time.at(30, () => process.end());
  time.at(31, () => process.run(say("too late")));
  walk(time);
  assert.deepEqual(seen, ["timer at 20", "message at 20"]);
  assert.equal(crashes.length, 1);
});
