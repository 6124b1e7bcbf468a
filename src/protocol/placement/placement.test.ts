import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Random } from "../../random.js";
import { layOut } from "../layout.js";
import { movesBetween, type Placement, placeChunks, ringName } from "./placement.js";
import { buildRing, ownerOf } from "./ring.js";

const scalarKeys = layOut(
  [
    { name: "fc_weights", shape: [1, 784], group: "weight" },
    { name: "fc_bias", shape: [1], group: "plain" },
  ],
  1,
).chunks;

const valuesOf = (placement: Placement) => [...placement.loads.values()].map((load) => load.values);
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

function placeScalars(servers: readonly number[], loadBound: number | null = null): Placement {
  return placeChunks({ chunks: scalarKeys, servers, virtualNodes: 100, loadBound });
}

test("the loads of the ring system come out for 2, 4 and 5 servers", () => {
  assert.deepEqual(valuesOf(placeScalars(upTo(2))), [391, 394]);
  assert.deepEqual(valuesOf(placeScalars(upTo(4))), [184, 198, 191, 212]);
  assert.deepEqual(valuesOf(placeScalars(upTo(5))), [160, 155, 143, 173, 154]);
});

test("removing server4 of five moves exactly its 154 keys, to the servers the ring says", () => {
  const before = placeScalars(upTo(5));
  const moves = movesBetween(before.primaries, placeScalars(upTo(4)).primaries);
  assert.equal(moves.length, 154);
  assert.ok(moves.every(({ from }) => from === 4));
  const gains = upTo(4).map((server) => moves.filter(({ to }) => to === server).length);
  assert.deepEqual(gains, [24, 43, 48, 39]);
});

test("more virtual nodes even out the load as the ring system's second figure shows", () => {
  const figure: [virtualNodes: number, meanOverMax: number][] = [
    [1, 0.527],
    [5, 0.637],
    [10, 0.839],
    [50, 0.858],
    [100, 0.891],
  ];
  for (const [virtualNodes, expected] of figure) {
    let sum = 0;
    for (let trial = 0; trial < 20; trial++) {
      const random = new Random("figure 2", virtualNodes, trial);
      const chunks = Array.from({ length: 785 }, () => ({
        key: `key${random.uint32()}`,
        length: 1,
      }));
      const loads = valuesOf(
        placeChunks({ chunks, servers: upTo(5), virtualNodes, loadBound: null }),
      );
      sum += 785 / 5 / Math.max(...loads);
    }
    const found = sum / 20;
    assert.ok(Math.abs(found - expected) < 0.03, `${virtualNodes}: ${found}, figure ${expected}`);
  }
});

test("with a bound no server holds more than it has room for, and the overflow moves on", () => {
  const placement = placeScalars(upTo(5), 1.05);
  assert.equal(placement.capacity, 165);
  assert.deepEqual(valuesOf(placement), [160, 159, 147, 165, 154]);
});

test("a generous bound changes nothing and a null bound is the ring itself", () => {
  const ring = buildRing(upTo(5).map(ringName), 100);
  const expected = scalarKeys.map(({ key }) => Number(ownerOf(ring, key).slice("server".length)));
  assert.deepEqual(placeScalars(upTo(5)).primaries, expected);
  assert.deepEqual(placeScalars(upTo(5), 2).primaries, expected);
});

test("a server may own nothing and is still listed", () => {
  const placement = placeChunks({
    chunks: [{ key: "fc_bias", length: 1 }],
    servers: [3, 7],
    virtualNodes: 100,
    loadBound: 1.25,
  });
  assert.deepEqual([...placement.loads.keys()], [3, 7]);
  assert.deepEqual(valuesOf(placement).sort(), [0, 1]);
});

test("a chunk that fits nowhere goes to the lightest server", () => {
  const chunks = upTo(3).map((index) => ({ key: `key${index}`, length: 10 }));
  const placement = placeChunks({ chunks, servers: [0, 1], virtualNodes: 10, loadBound: 1.25 });
  assert.equal(placement.capacity, 19);
  assert.deepEqual(valuesOf(placement).sort(), [10, 20]);
});

