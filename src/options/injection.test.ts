import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { faultKinds } from "../protocol/injected-fault.js";
import { injection } from "./injection.js";

const straggler = {
  kind: "straggler",
  role: "worker",
  to: null,
  forMs: null,
  delayMs: 0,
  bitsPerSecond: null,
  slow: 1,
} as const;

const read = [
  ["kill:worker=2,at=50", { kind: "kill", role: "worker", rank: 2, at: 50, forMs: null }],
  ["kill:server=0,at=1", { kind: "kill", role: "server", rank: 0, at: 1, forMs: null }],
  ["pause:server=1,at=9,for=3s", { kind: "pause", role: "server", rank: 1, at: 9, forMs: 3000 }],
  ["pause:worker=0,at=9,for=250ms", { kind: "pause", role: "worker", rank: 0, at: 9, forMs: 250 }],
  ["cut:server=0,at=9,for=2s", { kind: "cut", role: "server", rank: 0, at: 9, forMs: 2000 }],
  ["kill:coordinator=0,at=9", { kind: "kill", role: "coordinator", rank: 0, at: 9, forMs: null }],
  [
    "slow-disk:coordinator=0,at=9,for=1s",
    { kind: "slow-disk", role: "coordinator", rank: 0, at: 9, forMs: 1000 },
  ],
  [
    "straggler:worker=2,delay=30ms,from=100,to=400",
    { ...straggler, rank: 2, at: 100, to: 400, forMs: null, delayMs: 30 },
  ],
  [
    "straggler:worker=0,bandwidth=10mbit,slow=2.5x,from=1,for=1500ms",
    { ...straggler, rank: 0, at: 1, to: null, forMs: 1500, bitsPerSecond: 1e7, slow: 2.5 },
  ],
  ["straggler:worker=1,slow=3x,from=7", { ...straggler, rank: 1, at: 7, slow: 3 }],
] as const;

/** Texts that say the same as another, which is shown. */
const equal = [
  ["straggler:worker=1,from=10,for=5,slow=2x", "straggler:worker=1,slow=2x,from=10,to=14"],
  ["straggler:worker=1,delay=1s", "straggler:worker=1,delay=1s,from=1"],
  ["straggler:worker=1,bandwidth=0.5mbit", "straggler:worker=1,bandwidth=500kbit,from=1"],
] as const;

const refused = [
  ["kill", "is not a fault"],
  [
    "drop:worker=1,at=5",
    'has the fault "drop", which is none of kill, pause, cut, slow-disk, straggler',
  ],
  [
    "pause:coordinator=0,at=1,for=1s",
    'has the role "coordinator", and pause is of worker or server',
  ],
  ["slow-disk:server=0,at=1,for=1s", 'has the role "server", and slow-disk is of coordinator'],
  [
    "kill:scheduler=0,at=1",
    'has the role "scheduler", and kill is of worker or server or coordinator',
  ],
  ["cut:worker=0,at=1", "is a cut that does not say for how long"],
  ["kill:worker,at=1", "does not say which worker"],
  ["kill:server=one,at=1", "does not say which server"],
  ["kill:server=1=2,at=1", "does not say which server"],
  ["kill:server=1", "does not say at which step"],
  ["kill:server=1,at=x", "does not say at which step"],
  ["kill:server=1,at=1e3", "does not say at which step"],
  ["kill:server=1,at=0", "is at step 0, and the first is 1"],
  ["kill:server=1,at=5,for=1s", 'has "for=1s", which no kill has'],
  ["kill:server=1,at=5,at=6", 'has "at=6", which no kill has'],
  ["pause:server=1,at=5,until=9", 'has "until=9", which no pause has'],
  ["pause:server=1,at=5", "is a pause that does not say for how long"],
  ["pause:server=1,at=5,for=3", "has the time 3, which is not a time"],
  ["pause:server=1,at=5,for=0s", "has the time 0s, which is below 1ms"],
  ["pause:server=1,at=5,for=2h", "has the time 2h, which is above 1h"],
  ["straggler:server=1,slow=2x", 'has the role "server", and straggler is of worker'],
  ["straggler:worker,slow=2x", "does not say which worker"],
  ["straggler:worker=1", "is a straggler without delay=30ms, bandwidth=10mbit or slow=2x"],
  ["straggler:worker=1,slow=2x,at=5", 'has "at=5", which no straggler has'],
  ["straggler:worker=1,slow=2x,slow=3x", 'has "slow=3x", which no straggler has'],
  ["straggler:worker=1,slow=2", "has slow=2, which is not above 1x and at most 100x"],
  ["straggler:worker=1,slow=1x", "has slow=1x, which is not above 1x and at most 100x"],
  ["straggler:worker=1,slow=101x", "has slow=101x, which is not above 1x and at most 100x"],
  ["straggler:worker=1,delay=30", "has the delay 30, which is not a time"],
  ["straggler:worker=1,delay=2min", "has the delay 2min, which is above 1m"],
  ["straggler:worker=1,bandwidth=10mb", "has the bandwidth 10mb, which is not 1kbit to 1000gbit"],
  ["straggler:worker=1,bandwidth=0kbit", "has the bandwidth 0kbit, which is not 1kbit to 1000gbit"],
  ["straggler:worker=1,slow=2x,from=0", "has from=0, which is not a step, and the first is 1"],
  ["straggler:worker=1,slow=2x,from=9,to=8", "has to=8, which is no step from 9 on"],
  ["straggler:worker=1,slow=2x,to=8,for=3", "has to=8 and for=3, of which one says when it ends"],
  ["straggler:worker=1,slow=2x,for=x", "has for=x, which is no count of steps and is not a time"],
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

  test("is shown once of each kind where one is refused", () => {
    const shown = injection.wanted.match(/[a-z-]+:\w+=\d[^ ]*?(?=,? |$)/g) ?? [];
    const kinds = shown.map((text) => {
      const parsed = injection.parse(text);
      return "value" in parsed ? parsed.value.kind : parsed.problem;
    });
    assert.deepEqual(kinds, [...Object.keys(faultKinds), "straggler"]);
  });

  test("has its step and its time in any order", () => {
    const text = "pause:server=1,for=1500ms,at=9";
    const value = { kind: "pause", role: "server", rank: 1, at: 9, forMs: 1500 };
    assert.deepEqual(injection.parse(text), { value });
    assert.match(text, pattern);
  });

  for (const [text, shown] of equal) {
    test(`"${text}" is shown as "${shown}"`, () => {
      const parsed = injection.parse(text);
      assert.equal("value" in parsed && injection.print(parsed.value), shown);
      assert.match(text, pattern);
    });
  }

  for (const [text, problem] of refused) {
    test(`"${text}" ${problem}`, () => assert.deepEqual(injection.parse(text), { problem }));
  }
});
