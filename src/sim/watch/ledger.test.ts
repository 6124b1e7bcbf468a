/** The simulation's own account where chunks have copies, and the last entry of one may be lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Entry, heldVerdict } from "../../core/server/entry.js";
import { learningRate } from "../../protocol/schedule.js";
import { drawSchedule } from "../schedule.js";
import { toyWeights } from "../toy-model.js";
import { Ledger } from "./ledger.js";

/** A ledger that knows a step of each of two workers, and what it complains of. */
function begin() {
  const { spec, layout } = drawSchedule("asp", 4).parts[0]!;
  const complaints: string[] = [];
  const start = { weights: toyWeights(layout), state: [], entries: [], rejected: [] };
  const ledger = new Ledger(spec, layout, start, (what) => complaints.push(what));
  for (const rank of [0, 1]) {
    const gradients = new Float32Array(layout.values).fill(rank + 1);
    const range = { start: rank * 2, end: rank * 2 + 2 };
    const about = { rank, incarnation: 10 + rank, step: 0, epoch: 0, range, gradients };
    ledger.computed(about, ledger.weights());
  }
  const entryOf = (rank: number, version: number, before: number): Entry => ({
    ...{ chunk: 0, seq: version, sealedStep: -1, gradient: 0, pushes: 1, staleness: 0 },
    ...{ examples: 2, lr: learningRate(spec.schedule, before), momentum: 0.9, scale: 1, version },
    marks: [{ rank, incarnation: 10 + rank, step: 0, examples: 2, verdict: heldVerdict }],
  });
  return { ledger, complaints, entryOf };
}

test("a copy that applies what another has changes nothing", () => {
  const { ledger, complaints, entryOf } = begin();
  ledger.applied(entryOf(0, 1, 0));
  const values = [...ledger.valuesOf(0, 0)];
  ledger.applied(entryOf(0, 1, 0));
  assert.deepEqual([...ledger.valuesOf(0, 0)], values);
  assert.deepEqual(complaints, []);
});

test("the last entry is taken back where another is made in its place, unless it was seen", () => {
  const [direct, taken, seen] = [begin(), begin(), begin()];
  direct.ledger.applied(direct.entryOf(1, 1, 0));
  taken.ledger.applied(taken.entryOf(0, 1, 0));
  taken.ledger.applied(taken.entryOf(1, 1, 0));
  assert.deepEqual(taken.complaints, []);
  assert.deepEqual([...taken.ledger.weights()], [...direct.ledger.weights()]);
  assert.equal(taken.ledger.entriesOf(0).length, 1);
  seen.ledger.applied(seen.entryOf(0, 1, 0));
  seen.ledger.sent(0, 1);
  seen.ledger.applied(seen.entryOf(1, 1, 0));
  assert.match(seen.complaints.join(), /entry 1 of chunk 0 .* had been another, which was seen/);
});

test("the last entry is taken back where its chunk rests without it, unless it was seen", () => {
  const [unseen, seen] = [begin(), begin()];
  const fresh = [...unseen.ledger.weights()];
  for (const { ledger, entryOf } of [unseen, seen]) ledger.applied(entryOf(0, 1, 0));
  seen.ledger.sent(0, 1);
  for (const { ledger } of [unseen, seen]) ledger.atRest(0, 0);
  assert.equal(unseen.ledger.entriesOf(0).length, 0);
  assert.deepEqual([...unseen.ledger.weights()], fresh);
  assert.equal(seen.ledger.entriesOf(0).length, 1);
});
