import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { PacelineError } from "../errors.js";
import { ManualClock } from "../host/testing/manual-clock.js";
import { fileError } from "../store/file-errors.js";
import { savePatiently } from "./patient-save.js";

const full = () => fileError(Object.assign(new Error(), { code: "ENOSPC" }), "write", "/d/w");

function attemptsOn(clock: ManualClock, save: () => Promise<string>, patienceMs = 60_000) {
  const told: string[] = [];
  const tell = (text: string) => void told.push(text);
  const saving = savePatiently(save, { clock, patienceMs, folder: "runs/a/checkpoints", tell });
  return { told, saving };
}

test("a last checkpoint is tried until there is room; what to do is told once", async () => {
  const clock = new ManualClock();
  let attempts = 0;
  const { told, saving } = attemptsOn(clock, async () => {
    if (++attempts < 4) throw full();
    return "written";
  });
  for (let turn = 0; turn < 4; turn++) {
    await setImmediate();
    clock.pass(3000);
  }
  assert.equal(await saving, "written");
  assert.equal(attempts, 4);
  assert.equal(told.length, 1);
  for (const part of [/disk is full/, /stay in memory for 60 s/, /move runs\/a\/checkpoints to/]) {
    assert.match(told[0]!, part);
  }
});

test("it is given up when the time is over, with the reason", async () => {
  const clock = new ManualClock();
  let attempts = 0;
  const fails = async () => {
    attempts++;
    throw full();
  };
  const { saving } = attemptsOn(clock, fails, 7000);
  const end = assert.rejects(saving, { code: "storage", message: /full.* \(tried for 7 s\)$/ });
  for (let turn = 0; turn < 5; turn++) {
    await setImmediate();
    clock.pass(3000);
  }
  await end;
  assert.equal(attempts, 4);
});

test("what no room would mend is not tried again", async () => {
  const broken = new PacelineError("unavailable", "server-0 is gone");
  const { told, saving } = attemptsOn(new ManualClock(), () => Promise.reject(broken));
  await assert.rejects(saving, broken);
  assert.deepEqual(told, []);
});

test("what is no checkpoint is waited for as well, in words of its own", async () => {
  const clock = new ManualClock();
  const told: string[] = [];
  let attempts = 0;
  const save = async () => {
    if (++attempts < 2) throw full();
    return "kept";
  };
  const tell = (text: string) => void told.push(text);
  const saving = savePatiently(save, { clock, patienceMs: 60_000, folder: null, tell });
  await setImmediate();
  clock.pass(3000);
  assert.equal(await saving, "kept");
  assert.match(told.join(), /^what the coordinator has to keep .*disk is full.* waits for 60 s/);
  assert.doesNotMatch(told.join(), /make room/, "what is wrong says its own remedy");
});
