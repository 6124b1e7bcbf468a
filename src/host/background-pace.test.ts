import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { BackgroundPace } from "./background-pace.js";
import { ManualClock } from "./testing/manual-clock.js";

const mebibyte = 2 ** 20;

/** A piece that takes so long, and how long its rest is. */
async function restAfter(clock: ManualClock, pace: BackgroundPace, tookMs: number, bytes: number) {
  const begunMs = clock.nowMs();
  clock.pass(tookMs);
  let isOver = false;
  void pace.rest(begunMs, bytes).then(() => {
    isOver = true;
  });
  for (let restMs = 0; restMs < 1000; restMs++) {
    await setImmediate();
    if (isOver) return restMs;
    clock.pass(1);
  }
  return Number.POSITIVE_INFINITY;
}

test("it rests thirty times as long as it worked, and not without end", async () => {
  const clock = new ManualClock();
  const pace = new BackgroundPace(clock, 5000);
  assert.equal(await restAfter(clock, pace, 2, mebibyte), 60);
  assert.equal(await restAfter(clock, pace, 50, mebibyte), 200);
  assert.equal(await restAfter(clock, pace, 50, 3 * mebibyte), 600);
});

test("rests that are too short to be made are made together", async () => {
  const clock = new ManualClock();
  const pace = new BackgroundPace(clock, 5000);
  const rests: number[] = [];
  for (let piece = 0; piece < 4; piece++) rests.push(await restAfter(clock, pace, 1, 4000));
  assert.deepEqual(rests, [0, 0, 3, 0]);
});

test("once somebody waits it rests no more, and the rest that is on ends", async () => {
  const clock = new ManualClock();
  const pace = new BackgroundPace(clock, 5000);
  clock.pass(10);
  const rest = pace.rest(0, mebibyte);
  pace.hurry();
  await rest;
  assert.equal(await restAfter(clock, pace, 50, mebibyte), 0);
});

test("it takes its time for so long, and no rest goes past that", async () => {
  const clock = new ManualClock();
  const pace = new BackgroundPace(clock, 220);
  assert.equal(await restAfter(clock, pace, 10, mebibyte), 200);
  assert.equal(await restAfter(clock, pace, 6, mebibyte), 4);
  assert.equal(pace.isHurried, true);
  assert.equal(await restAfter(clock, pace, 10, mebibyte), 0);
});
