/** When a quorum seals a step: by who is there, by the grace, and by what came too late before. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Protocol } from "../../protocol/run-spec.js";
import type { View } from "../../protocol/view.js";
import { untimed } from "../server/step-times.js";
import { paceOf, protocolProblem } from "./modes.js";
import type { ChunkProgress, Gathering } from "./pace.js";
import { graceOf } from "./quorum.js";

const workers = [0, 1, 2, 3].map((rank) => ({ rank, incarnation: 10 + rank, fromStep: 0 }));
const view = { workers } as unknown as View;

/** A chunk that has sealed step 3 and holds these ranks' pushes, of which `late` ones of step 3. */
function chunkWith(held: readonly number[], late: readonly number[] = []): ChunkProgress {
  return {
    ...{ index: 0, sealedStep: 3, holdsAny: held.length > 0, clockOf: () => 4 },
    pulseOf: () => null,
    holdsOnTime: held.some((rank) => !late.includes(rank)),
    holdsExamples: held.length > 0,
    holds: ({ rank }) => held.includes(rank),
  };
}

function gatheringAt(nowMs: number, more: Partial<Gathering> = {}): Gathering {
  return { ...untimed, nowMs, ...more };
}

test("a step is sealed when its quorum is there and the grace is over, or all are there", () => {
  const pace = paceOf({ mode: "quorum", quorumSize: 2, grace: 10 });
  const since = { heldSince: [90, 100], onTimeMs: 90 };
  const table: [number[], number[], Gathering, string, number?][] = [
    [[0], [], gatheringAt(100), "1 of 4 workers are in step 4, 2 are needed"],
    [
      [0, 1],
      [],
      gatheringAt(104, since),
      "2 of 4 workers are in step 4, the others have a grace: 6.0 ms of 10.0 are left",
      110,
    ],
    [[0, 1], [], gatheringAt(110, since), ""],
    [[0, 1, 2, 3], [], gatheringAt(100, since), ""],
    // Late ones count for the quorum; the grace begins with the first that is in time.
    [[0, 1], [1], gatheringAt(111, { heldSince: [80, 105], onTimeMs: 105 }), "4.0 ms", 115],
    [[0, 1], [0, 1], gatheringAt(500), "2 of 4 workers are in step 4, all of them late"],
    // With all of them late none is sealed: they are an update by themselves.
    [[0, 1, 2, 3], [0, 1, 2, 3], gatheringAt(500), "all of them late"],
  ];
  for (const [held, late, gathering, reason, againMs] of table) {
    const found = pace.maySeal(view, chunkWith(held, late), gathering);
    assert.equal(found.allowed, reason === "", found.reason);
    assert.ok(found.reason.includes(reason), found.reason);
    assert.equal(found.againMs, againMs);
  }
  const few = { workers: [workers[0]] } as unknown as View;
  assert.ok(pace.maySeal(few, chunkWith([0]), gatheringAt(0)).allowed, "K falls with the workers");
});

test("what is late is held for the open step, and alone where nobody joins it", () => {
  const pace = paceOf({ mode: "quorum", quorumSize: 2, grace: "auto" });
  const push = { examples: 8, staleness: 0 };
  assert.deepEqual(pace.onPush(view, chunkWith([]), { ...push, step: 3 }), { kind: "hold" });
  assert.deepEqual(pace.onPush(view, chunkWith([]), { ...push, step: 4 }), { kind: "hold" });
  assert.equal(pace.onPush(view, chunkWith([]), { ...push, step: 5 }).kind, "refuse");
  const alone = (held: number[], late: number[], gathering: Gathering) =>
    pace.late!.maySealAlone(view, chunkWith(held, late), gathering);
  assert.ok(!alone([], [], gatheringAt(900)).allowed);
  assert.ok(!alone([0, 1], [1], gatheringAt(900)).allowed, "another is in time");
  assert.ok(alone([0, 1, 2, 3], [0, 1, 2, 3], gatheringAt(0)).allowed, "nobody is left to join");
  const recent = [
    [10, 30, 31],
    [20, 50, 70],
  ];
  const waits = alone([1], [1], gatheringAt(150, { heldSince: [100], recent }));
  assert.equal(waits.againMs, 190, "three times the 30 ms of the shorter step");
  assert.match(waits.reason, /wait for others in step 4, for 40.0 ms more/);
  assert.ok(alone([1], [1], gatheringAt(190, { heldSince: [100], recent })).allowed);
  assert.equal(alone([1], [1], gatheringAt(0, { heldSince: [0] })).againMs, 100);
});

test("the grace follows the spread of the others, up to half a step", () => {
  const table: [number[][], number, number][] = [
    [[], 2, 1],
    [[[10, 20]], 2, 1],
    // Later by 2, 4, 6 and 8: median 5, absolute deviations 1, 1, 3, 3 with the median 2.
    [
      [
        [90, 100, 102, 104],
        [95, 100, 106, 108],
      ],
      2,
      5 + 3 * 1.4826 * 2,
    ],
    [
      [
        [90, 100, 180],
        [90, 100, 181],
      ],
      2,
      50,
    ],
    [
      [
        [90, 100, 100.2],
        [90, 100, 100.1],
      ],
      2,
      1,
    ],
  ];
  for (const [recent, wanted, grace] of table) {
    assert.ok(Math.abs(graceOf(recent, wanted) - grace) < 1e-9, JSON.stringify(recent));
  }
});

test("a protocol from elsewhere has a quorum of at least one, and a grace that is one", () => {
  const table: [Protocol, RegExp | null][] = [
    [{ mode: "quorum", quorumSize: 1, grace: "auto" }, null],
    [{ mode: "quorum", quorumSize: 3, grace: 2.5 }, null],
    [{ mode: "quorum", quorumSize: 0, grace: "auto" }, /quorumSize is 0, it must be at least 1/],
    [{ mode: "quorum", grace: "auto" }, /quorumSize is undefined, not a whole number/],
    [{ mode: "quorum", quorumSize: 2, grace: -1 }, /grace is -1, neither "auto" nor from 0/],
    [{ mode: "quorum", quorumSize: 2, grace: "long" }, /grace is "long", neither/],
    [{ mode: "quorum", quorumSize: 2, grace: 1, localSteps: 2 }, /it has no parameter localSteps/],
  ];
  for (const [protocol, problem] of table) {
    const found = protocolProblem(protocol);
    if (problem === null) assert.equal(found, null);
    else assert.match(found ?? "", problem);
  }
});
