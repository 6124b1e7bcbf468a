import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { injection } from "./injection.js";

const read = [
  ["kill:worker=2,at=50", { kind: "kill", role: "worker", rank: 2, at: 50 }],
  ["kill:server=0,at=1", { kind: "kill", role: "server", rank: 0, at: 1 }],
  ["pause:server=1,at=9,for=3s", { kind: "pause", role: "server", rank: 1, at: 9, forMs: 3000 }],
  ["pause:worker=0,at=9,for=250ms", { kind: "pause", role: "worker", rank: 0, at: 9, forMs: 250 }],
] as const;

const refused = [
  ["kill", "is not a fault"],
  ["drop:worker=1,at=5", 'has the fault "drop", which is neither kill nor pause'],
  ["kill:coordinator=0,at=1", 'has the role "coordinator", which is neither worker nor server'],
  ["kill:worker,at=1", "does not say which worker"],
  ["kill:server=one,at=1", "does not say which server"],
  ["kill:server=1=2,at=1", "does not say which server"],
  ["kill:server=1", "does not say at which step"],
  ["kill:server=1,at=x", "does not say at which step"],
  ["kill:server=1,at=1e3", "does not say at which step"],
  ["kill:server=1,at=0", "is at step 0, and the first is 1"],
  ["kill:server=1,at=5,for=1s", "is a kill with a time, which only a pause has"],
  ["kill:server=1,at=5,at=6", 'has "at=6", which no kill has'],
  ["pause:server=1,at=5,until=9", 'has "until=9", which no pause has'],
  ["pause:server=1,at=5", "is a pause that does not say for how long"],
  ["pause:server=1,at=5,for=3", "has the time 3, which is not a time"],
  ["pause:server=1,at=5,for=0s", "has the time 0s, which is below 1ms"],
  ["pause:server=1,at=5,for=2h", "has the time 2h, which is above 1h"],
] as const;

describe("a fault to inject", () => {
  const pattern = new RegExp(injection.schema.pattern as string);
  for (const [text, value] of read) {
    test(`"${text}" is read, shown and described`, () => {
      assert.deepEqual(injection.parse(text), { value });
      assert.equal(injection.print(value), text);
      assert.match(text, pattern);
    });
  }

  test("has its step and its time in any order", () => {
    const text = "pause:server=1,for=1500ms,at=9";
    const value = { kind: "pause", role: "server", rank: 1, at: 9, forMs: 1500 };
    assert.deepEqual(injection.parse(text), { value });
    assert.match(text, pattern);
  });

  for (const [text, problem] of refused) {
    test(`"${text}" ${problem}`, () => assert.deepEqual(injection.parse(text), { problem }));
  }
});
