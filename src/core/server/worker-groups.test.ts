/** The groups of a decider's primary: measured, divided anew, and kept until another is certain. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { View } from "../../protocol/view.js";
import { groupPace } from "../sync/group.js";
import { ChunkState } from "./chunk-state.js";
import { WorkerGroups } from "./worker-groups.js";

const rule = groupPace("auto").groups!;

function viewOf(ranks: readonly number[]): View {
  const workers = ranks.map((rank) => ({ rank, incarnation: 10 + rank, fromStep: 0 }));
  return { workers } as unknown as View;
}

/** A push of each worker; true where the groups are others then. */
function round(groups: WorkerGroups, view: View, times: readonly number[]): boolean {
  return view.workers
    .map(({ incarnation, rank }) => {
      groups.came(incarnation, times[rank] ?? null);
      return groups.divide(rule, view);
    })
    .includes(true);
}

test("each is alone until a division is found three times running", () => {
  const [groups, view] = [new WorkerGroups(), viewOf([0, 1, 2])];
  assert.deepEqual(groups.of(view), [[10], [11], [12]]);
  const found = [1, 2, 3, 4].map(() => round(groups, view, [10, 50, 11]));
  assert.deepEqual(found, [false, false, true, false]);
  assert.deepEqual(groups.of(view), [[10, 12], [11]]);
  assert.equal(groups.words(view), "workers step in groups: 0 2 (11.0 ms), 1 (50.0 ms)");
  // One slow step is none: the time of a worker is the middle of its last five.
  assert.deepEqual(
    [[10, 50, 90]].map((times) => round(groups, view, times)),
    [false],
  );
  assert.deepEqual(groups.of(view), [[10, 12], [11]]);
  const slower = Array.from({ length: 5 }, () => round(groups, view, [10, 50, 52]));
  assert.deepEqual(groups.of(view), [[10], [11, 12]], `${slower}`);
});

test("who leaves is in no group, who comes is alone, and another primary begins anew", () => {
  const [groups, view] = [new WorkerGroups(), viewOf([0, 1, 2])];
  for (let turn = 0; turn < 3; turn++) round(groups, view, [10, 11, 12]);
  assert.deepEqual(groups.of(view), [[10, 11, 12]]);
  assert.deepEqual(groups.of(viewOf([0, 2, 3])), [[10, 12], [13]]);
  groups.forget();
  assert.deepEqual(groups.of(view), [[10], [11], [12]]);
});

test("what is held of one group is an update, and waits for none of another", () => {
  const [groups, view] = [new WorkerGroups(), viewOf([0, 1, 2])];
  for (let turn = 0; turn < 3; turn++) round(groups, view, [10, 50, 11]);
  const decider = new ChunkState(0, { generation: 0, phaseFromStep: 0 });
  const hold = (rank: number, cameMs: number) => {
    const contribution = { rank, incarnation: 10 + rank, step: 4, examples: 8, cameMs, slot: rank };
    decider.hold(contribution);
  };
  hold(0, 100);
  assert.deepEqual(groups.next(rule, view, decider, 101), { lives: null, againMs: 120 });
  hold(1, 102);
  assert.deepEqual(groups.next(rule, view, decider, 102).lives, new Set([11]));
  hold(2, 103);
  assert.deepEqual(groups.next(rule, view, decider, 103).lives, new Set([10, 12]));
  decider.takeHeld(({ rank }) => rank < 2);
  assert.deepEqual(groups.next(rule, view, decider, 122), { lives: null, againMs: 123 });
  assert.deepEqual(groups.next(rule, view, decider, 123).lives, new Set([12]), "0 has not come");
});
