/** Who holds which chunk as servers are lost, come and catch up. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { placeChunks } from "../../protocol/placement/placement.js";
import { movesMax, Replication } from "./replication.js";

const chunks = Array.from({ length: 24 }, (_, index) => ({
  key: `layer${index}.weight`,
  length: 1,
}));

function replicated(replicas: number, servers: readonly number[]): Replication {
  return new Replication({ chunks, replicas, virtualNodes: 20, loadBound: null, servers });
}

/** Every candidate catches up. */
function settle(replication: Replication): void {
  for (const { chunk, server } of replication.candidates) {
    assert.equal(replication.caughtUp(chunk, server), true);
  }
}

describe("replicas of every chunk", () => {
  test("begin with the primary, and as many candidates as are missing", () => {
    const replication = replicated(2, [0, 1, 2]);
    assert.equal(replication.isRedundant, false);
    assert.equal(replication.candidates.length, chunks.length);
    for (const { chunk, server } of replication.candidates) {
      assert.ok(!replication.replicas[chunk]!.includes(server), "on another server");
    }
    settle(replication);
    assert.equal(replication.isRedundant, true);
    assert.deepEqual(replication.candidates, []);
  });

  test("need nobody where one is enough", () => {
    const replication = replicated(1, [0, 1]);
    assert.deepEqual(replication.candidates, []);
    assert.equal(replication.isRedundant, true);
    assert.equal(replication.canSpare(0), false);
  });

  test("are on all servers where the run asks for more", () => {
    const replication = replicated(5, [0, 1, 2]);
    settle(replication);
    for (const servers of replication.replicas) assert.equal(servers.length, 3);
    replication.join(3);
    replication.plan();
    assert.equal(replication.isRedundant, false, "they are met when servers come");
    settle(replication);
    for (const servers of replication.replicas) assert.equal(servers.length, 4);
  });

  test("a candidate that is none, or is lost, does not count", () => {
    const replication = replicated(2, [0, 1]);
    assert.equal(replication.caughtUp(0, 0), false, "it leads");
    assert.equal(replication.caughtUp(99, 1), false);
    replication.join(2);
    replication.plan();
    settle(replication);
    replication.lose(1);
    replication.plan();
    for (const { server } of replication.candidates) assert.notEqual(server, 1);
    assert.equal(replication.caughtUp(0, 1), false);
  });
});

describe("a server that is lost", () => {
  test("can be spared once every chunk has another in-sync replica, and no sooner", () => {
    const replication = replicated(2, [0, 1, 2]);
    assert.equal(replication.canSpare(1), false, "candidates don't count");
    const [first] = replication.candidates;
    settle(replication);
    assert.ok(first !== undefined);
    for (const server of [0, 1, 2]) assert.equal(replication.canSpare(server), true);
  });

  test("leaves its chunks to their backups, and others become candidates", () => {
    const replication = replicated(2, [0, 1, 2]);
    settle(replication);
    const before = [...replication.replicas];
    replication.lose(1);
    replication.plan();
    replication.replicas.forEach((servers, chunk) => {
      const left = before[chunk]!.filter((server) => server !== 1);
      assert.deepEqual(servers, left, "what is left stays in its order");
      const added = replication.candidates.filter((one) => one.chunk === chunk);
      assert.equal(added.length, 2 - left.length);
    });
    assert.equal(replication.canSpare(0), false);
    settle(replication);
    assert.equal(replication.canSpare(0), true);
  });

  test("changes nothing of what views were given before", () => {
    const replication = replicated(2, [0, 1, 2]);
    const given = [...replication.replicas];
    const shown = JSON.stringify(given);
    settle(replication);
    replication.lose(0);
    assert.equal(JSON.stringify(given), shown);
  });
});

/** Where the ring has each chunk. */
function placed(servers: readonly number[]): readonly number[] {
  return placeChunks({ chunks, servers, virtualNodes: 20, loadBound: null }).primaries;
}

