import assert from "node:assert/strict";
import { test } from "node:test";
import { sha256Hex } from "../sha256.js";
import { buildRing, nodesFrom, ownerOf } from "./ring.js";

test("a key belongs to the first position strictly greater than its own, wrapping", () => {
  const ring = buildRing(["a", "b", "c"], 5);
  const wrapping = { low: false, high: false };
  for (let index = 0; index < 200; index++) {
    const key = `key${index}`;
    const position = sha256Hex(key);
    const greater = ring.positions.find((place) => place.position > position);
    if (greater === undefined) wrapping.high = true;
    else wrapping.low = true;
    assert.equal(ownerOf(ring, key), (greater ?? ring.positions[0]!).node, key);
  }
  assert.deepEqual(wrapping, { low: true, high: true });
});

test("a key that stands exactly on a position goes to the next one", () => {
  const ring = buildRing(["a", "b"], 3);
  for (const [index, { position }] of ring.positions.entries()) {
    const standing = ["a0", "a1", "a2", "b0", "b1", "b2"].find(
      (key) => sha256Hex(key) === position,
    );
    assert.ok(standing !== undefined);
    assert.equal(ownerOf(ring, standing), ring.positions[(index + 1) % 6]!.node);
  }
});

test("walking on from a key meets every node once, the owner first", () => {
  const nodes = ["a", "b", "c", "d"];
  const ring = buildRing(nodes, 10);
  for (let index = 0; index < 50; index++) {
    const met = [...nodesFrom(ring, `key${index}`)];
    assert.equal(met[0], ownerOf(ring, `key${index}`));
    assert.deepEqual([...met].sort(), nodes);
  }
});

test("a position shared by two names belongs to the same one whatever their order", () => {
  const shared = sha256Hex("server111");
  for (const names of [
    ["server1", "server11"],
    ["server11", "server1"],
  ]) {
    const ring = buildRing(names, 12);
    const there = ring.positions.filter(({ position }) => position === shared);
    assert.deepEqual(
      there.map(({ node }) => node),
      ["server1", "server11"],
    );
  }
});

test("a ring without nodes, with a node twice or without places is refused", () => {
  assert.throws(() => ownerOf(buildRing([], 3), "key"), /without nodes/);
  assert.throws(() => buildRing(["a", "a"], 3), /unique/);
  assert.throws(() => buildRing(["a"], 0), /virtual nodes/);
});
