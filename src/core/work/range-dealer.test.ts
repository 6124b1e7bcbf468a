/** What a dealer of ranges gives, and when it does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Assignment } from "../../protocol/messages.js";
import type { EpochPlan } from "./epoch-plan.js";
import { RangeDealer } from "./range-dealer.js";

test("a worker that has an assignment of one epoch is given none of another", () => {
  const given: number[] = [];
  const out = new Map<number, object>();
  const assignment = { id: 1, epoch: 0, start: 0, end: 2, firstStep: 4, lastStep: 5 };
  const floor = {
    views: { isConfirmed: (rank: number) => rank !== 2 },
    give: (rank: number, _: Assignment) => given.push(rank),
  };
  const cursor = {
    shareOut: (rank: number) => out.get(rank),
    deal: () => assignment as Assignment,
  };
  const dealer = new RangeDealer(floor as never, cursor as never);
  const epoch = (number: number) => ({ epoch: number }) as EpochPlan;
  dealer.deal(epoch(0), 0, 9);
  out.set(0, { assignment });
  // Behind a phase in which nobody kept step two epochs are on.
  for (const rank of [0, 1, 2]) dealer.deal(epoch(1), rank, 9);
  assert.deepEqual(given, [0, 1]);
});
