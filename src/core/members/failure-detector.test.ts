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

test("a glance sees what a look would, and nothing follows from it", () => {
  const detector = new FailureDetector(0);
  detector.heard(100, true);
  for (let now = 200; now <= 9000; now += 100) {
    assert.equal(detector.glance(now, { isStarting: now === 5000 }).state, "alive", `${now}`);
  }
  detector.closed(200);
  assert.match(detector.glance(400).reason, /^connection closed 0.2 s ago/);
  detector.reopened(400);
  assert.equal(walk(detector, 500, 3300, "dead"), null);
  assert.equal(detector.glance(3400).reason, "silent for 3.0 s, lease 3.0 s");
  assert.deepEqual(detector.glance(3400), detector.verdict(3400));
});

test("a word in the last moment renews the whole lease, and more as it was late", () => {
  const detector = new FailureDetector(0);
  assert.equal(walk(detector, 100, 2900, "dead"), null);
  detector.heard(2999);
  assert.equal(detector.verdict(2999).state, "alive");
  assert.equal(walk(detector, 3000, 20_000, "dead"), 11_000);
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
  assert.equal(walk(detector, 300, 1000, "dead"), null);
  detector.closed(1000);
  assert.equal(walk(detector, 1100, 20_000, "dead"), 2700);
  assert.deepEqual(detector.verdict(2700), {
    state: "dead",
    reason: "connection closed 2.5 s ago and not back within its grace 2.5 s",
  });
});

test("what an observer slept through does not count as silence", () => {
  const detector = new FailureDetector(0);
  assert.equal(detector.verdict(500).state, "alive");
  assert.deepEqual(detector.verdict(60_000), {
    state: "alive",
    reason: "last heard 0.5 s ago, lease 3.0 s",
  });
  assert.equal(walk(detector, 60_100, 80_000, "dead"), 62_500);
});

test("a member that speaks once the observer has woken up is alive, and was not late", () => {
  const detector = new FailureDetector(0);
  detector.verdict(60_000);
  detector.heard(60_010);
  assert.match(detector.verdict(60_010).reason, /lease 3\.0 s$/);
});

test("an observer whose every look is late still buries the dead in the end", () => {
  const detector = new FailureDetector(0);
  const states: string[] = [];
  for (let now = 1200; now <= 20_000; now += 1200) states.push(detector.verdict(now).state);
  assert.equal(states.indexOf("dead"), 11);
});

test("a closed connection seen after a sleep has its whole grace", () => {
  const detector = new FailureDetector(0);
  detector.closed(30_000);
  assert.equal(walk(detector, 30_000, 60_000, "dead"), 32_500);
});

test("a member that is heard late has more silence the later it was, until it is in time", () => {
  const detector = new FailureDetector(0);
  for (let now = 100; now <= 20_000; now += 100) {
    if (now % 2000 === 0) detector.heard(now);
    assert.notEqual(detector.verdict(now).state, "dead", `at ${now}`);
  }
  assert.equal(walk(detector, 20_100, 22_900, "dead"), null);
  assert.match(detector.verdict(23_000).reason, /lease 3\.0 s and 3\.0 s as it was late before$/);
  assert.equal(walk(detector, 23_100, 40_000, "dead"), 26_000);
  const other = new FailureDetector(0);
  walk(other, 100, 2000, "dead");
  other.heard(2000);
  for (let now = 2250; now <= 122_000; now += 250) other.heard(now);
  assert.match(other.verdict(122_000).reason, /lease 3\.0 s$/);
});

test("a member that starts has the time for that, and its lease from then on", () => {
  const detector = new FailureDetector(0);
  for (let now = 100; now < 59_900; now += 100) {
    assert.notEqual(detector.verdict(now, { isStarting: true }).state, "dead", `at ${now}`);
  }
  assert.deepEqual(detector.verdict(60_000, { isStarting: true }), {
    state: "dead",
    reason: "silent for 60.0 s, lease 60.0 s while it starts",
  });
  detector.reopened(60_000);
  assert.equal(walk(detector, 60_100, 70_000, "dead"), 63_000);
});

test("a closed member whose address refuses others is dead at once, an open one is not", () => {
  const detector = new FailureDetector(0);
  detector.heard(1000);
  assert.equal(detector.verdict(1400, { refused: "worker-1" }).state, "alive");
  detector.closed(1500);
  assert.equal(detector.verdict(1600).state, "suspect");
  assert.deepEqual(detector.verdict(1700, { refused: "worker-1" }), {
    state: "dead",
    reason: "connection closed 0.2 s ago and worker-1 is refused at its address",
  });
  detector.reopened(1800);
  assert.equal(detector.verdict(1900, { refused: "worker-1" }).state, "alive");
});

test("other limits are obeyed", () => {
  const detector = new FailureDetector(0, {
    ...{ leaseMs: 400, closedGraceMs: 200, lookMs: 150 },
    ...{ heartbeatMs: 50, startMs: 400 },
  });
  assert.equal(walk(detector, 0, 2000, "dead"), 400);
  detector.reopened(2000);
  detector.closed(2000);
  assert.equal(walk(detector, 2100, 4000, "dead"), 2200);
});
