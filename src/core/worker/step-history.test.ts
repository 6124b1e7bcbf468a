/** What a worker tells of steps that lie behind it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { idleWorker } from "../../protocol/statistics.js";
import { StepHistory } from "./step-history.js";
import { type Work, workOn } from "./worker-state.js";

/** A history, and what was told: the cut and its examples. */
function begin() {
  const told: [cut: number, examples: number, clock: number][] = [];
  const history = new StepHistory((effect) => {
    assert.ok(effect.type === "tell" && effect.message.type === "tallied");
    const { cut, examples, statistics } = effect.message;
    told.push([cut, examples, statistics.clock]);
  });
  const take = (work: Work, step: number) => {
    work.examples += 4;
    history.completed(work, step, { ...idleWorker, clock: step + 1 });
  };
  const ask = (cut: number, assignment: number, step: number) =>
    history.ask({ cut, assignment, step });
  return { told, take, ask };
}

const assigned = (id: number) =>
  workOn({ id, epoch: 0, start: 0, end: 4000, firstStep: 0, lastStep: 1000 });

test("it tells of a step that is complete, and of another once it is", () => {
  const { told, take, ask } = begin();
  const work = assigned(7);
  ask(1, 7, 0);
  assert.deepEqual(told, []);
  for (let step = 0; step < 3; step++) take(work, step);
  ask(2, 7, 1);
  ask(3, 7, 3);
  assert.deepEqual(told, [
    [1, 4, 1],
    [2, 8, 2],
  ]);
  take(work, 3);
  assert.deepEqual(told.at(-1), [3, 16, 4]);
  const next = assigned(8);
  ask(4, 8, 4);
  take(next, 4);
  ask(5, 7, 2);
  assert.deepEqual(told.slice(-2), [
    [4, 4, 5],
    [5, 12, 3],
  ]);
});

test("of one too far behind it tells nothing, and says so", () => {
  const { told, take, ask } = begin();
  const work = assigned(7);
  for (let step = 0; step < 300; step++) take(work, step);
  ask(1, 7, 20);
  ask(2, 7, 200);
  ask(3, 6, 2);
  assert.deepEqual(told, [
    [1, 0, 0],
    [2, 804, 201],
    [3, 0, 0],
  ]);
});
