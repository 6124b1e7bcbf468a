/** Ranges dealt where nobody waits at an epoch's end, walked by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { wayOfDealing } from "../coordinator/choices.js";
import { paceOf } from "../sync/modes.js";
import { plainAsp, specOf } from "../testing/model-run.js";
import { Cursor } from "./cursor.js";
import { WorkAtWill } from "./work-at-will.js";
import type { WorkFloor } from "./work-floor.js";

const protocol = { mode: "ssp", staleness: 3 } as const;

/** A dealer with its account, and what it has said of each rank. */
function benchOf(choices: Parameters<typeof specOf>[0], ranks: readonly number[]) {
  const spec = specOf({ protocol, trainExamples: 16, batchSize: 4, ...choices });
  const pace = paceOf(spec.protocol);
  const cursor = new Cursor(spec, pace);
  const said: string[] = [];
  const floor = {
    spec,
    pace,
    ready: new Map(ranks.map((rank) => [rank, rank])),
    views: { busy: false, isConfirmed: () => true, worker: () => ({}) },
    evaluator: { busy: false, lastStep: null },
    activeRanks: () => ranks,
    globalSteps: () => 0,
    openEpoch: (epoch: number) => said.push(`epoch ${epoch}`),
    give: (rank: number, { epoch, firstStep, lastStep }: { [name: string]: unknown }) =>
      said.push(`${rank}: epoch ${epoch}, steps ${firstStep} to ${lastStep}`),
    letRest: (rank: number, step: number) => said.push(`${rank}: rests before ${step}`),
    recordEpoch: (epoch: number, skipped: number) =>
      said.push(`epoch ${epoch} is over, ${skipped} skipped`) > 0,
    evaluate: () => {},
    pauseForCheckpoint: () => {},
    phases: { checkpointEvery: spec.checkpointEvery },
  };
  const dealer = new WorkAtWill(floor as unknown as WorkFloor, cursor);
  /** What is said once the dealer has done what is due. */
  const advance = (pauseLimit: number | null) => {
    said.length = 0;
    dealer.advance(pauseLimit);
    return said.slice();
  };
  /** A rank finishes what it has. */
  const finish = (rank: number) => {
    const out = cursor.shareOut(rank)!.assignment!;
    cursor.finish(rank, out.id, 0, 0);
  };
  return { cursor, floor, advance, finish };
}

test("in a pause whose limit lies past the last plan, all rest where their work ends", () => {
  const { cursor, advance, finish } = benchOf({ epochs: 1 }, [0, 1]);
  for (const rank of [0, 1]) cursor.begin(rank, 0);
  assert.deepEqual(advance(null), [
    "epoch 0",
    "0: epoch 0, steps 0 to 2",
    "1: epoch 0, steps 0 to 2",
  ]);
  // A joiner may come in at step 6, so that the others are asked to go up to step 5.
  finish(0);
  assert.deepEqual(advance(5), ["0: rests before 2"]);
  finish(1);
  assert.deepEqual(advance(5), ["0: rests before 2", "1: rests before 2"]);
  assert.deepEqual(advance(1), [], "who is past the limit rests unasked");
  assert.deepEqual(advance(-1), [], "the limit is not known");
});

test("while an epoch is to come, they go up to the limit in that", () => {
  const { cursor, advance, finish } = benchOf({ epochs: 2 }, [0, 1]);
  for (const rank of [0, 1]) cursor.begin(rank, 0);
  advance(null);
  finish(0);
  assert.deepEqual(advance(5), ["epoch 1", "0: epoch 1, steps 2 to 4"]);
  finish(0);
  assert.deepEqual(advance(5), ["0: rests before 4"]);
  finish(1);
  assert.deepEqual(advance(5), ["1: epoch 1, steps 2 to 4", "0: rests before 4"]);
});

for (const pace of [protocol, plainAsp]) {
  test(`what nobody used of an epoch that is over is dealt to nobody (${pace.mode})`, () => {
    const ranks = [0, 1];
    const { cursor, floor, advance, finish } = benchOf({ protocol: pace, epochs: 1 }, ranks);
    for (const rank of ranks) cursor.begin(rank, 0);
    advance(null);
    finish(0);
    // The other one is lost after its first step.
    cursor.lose(1, 0, 4);
    ranks.pop();
    floor.ready.delete(1);
    assert.deepEqual(advance(null), ["epoch 0 is over, 4 skipped"]);
    const kept = new Cursor(floor.spec, floor.pace, cursor.snapshot());
    assert.equal(kept.openPlan(1), null);
    assert.equal(kept.skipped(kept.latest!), 4);
    // It goes on beside the others, whom it would hold back from further behind.
    assert.equal(kept.firstStepOf(1), kept.firstStepOf(0));
  });
}

test("what a limit on steps left of an epoch is dealt under another limit", () => {
  const { cursor, floor, advance, finish } = benchOf({ epochs: 1, maxSteps: 2 }, [0, 1]);
  for (const rank of [0, 1]) cursor.begin(rank, 0);
  advance(null);
  for (const rank of [0, 1]) finish(rank);
  assert.deepEqual(advance(null), ["epoch 0 is over, 0 skipped"]);
  const spec = { ...floor.spec, maxSteps: null };
  const kept = new Cursor(spec, floor.pace, cursor.snapshot());
  assert.notEqual(kept.openPlan(1), null);
});

test("a joiner of a run that goes on from a checkpoint stands where its phase begins", () => {
  const { cursor, floor, advance, finish } = benchOf({ protocol: plainAsp, epochs: 2 }, [0, 1]);
  for (const rank of [0, 1]) cursor.begin(rank, 0);
  advance(null);
  finish(0);
  cursor.keepPace(paceOf(plainAsp), 10);
  const plan = { phase: { phase: 1, phaseFromStep: 10 } };
  const resume = { cursor: cursor.snapshot(), plan };
  const { account } = wayOfDealing(floor as never, { resume: resume as never }, 2);
  // Rank 1 has two steps left of the epoch, which take it to step 12.
  assert.deepEqual(
    [0, 1, 2].map((rank) => account.firstStepOf(rank)),
    [10, 10, 12],
  );
});