/** Plans, and has what is nominated catch up, until nothing changes; what was seen on the way. */
function move(replication: Replication, look: () => void = () => {}): void {
  for (let round = 0; round < 100; round++) {
    const isChanged = replication.plan();
    look();
    settle(replication);
    if (!isChanged && replication.candidates.length === 0) return;
  }
  assert.fail("moves end");
}

describe("chunks of a server that comes or leaves", () => {
  for (const replicas of [1, 2, 3]) {
    test(`move to where the ring has them, some at a time: ${replicas} replicas`, () => {
      const replication = replicated(replicas, [0, 1, 2]);
      settle(replication);
      replication.join(3);
      const { left } = replication.moves;
      assert.ok(left > movesMax, "there is more to move than may move at a time");
      let before = left;
      move(replication, () => {
        assert.ok(replication.candidates.length <= movesMax);
        assert.ok(before - replication.moves.left <= movesMax);
        before = replication.moves.left;
        assert.equal(replication.isRedundant, true, "no copy is missing on the way");
      });
      assert.deepEqual(
        replication.replicas.map(([primary]) => primary),
        placed([0, 1, 2, 3]),
      );
      for (const servers of replication.replicas) assert.equal(servers.length, replicas);
      replication.leave(1);
      move(replication);
      assert.deepEqual(replication.chunksOf(1), []);
      assert.deepEqual(
        replication.replicas.map(([primary]) => primary),
        placed([0, 2, 3]),
      );
      assert.deepEqual(replication.moves, { left: 0, total: 0 });
    });
  }

  test("are given up by their holder only once another has them", () => {
    const replication = replicated(1, [0]);
    replication.join(1);
    replication.plan();
    const [first] = replication.candidates;
    assert.ok(first !== undefined);
    replication.plan();
    assert.deepEqual(replication.replicas[first.chunk], [0], "it has not caught up");
    replication.caughtUp(first.chunk, 1);
    assert.deepEqual(replication.replicas[first.chunk], [0, 1], "both hold it in one view");
    replication.plan();
    assert.deepEqual(replication.replicas[first.chunk], [1]);
  });

  test("wait while copies are missing", () => {
    const servers = Array.from({ length: 16 }, (_, index) => index);
    const replication = replicated(2, servers);
    settle(replication);
    // One with fewer chunks than may move at a time, so that there would be room for moves.
    const few = servers.find((one) => [1, 2].includes(replication.chunksOf(one).length));
    replication.lose(few!);
    for (const one of [16, 17, 18]) replication.join(one);
    const lacking = replication.replicas.flatMap(({ length }, chunk) =>
      length < 2 ? [chunk] : [],
    );
    assert.ok(lacking.length > 0 && replication.moves.left > 0);
    replication.plan();
    assert.deepEqual(
      replication.candidates.map(({ chunk }) => chunk),
      lacking,
    );
    settle(replication);
    replication.plan();
    assert.ok(replication.candidates.length > 0);
  });

  test("stay, or go elsewhere, where a server is lost in the middle of a move", () => {
    for (const lost of [0, 3]) {
      const replication = replicated(2, [0, 1, 2]);
      settle(replication);
      replication.join(3);
      replication.plan();
      const [first] = replication.candidates;
      replication.caughtUp(first!.chunk, 3);
      assert.equal(replication.canSpare(lost), true);
      replication.lose(lost);
      move(replication);
      const rest = [0, 1, 2, 3].filter((server) => server !== lost);
      assert.deepEqual(
        replication.replicas.map(([primary]) => primary),
        placed(rest),
      );
    }
  });

  test("are copied to nobody any more who is wanted no more", () => {
    const replication = replicated(1, [0, 1]);
    replication.join(2);
    replication.plan();
    assert.ok(replication.candidates.length > 0);
    replication.leave(2);
    replication.plan();
    assert.deepEqual(replication.candidates, []);
    assert.deepEqual(replication.chunksOf(2), []);
  });
});
