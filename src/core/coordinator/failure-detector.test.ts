import assert from "node:assert/strict";
import { test } from "node:test";
import { FailureDetector } from "./failure-detector.js";

/**
 * Looks every 100 ms from `fromMs` to `toMs`; returns when the state first was what is asked for.
 */
function walk(
  detector: FailureDetector,
  fromMs: number,
  toMs: number,
  state: string,
): number | null {
  for (let now = fromMs; now <= toMs; now += 100) {
    if (detector.verdict(now).state === state) return now;
  }
  return null;
}

test("a member heard every half second stays alive", () => {
  const detector = new FailureDetector(0);
  for (let now = 0; now <= 60_000; now += 100) {
    if (now % 500 === 0) detector.heard(now);
    assert.equal(detector.verdict(now).state, "alive", `at ${now}`);
  }
});

test("a silent member is suspect after half its lease and dead at its end", () => {
  const detector = new FailureDetector(0);
  assert.equal(walk(detector, 100, 10_000, "suspect"), 1500);
  assert.equal(walk(detector, 1600, 2800, "dead"), null);
  assert.deepEqual(detector.verdict(2900), {
    state: "suspect",
    reason: "last heard 2.9 s ago, lease 3.0 s",
  });
  assert.deepEqual(detector.verdict(3000), {
    state: "dead",
    reason: "silent for 3.0 s, lease 3.0 s",
  });
});

test("a word in the last moment renews the whole lease", () => {
  const detector = new FailureDetector(0);
  assert.equal(walk(detector, 100, 2900, "dead"), null);
  detector.heard(2999);
  assert.equal(detector.verdict(2999).state, "alive");
  assert.equal(walk(detector, 3000, 20_000, "dead"), 6000);
});

test("a link cut for two seconds costs nothing", () => {
  const detector = new FailureDetector(0);
  walk(detector, 100, 900, "dead");
  detector.closed(1000);
  assert.deepEqual(detector.verdict(1000), {
    state: "suspect",
    reason: "connection closed 0.0 s ago, grace 2.5 s",
  });
  assert.equal(walk(detector, 1100, 2900, "dead"), null);
  detector.reopened(3000);
  assert.equal(detector.verdict(3000).state, "alive");
  assert.equal(walk(detector, 3100, 20_000, "dead"), 6000);
});

test("a closed member is dead at the end of its grace, not of its lease", () => {
  const detector = new FailureDetector(0);
  detector.closed(200);
  detector.closed(1000);
  assert.equal(walk(detector, 300, 20_000, "dead"), 2700);
  assert.deepEqual(detector.verdict(2700), {
    state: "dead",
    reason: "connection closed 2.5 s ago and not back within its grace 2.5 s",
  });
});

test("an observer that slept through a lease gives half a lease before it judges", () => {
  const detector = new FailureDetector(0);
  assert.equal(detector.verdict(500).state, "alive");
  assert.equal(detector.verdict(60_000).state, "suspect");
  assert.equal(walk(detector, 60_100, 80_000, "dead"), 61_500);
});

test("a member that speaks once the observer has woken up is alive", () => {
  const detector = new FailureDetector(0);
  assert.equal(detector.verdict(60_000).state, "suspect");
  detector.heard(60_010);
  assert.equal(detector.verdict(60_010).state, "alive");
});

test("a closed connection seen after a sleep has its whole grace", () => {
  const detector = new FailureDetector(0);
  detector.closed(30_000);
  assert.equal(walk(detector, 30_000, 60_000, "dead"), 32_500);
});

test("an observer that keeps dozing still buries the dead in the end", () => {
  const detector = new FailureDetector(0);
  const states: string[] = [];
  for (let now = 1200; now <= 12_000; now += 1200) states.push(detector.verdict(now).state);
  assert.equal(states.indexOf("dead"), 4);
});

test("other limits are obeyed", () => {
  const detector = new FailureDetector(0, { leaseMs: 400, closedGraceMs: 200, pauseMs: 150 });
  assert.equal(walk(detector, 0, 2000, "dead"), 400);
  detector.reopened(2000);
  detector.closed(2000);
  assert.equal(walk(detector, 2100, 4000, "dead"), 2200);
});
