/** When K-of-N seals a step, by who is there and how many may be late. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { View } from "../../protocol/view.js";
import { untimed } from "../server/step-times.js";
import { bspPace } from "./bsp.js";
import { paceOf } from "./modes.js";
import type { ChunkProgress } from "./pace.js";

function viewOf(fromSteps: readonly number[]): View {
  const workers = fromSteps.map((fromStep, rank) => ({ rank, incarnation: 10 + rank, fromStep }));
  return { workers } as unknown as View;
}

/** A chunk that has sealed step 3 and holds these ranks' pushes; `empty` ones have no examples. */
function chunkWith(held: readonly number[], empty: readonly number[] = []): ChunkProgress {
  return {
    ...{ index: 0, sealedStep: 3, holdsAny: held.length > 0, clockOf: () => 4 },
    pulseOf: () => null,
    holdsOnTime: held.length > 0,
    holdsExamples: held.some((rank) => !empty.includes(rank)),
    holds: ({ rank }) => held.includes(rank),
  };
}

const paceWith = (backupWorkers: number) => paceOf({ mode: "k-of-n", backupWorkers });

test("a step is sealed when K = N - B of the workers that are in it are there", () => {
  const four = viewOf([0, 0, 0, 0]);
  const cases: [number, View, number[], number[], string | null][] = [
    [1, four, [0, 1], [], "2 of 4 workers are in step 4, 3 are needed"],
    [1, four, [0, 1, 3], [], null],
    [2, four, [1, 2], [], null],
    [2, four, [1], [], "1 of 4 workers are in step 4, 2 are needed"],
    // A joiner whose first step is later is not counted: K is two of three.
    [1, viewOf([0, 0, 0, 9]), [0, 2], [], null],
    // Where workers are lost K falls with N, to one at least.
    [2, viewOf([0, 0]), [], [], "0 of 2 workers are in step 4, 1 are needed"],
    [2, viewOf([0, 0]), [1], [], null],
    // With nothing but empty contributions all are waited for.
    [1, four, [0, 1, 2], [0, 1, 2], "3 of 4 workers are in step 4 without examples"],
    [1, four, [0, 1, 2, 3], [0, 1, 2, 3], null],
    [1, four, [0, 1, 2], [0, 1], null],
    [1, viewOf([]), [], [], "no worker takes part and nothing is held"],
    [1, viewOf([9]), [], [], null],
  ];
  for (const [backups, view, held, empty, reason] of cases) {
    const found = paceWith(backups).maySeal(view, chunkWith(held, empty), untimed);
    assert.deepEqual(found, { allowed: reason === null, reason: reason ?? "" }, `${held}`);
  }
});

test("who is late is dropped, and a step starts when the one before is sealed", () => {
  const pace = paceWith(1);
  const push = { step: 3, examples: 8, staleness: 0 };
  const late = pace.onPush(viewOf([0, 0]), chunkWith([]), push);
  assert.deepEqual(late, { kind: "drop", reason: "step 3 was sealed without it" });
  assert.ok(pace.mayStart(viewOf([0, 0]), chunkWith([]), 4).allowed);
  const early = pace.mayStart(viewOf([0, 0]), chunkWith([]), 5);
  assert.equal(early.reason, "waiting for step 4 to be sealed on chunk 0, to start 5");
});

test("without backup workers the pace is that of BSP", () => {
  assert.equal(paceWith(0), bspPace);
  assert.ok(paceWith(1).hasDecider && !bspPace.hasDecider);
});
