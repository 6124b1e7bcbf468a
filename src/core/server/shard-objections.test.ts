import assert from "node:assert/strict";
import { test } from "node:test";
import { mint } from "../../protocol/ids.js";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import { firstPhase, type View } from "../../protocol/view.js";
import { viewObjection } from "./shard-objections.js";

/** View 3 of term 2: chunk 0 came to its replicas in it, chunk 1 has had its own since view 1. */
const view: View = {
  ...{ run: "r", number: mint(2, 3), generation: 1, ...firstPhase({ mode: "bsp" }) },
  servers: [{ index: 0, incarnation: 1, address: "s", frames: null }],
  workers: [{ rank: 0, incarnation: mint(2, 5), fromStep: 4 }],
  ...{ candidates: [], departing: [] },
  ...{ replicas: [[0], [0]], fences: [mint(2, 3), mint(2, 1)] },
};
const push: ChunkHeader = {
  ...{ ...emptyHeader, kind: "push", run: "r", generation: 1, term: 2, fence: mint(2, 3) },
  ...{ rank: 0, incarnation: mint(2, 5), chunk: 1, step: 4, examples: 8 },
};

const cases: readonly (readonly [
  what: string,
  change: Partial<ChunkHeader>,
  objection: string | null,
])[] = [
  ["what fits", {}, null],
  ["an earlier view by which the chunk had its replicas", { fence: mint(2, 1) }, null],
  ["a view that is yet to come", { fence: mint(2, 4) }, "early"],
  ["a view of a term that is yet to come", { term: 3, fence: mint(3, 1) }, "early"],
  ["a lower term", { term: 1, fence: mint(1, 9) }, "term 1 is out of date: this is term 2"],
  [
    "a generation that is gone",
    { generation: 0 },
    "generation 0 has been rolled back: this is generation 1",
  ],
  [
    "a view before the chunk's primary changed",
    { chunk: 0, fence: mint(2, 2) },
    "view 2.2 is out of date for chunk 0: its primary changed in view 2.3",
  ],
  [
    "another life of the worker",
    { incarnation: mint(2, 4) },
    "worker 0 of incarnation 2.4 is not in view 2.3",
  ],
  ["a step before its first", { step: 3 }, "step 3 is before worker 0's first step 4"],
  ["a pull for one, which marks nothing", { kind: "pull", step: 3 }, null],
];
for (const [what, change, objection] of cases) {
  test(`${what}: ${objection ?? "taken"}`, () => {
    assert.equal(viewObjection(view, { ...push, ...change }), objection);
  });
}

test("before the first view everything is early", () => {
  assert.equal(viewObjection(null, push), "early");
});
