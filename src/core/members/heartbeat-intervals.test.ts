import assert from "node:assert/strict";
import { test } from "node:test";
import { HeartbeatIntervals } from "./heartbeat-intervals.js";

/** The silence that so many intervals explain, which take turns. */
function silenceAfter(count: number, ...turns: readonly number[]): number {
  const intervals = new HeartbeatIntervals();
  for (let index = 0; index < count; index++) intervals.add(turns[index % turns.length]!);
  return intervals.silenceMs;
}

test("regular heartbeats explain no silence beyond their interval, fewer than 16 any", () => {
  assert.equal(silenceAfter(15, 250), Number.POSITIVE_INFINITY);
  assert.equal(silenceAfter(16, 250), 250);
  assert.equal(silenceAfter(1000, 250), 250);
});

test("the more irregular they are, the longer the silence that they explain", () => {
  assert.equal(silenceAfter(40, 240, 250, 260), 250 + 10 * 10);
  const even = Array.from({ length: 40 }, (_, index) => (index * 500) / 39);
  const silenceMs = silenceAfter(40, ...even);
  assert.ok(silenceMs > 1400 && silenceMs < 1600, `${silenceMs} ms`);
  assert.ok(silenceAfter(40, 20, 480) > 3000);
});

test("one late heartbeat changes little, and the latest 40 count", () => {
  assert.equal(silenceAfter(40, ...Array.from({ length: 39 }, () => 250), 2900), 250);
  const intervals = new HeartbeatIntervals();
  for (let index = 0; index < 40; index++) intervals.add(2000);
  for (let index = 0; index < 40; index++) intervals.add(250);
  assert.equal(intervals.silenceMs, 250);
  intervals.clear();
  assert.equal(intervals.silenceMs, Number.POSITIVE_INFINITY);
});