const chunkLists = fc
  .array(fc.integer({ min: 1, max: 50 }), { maxLength: 40 })
  .map((lengths) => lengths.map((length, index) => ({ key: `tensor.${index}`, length })));
const serverSets = fc.uniqueArray(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 6 });
const bounds = fc.constantFrom(null, 1, 1.25, 2);

test("every chunk is placed once, loads add up and the bound holds", () => {
  fc.assert(
    fc.property(chunkLists, serverSets, bounds, (chunks, servers, loadBound) => {
      const placement = placeChunks({ chunks, servers, virtualNodes: 7, loadBound });
      assert.equal(placement.primaries.length, chunks.length);
      const total = chunks.reduce((sum, { length }) => sum + length, 0);
      const largest = Math.max(0, ...chunks.map(({ length }) => length));
      for (const [server, load] of placement.loads) {
        const own = chunks.filter((_, index) => placement.primaries[index] === server);
        assert.equal(load.chunks, own.length);
        assert.equal(
          load.values,
          own.reduce((sum, { length }) => sum + length, 0),
        );
        const most = Math.max(placement.capacity, total / servers.length + largest);
        assert.ok(load.values <= most, `${load.values} of ${most}`);
      }
      assert.equal(
        [...placement.loads.values()].reduce((sum, load) => sum + load.chunks, 0),
        chunks.length,
      );
    }),
    { seed: 3, numRuns: 300 },
  );
});

test("where chunks are small against the slack, the capacity itself is never exceeded", () => {
  fc.assert(
    fc.property(serverSets, fc.integer({ min: 100, max: 300 }), (servers, count) => {
      const chunks = upTo(count).map((index) => ({ key: `tensor.${index}`, length: 1 }));
      const placement = placeChunks({ chunks, servers, virtualNodes: 3, loadBound: 1 });
      assert.ok(Math.max(...valuesOf(placement)) <= placement.capacity);
      assert.equal(placement.capacity, Math.ceil(count / servers.length));
    }),
    { seed: 4, numRuns: 60 },
  );
});

test("the order in which servers are named never counts", () => {
  fc.assert(
    fc.property(chunkLists, serverSets, bounds, fc.nat(), (chunks, servers, loadBound, seed) => {
      const shuffled = new Random("order", seed).shuffle([...servers]);
      const place = (order: readonly number[]) =>
        placeChunks({ chunks, servers: order, virtualNodes: 5, loadBound }).primaries;
      assert.deepEqual(place(shuffled), place(servers));
    }),
    { seed: 5, numRuns: 200 },
  );
});

test("without a bound removing a server moves its own chunks only", () => {
  fc.assert(
    fc.property(chunkLists, serverSets, fc.nat(), (chunks, servers, pick) => {
      fc.pre(servers.length >= 2);
      const removed = servers[pick % servers.length]!;
      const place = (members: readonly number[]) =>
        placeChunks({ chunks, servers: members, virtualNodes: 20, loadBound: null }).primaries;
      const before = place(servers);
      const after = place(servers.filter((server) => server !== removed));
      const moves = movesBetween(before, after);
      assert.ok(moves.every(({ from, to }) => from === removed && to !== removed));
      assert.equal(moves.length, before.filter((server) => server === removed).length);
    }),
    { seed: 6, numRuns: 200 },
  );
});

test("no servers, a bound below 1 and placements of other chunks are refused", () => {
  const request = { chunks: [], servers: [], virtualNodes: 1, loadBound: null };
  assert.throws(() => placeChunks(request), /needs a server/);
  assert.throws(() => placeChunks({ ...request, servers: [0], loadBound: 0.9 }), /load bound/);
  assert.throws(() => movesBetween([0], []), /same chunks/);
});
