/** Who holds which chunk as servers are lost, come and catch up. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Replication } from "./replication.js";

const chunks = Array.from({ length: 12 }, (_, index) => ({ key: `layer${index}.weight` }));

function replicated(replicas: number, servers: readonly number[]): Replication {
  const primaries = chunks.map((_, chunk) => servers[chunk % servers.length]!);
  return new Replication({ chunks, replicas, virtualNodes: 20, servers, primaries });
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
    assert.equal(replication.isRedundant, false, "they are met when servers come");
    settle(replication);
    for (const servers of replication.replicas) assert.equal(servers.length, 4);
  });

  test("a candidate that is none, or is lost, does not count", () => {
    const replication = replicated(2, [0, 1]);
    assert.equal(replication.caughtUp(0, 0), false, "it leads");
    assert.equal(replication.caughtUp(99, 1), false);
    replication.join(2);
    settle(replication);
    replication.lose(1);
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
    const before = replication.replicas;
    replication.lose(1);
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
