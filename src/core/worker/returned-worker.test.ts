/** A worker that finds another coordinator in the place of the one before. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CoordinatorMessage, MemberMessage } from "../../protocol/messages.js";
import { Bench } from "../testing/worker-bench.js";
import type { WorkerEffect } from "./worker-events.js";

describe("a worker whose coordinator has been replaced", () => {
  const returned = { type: "returned" } as const;
  const said = (effects: readonly WorkerEffect[]) =>
    effects.flatMap((effect) => (effect.type === "tell" ? [effect.message] : []));

  test("says what it works on, and before its first end nothing of what is done", () => {
    const bench = new Bench();
    bench.begin();
    assert.deepEqual(said(bench.give(returned)), [
      { type: "returned", assignment: 1, step: 0, done: null },
    ]);
  });

  test("says again what was done last, and where it stands", () => {
    const bench = new Bench();
    bench.begin();
    const told: MemberMessage[] = [];
    for (const step of [0, 1, 2]) {
      told.push(...said(bench.compute(step)));
      for (const chunk of [0, 1, 2]) told.push(...said(bench.reply(step, chunk)));
    }
    const done = told.find((message) => message.type === "assignmentDone");
    assert.ok(done !== undefined);
    const { type: _, ...report } = done;
    const again = { type: "returned", assignment: 0, step: 3, done: report };
    assert.deepEqual(said(bench.give(returned)), [again]);
    assert.deepEqual(said(bench.give(returned)), [again], "each time");
  });

  test("goes on where it had been asked to rest, and drops what had been asked of it", () => {
    const bench = new Bench();
    bench.begin();
    const ask = (message: CoordinatorMessage) => bench.give({ type: "message", message });
    ask({ type: "pause", pause: 3 });
    bench.compute(0);
    for (const chunk of [0, 1, 2]) bench.reply(0, chunk);
    ask({ type: "evaluate", evaluation: 4, range: { start: 0, end: 2 } });
    ask({ type: "barrier", barrier: 5 });
    const kinds = bench.give(returned).map(({ type }) => type);
    assert.deepEqual(kinds.slice(0, 1), ["tell"]);
    assert.match(bench.machine.activity(), /fetching the model to evaluate/, "it had begun");
    for (const chunk of [0, 1, 2]) bench.reply(-1, chunk);
    const evaluated = bench.give({ type: "evaluated", correct: 1, lossSum: 1 });
    assert.deepEqual(
      evaluated.map(({ type }) => type),
      ["tell", "compute"],
    );
  });

  test("stands at a barrier of the new one where the giving for an earlier one ends late", () => {
    const bench = new Bench();
    bench.begin();
    for (const step of [0, 1, 2]) {
      bench.compute(step);
      for (const chunk of [0, 1, 2]) bench.reply(step, chunk);
    }
    const barrier = (id: number) =>
      bench.give({ type: "message", message: { type: "barrier", barrier: id } });
    assert.deepEqual(barrier(4), [{ type: "giveResiduals", barrier: 4 }]);
    bench.give(returned);
    assert.deepEqual(barrier(9), [], "the earlier giving is under way");
    const given = { type: "residualsGiven", barrier: 4, chunks: 0, problem: "refused" } as const;
    assert.deepEqual(bench.give(given), [{ type: "giveResiduals", barrier: 9 }]);
    const reached = { type: "barrierReached", barrier: 9, residuals: 3, problem: "" };
    const last = { type: "residualsGiven", barrier: 9, chunks: 3, problem: "" } as const;
    assert.deepEqual(said(bench.give(last)), [reached]);
  });
});
