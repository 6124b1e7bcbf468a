/** What is kept of a run: checkpoints that are written, fail, or are asked for anew. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BarrierRound } from "../work/barrier-round.js";
import { Saves } from "./saves.js";

const barrier = new BarrierRound(1, 8, []);
const written = { step: 8, version: 8, problem: null };
const failed = { step: 8, version: 0, problem: "server-1 is asked no more" };

test("a checkpoint whose server is lost meanwhile is asked for anew", () => {
  const saves = new Saves(null);
  assert.equal(saves.abandon(), false, "nothing is asked for");
  saves.begin("checkpoint", barrier, barrier.step);
  assert.equal(saves.abandon(), true);
  assert.equal(saves.abandon(), false, "once is enough");
  assert.ok(saves.due === null, "its end is yet to come");
  assert.equal(saves.isDueAgain(failed), true);
  const due = saves.due as Saves["due"];
  assert.deepEqual([due?.why, due?.barrier], ["checkpoint", barrier]);
  saves.begin("checkpoint", barrier, barrier.step);
  assert.equal(saves.isDueAgain(written), false);
  assert.equal(saves.due, null);
});

test("one that was whole before the loss counts, one that fails otherwise is not repeated", () => {
  const saves = new Saves(null);
  saves.begin("final", barrier, barrier.step);
  saves.abandon();
  assert.equal(saves.isDueAgain(written), false);
  saves.begin("final", barrier, barrier.step);
  assert.equal(saves.isDueAgain({ ...failed, problem: "the disk is full" }), false);
});

test("what was written and what was not", () => {
  const saves = new Saves(2);
  assert.equal(saves.reachedStep, 2, "the run has come so far");
  saves.begin("checkpoint", barrier, barrier.step);
  const warning = saves.keep({ ...failed, problem: "the disk is full" }, "checkpoint", 8);
  assert.deepEqual(warning, { kind: "warning", text: "checkpoint failed: the disk is full" });
  assert.deepEqual([saves.savedStep, saves.keptStep, saves.unsaved], [8, 2, null]);
  saves.keep({ ...failed, problem: "the disk is full" }, "final", 8);
  assert.deepEqual([saves.finalSaved, saves.unsaved], [true, "the disk is full"]);
  assert.equal(saves.keep({ ...written, step: 9 }, "checkpoint", 9).kind, "checkpoint");
  assert.deepEqual([saves.keptStep, saves.reachedStep], [9, 9]);
});

test("from the copies on one is written beside training, unless the run ends with it", () => {
  const saves = new Saves(null);
  saves.begin("final", barrier, barrier.step);
  assert.deepEqual([saves.copied(), saves.isBeside, saves.why], [false, false, "final"]);
  saves.isDueAgain(written);
  saves.begin("checkpoint", barrier, barrier.step);
  assert.deepEqual([saves.isBeside, saves.copied(), saves.isBeside], [false, true, true]);
  assert.equal(saves.savedStep, 8);
  assert.equal(saves.isDueAgain(written), false);
  assert.deepEqual([saves.isBeside, saves.why], [false, null]);
});

test("one whose copies were lost is taken again, once", () => {
  const saves = new Saves(null);
  const lost = { ...failed, isLost: true };
  for (const isAgain of [true, false, true]) {
    saves.begin("checkpoint", barrier, barrier.step);
    saves.copied();
    assert.equal(saves.abandon(), true, "as often as a server is lost");
    assert.equal(saves.isDueAgain(lost), false, "training has gone on");
    assert.equal(saves.isTakenAgain(lost), isAgain);
  }
  assert.equal(saves.isTakenAgain(written), false);
  assert.equal(saves.isTakenAgain({ ...failed, problem: "the disk is full" }), false);
});
