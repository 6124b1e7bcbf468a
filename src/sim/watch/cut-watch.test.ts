/** What the watch of cuts takes for an inconsistent one, and which entries marks cover. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AppliedMark, ChunkMarks } from "../../protocol/messages.js";
import { coveredBy, inconsistency } from "./cut-watch.js";
import type { LedgerEntry } from "./ledger.js";

const marksOf = (...applied: readonly AppliedMark[]): ChunkMarks => {
  return { version: 0, examples: 0, sealedStep: -1, applied };
};
const mark = (rank: number, incarnation: number, step: number) => ({ rank, incarnation, step });

test("who is there is in a cut up to the same step on all chunks", () => {
  const lives = [
    { rank: 0, incarnation: 10 },
    { rank: 1, incarnation: 11 },
  ];
  const one = marksOf(mark(0, 10, 4), mark(1, 11, 2), mark(2, 12, 7));
  const other = marksOf(mark(0, 10, 4), mark(1, 11, 2), mark(2, 12, 6));
  assert.equal(inconsistency([one, other], lives), null, "worker 2 is lost");
  const behind = marksOf(mark(0, 10, 3), mark(1, 11, 2));
  assert.equal(inconsistency([one, behind], lives), "chunks have worker 0 up to steps 4,3");
  const without = marksOf(mark(0, 10, 4), mark(1, 8, 2));
  assert.equal(inconsistency([one, without], lives), "chunks have worker 1 up to steps 2,-1");
});

test("marks cover the pushes of earlier lives, and of their own up to the step", () => {
  const entries = [mark(0, 5, 9), mark(0, 10, 1), mark(1, 11, 0), mark(0, 10, 2), mark(0, 10, 3)];
  const made = entries.map(
    (step) => ({ steps: [step], step: step.step }) as unknown as LedgerEntry,
  );
  const covered = coveredBy(marksOf(mark(0, 10, 2)), made);
  assert.deepEqual(covered, [made[0], made[1], made[3]]);
});
