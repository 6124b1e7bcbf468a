import assert from "node:assert/strict";
import { test } from "node:test";
import { Gathering, gatherMs } from "./gathering.js";

const life = (rank: number, incarnation = 10 + rank) => ({ rank, incarnation });

test("who is ready first opens the door a moment later, for all who are ready by then", () => {
  const gathering = new Gathering(20);
  gathering.begin(life(0));
  for (const [rank, atMs] of [
    [1, 1000],
    [2, 1100],
    [3, 1000 + gatherMs],
  ] as const) {
    gathering.join(life(rank), atMs);
    gathering.open(atMs - 1);
    assert.deepEqual([...gathering.ready.keys()], [0]);
    assert.equal(gathering.count, 1 + rank);
  }
  gathering.open(1000 + gatherMs);
  assert.deepEqual([...gathering.ready.keys()], [0, 1, 2, 3]);
  // The next one begins a wait of its own.
  gathering.join(life(4), 5000);
  gathering.open(5000 + gatherMs - 1);
  assert.ok(!gathering.ready.has(4) && gathering.has(4));
  gathering.open(5000 + gatherMs);
  assert.ok(gathering.ready.has(4));
});

test("nobody is waited for where no place is left", () => {
  const gathering = new Gathering(3);
  gathering.begin(life(0));
  gathering.join(life(1), 0);
  gathering.open(1);
  assert.deepEqual([...gathering.ready.keys()], [0]);
  gathering.join(life(2), 2);
  gathering.open(2);
  assert.deepEqual([...gathering.ready.keys()], [0, 1, 2]);
});

test("who goes while others gather is let in no more, and its wait ends with it", () => {
  const gathering = new Gathering(9);
  gathering.join(life(1), 0);
  gathering.leave(life(1));
  assert.equal(gathering.count, 0);
  gathering.join(life(2), 300);
  gathering.open(gatherMs);
  assert.equal(gathering.ready.size, 0);
  gathering.open(300 + gatherMs);
  assert.deepEqual([...gathering.ready], [[2, 12]]);
});

test("another life of a rank waits anew, and an end of the life before does not concern it", () => {
  const gathering = new Gathering(9);
  gathering.begin(life(1));
  gathering.join(life(1), 50);
  assert.ok(gathering.ready.has(1), "this life is in already");
  gathering.join(life(1, 99), 100);
  assert.ok(!gathering.ready.has(1));
  assert.ok(gathering.has(1) && gathering.has(1, 99) && !gathering.has(1, 11));
  gathering.leave(life(1));
  gathering.open(100 + gatherMs);
  assert.deepEqual([...gathering.ready], [[1, 99]]);
});
