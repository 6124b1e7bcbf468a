/** What the watch of a simulated run takes for a violation, and what not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemberIdentity } from "../../protocol/identity.js";
import { emptyHeader } from "../../protocol/messages.js";
import type { RunEvent } from "../../protocol/run-events.js";
import { drawSchedule } from "../schedule.js";
import { toyWeights } from "../toy-model.js";
import { InvariantWatch } from "./invariant-watch.js";
import { Ledger } from "./ledger.js";

/** The watch of a run on which nothing has happened. */
function begin() {
  const [part] = drawSchedule("bsp", 1).parts;
  const { spec, layout } = part!;
  const none = layout.chunks.map(() => []);
  const start = { weights: toyWeights(layout), state: [], entries: none, rejected: [] };
  const watch = new InvariantWatch(new Ledger(spec, layout, start, assert.fail), null);
  const range = { start: 0, end: 1 };
  /** A worker evaluates a model of one value and says so. */
  const evaluate = (rank: number, evaluation: number, value: number) => {
    const life: MemberIdentity = { role: "worker", rank, incarnation: 10 + rank };
    watch.evaluated(life, Float32Array.of(value));
    const found = { correct: 1, lossSum: 1, versions: [] };
    watch.said(life, { type: "evaluated", evaluation, range, ...found });
  };
  const conclude = () => watch.told({ kind: "evaluation", step: 4, final: false } as RunEvent);
  return { watch, evaluate, conclude };
}

test("the parts of an evaluation are of one model", () => {
  const { watch, evaluate, conclude } = begin();
  evaluate(0, 1, 5);
  evaluate(1, 1, 5);
  conclude();
  evaluate(0, 2, 6);
  conclude();
  assert.deepEqual(watch.violations, []);
  evaluate(0, 3, 7);
  evaluate(1, 3, 8);
  conclude();
  assert.deepEqual(watch.violations, [
    { kind: "evaluation of several models", sentence: "an evaluation of step 4 is of 2 models" },
  ]);
});

test("a server that was lost before promotes nobody", () => {
  const { watch } = begin();
  const backup = { chunk: 0, server: 1, incarnation: 21 };
  const header = { ...emptyHeader, chunk: 0, step: 3, version: 3 };
  watch.sent({ ...header, kind: "entry" }, "server-0");
  watch.sent({ ...header, kind: "received", incarnation: 21 }, "server-1");
  watch.sent({ ...header, kind: "reply", outcome: "applied", version: 4 }, "server-2");
  const life: MemberIdentity = { role: "server", rank: 0, incarnation: 20 };
  watch.told({ kind: "lost", ...life, text: "" });
  watch.said(life, { type: "caughtUp", ...backup });
  assert.deepEqual(watch.violations, []);
  watch.said({ ...life, incarnation: 22 }, { type: "caughtUp", ...backup });
  assert.match(JSON.stringify(watch.violations), /promoted before it has all/);
});

test("what a worker says late of an earlier evaluation is no part of the present one", () => {
  const { watch, evaluate, conclude } = begin();
  evaluate(0, 1, 5);
  conclude();
  evaluate(1, 1, 5);
  evaluate(0, 2, 6);
  evaluate(1, 1, 5);
  conclude();
  assert.deepEqual(watch.violations, []);
});
