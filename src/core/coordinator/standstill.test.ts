/** Standstills, walked by hand: what is done at rest, in which order, and who goes on after it. */
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { IdSource } from "../../protocol/ids.js";
import type { CoordinatorMessage } from "../../protocol/messages.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { asp } from "../sync/asp.js";
import { bspPace } from "../sync/bsp.js";
import { type EvaluationOrder, Evaluator } from "../work/evaluator.js";
import type { EvaluationWish } from "../work/work-floor.js";
import type { Saves } from "./saves.js";
import { Standstill, type StandstillFloor } from "./standstill.js";
import type { ViewRounds } from "./view-rounds.js";

const wish = { epoch: 0, step: 8, final: false };
const staleness = { rule: "none", scale: 1, floor: 0.1, max: 4 } as const;

/** Workers that rest at once, and a floor that writes down what is done on it. */
class Floor implements StandstillFloor {
  readonly spec = { ...sampleSpec, protocol: { mode: "asp", staleness } };
  readonly pace = asp.paceOf(this.spec.protocol);
  readonly evaluator = new Evaluator(10, [], new IdSource(1));
  readonly saves: Pick<Saves, "finalSaved"> & { why: Saves["why"] } = {
    ...{ finalSaved: false, why: null },
  };
  readonly pausable = true;
  ranks = [0, 1];
  done: string[] = [];
  #orders: readonly EvaluationOrder[] = [];
  readonly still: Standstill = new Standstill(this, new IdSource(1));

  get views(): ViewRounds {
    const workers = this.ranks.map((rank) => ({ rank, incarnation: rank, fromStep: 0 }));
    return { workers: () => workers, busy: false, standing: {}, openStep: 0 } as never;
  }

  restingStep(): number {
    return 8;
  }

  toWorker(rank: number, message: CoordinatorMessage): void {
    if (message.type === "pause") {
      this.still.answered(rank, { pause: message.pause, step: 3 });
    } else if (message.type === "pauseAt") {
      this.still.paused(rank, { ...message, type: "paused", step: 4, position: -1 });
    } else if (rank === 0) this.done.push(message.type);
  }

  evaluateHere(about: EvaluationWish): void {
    this.done.push("evaluate");
    this.#orders = this.evaluator.begin(about, this.ranks);
  }

  halt(): void {}

  enterPhase(): boolean {
    return false;
  }

  cut(): void {
    this.done.push("cut");
  }

  write(why: string): void {
    this.done.push(`write ${why}`);
  }

  /** Every part is evaluated. */
  evaluated(): void {
    for (const { evaluation, range } of this.#orders) {
      const found = { correct: 1, lossSum: 1, versions: [1] };
      this.evaluator.report({ type: "evaluated", evaluation, range, ...found });
    }
    this.evaluator.conclude(() => ({ atSeconds: 1, trainedExamples: 1 }));
  }

  /** What is done until nothing more is. */
  advance(): string[] {
    this.done = [];
    while (this.still.advance()) this.done.push("deal");
    return this.done;
  }
}

describe("at rest", () => {
  let floor = new Floor();
  beforeEach(() => {
    floor = new Floor();
  });

  test("an evaluation goes before a checkpoint, and both before anybody goes on", () => {
    floor.still.wantEvaluation(wish);
    assert.deepEqual(floor.advance(), ["evaluate"]);
    floor.still.want("checkpoint");
    assert.deepEqual(floor.advance(), []);
    floor.evaluated();
    assert.deepEqual(floor.advance(), ["write checkpoint"]);
    assert.equal(floor.still.saved(), "checkpoint");
    assert.deepEqual(floor.done, ["write checkpoint", "resume"]);
  });

  test("after an evaluation alone they go on, and are dealt work", () => {
    floor.still.wantEvaluation(wish);
    floor.advance();
    floor.evaluated();
    assert.deepEqual(floor.advance(), ["resume", "deal"]);
  });

  test("a checkpoint that was asked for before the last one was written is none any more", () => {
    floor.still.want("checkpoint");
    floor.saves.finalSaved = true;
    assert.deepEqual(floor.advance(), []);
    floor.saves.finalSaved = false;
    floor.still.want("checkpoint");
    assert.deepEqual(floor.advance(), ["cut"]);
  });

  test("while one is written the next brings nobody to rest, and what ends the run waits", () => {
    floor.saves.why = "checkpoint";
    floor.still.want("checkpoint");
    assert.deepEqual(floor.advance(), []);
    assert.equal(floor.still.limit, null, "nobody is asked");
    floor.still.want("interrupt");
    assert.deepEqual(floor.advance(), []);
    assert.match(floor.still.activity() ?? "", /waits until the one before is written/);
    floor.saves.why = null;
    floor.still.writeAtBarrier();
    assert.deepEqual(floor.done, ["write interrupt"]);
  });

  test("an ending has nothing evaluated, and lets nobody go on", () => {
    floor.still.wantEvaluation(wish);
    floor.still.want("ending");
    assert.deepEqual(floor.advance(), ["write ending"]);
    floor.still.saved();
    assert.deepEqual(floor.done, ["write ending"]);
  });

  test("one that is evaluated when the ending comes is waited for", () => {
    floor.still.wantEvaluation(wish);
    floor.advance();
    floor.still.want("interrupt");
    assert.deepEqual(floor.advance(), []);
    floor.evaluated();
    assert.deepEqual(floor.advance(), ["write interrupt"]);
  });

  test("who rests for want of workers evaluates, and rests on", () => {
    floor.still.want("shortage");
    assert.deepEqual(floor.advance(), []);
    floor.still.wantEvaluation(wish);
    assert.deepEqual(floor.advance(), ["evaluate"]);
    floor.evaluated();
    floor.still.want("shortage");
    assert.deepEqual(floor.advance(), []);
    floor.still.suffice();
    assert.deepEqual(floor.done, ["resume"]);
  });

  test("workers that come amid an evaluation wait until it has ended", () => {
    floor.still.want("shortage");
    floor.still.wantEvaluation(wish);
    floor.advance();
    floor.still.suffice();
    assert.deepEqual(floor.advance(), []);
    floor.evaluated();
    assert.deepEqual(floor.advance(), ["resume", "deal"]);
  });

  test("an evaluation that everybody has left is started again by the next worker", () => {
    floor.still.wantEvaluation(wish);
    floor.advance();
    for (const rank of [0, 1]) floor.still.lost(rank);
    floor.ranks = [];
    assert.deepEqual(floor.advance(), ["deal"]);
    assert.equal(floor.evaluator.busy, false);
    floor.ranks = [0];
    assert.deepEqual(floor.advance(), ["evaluate"]);
  });
});

describe("a checkpoint for which nobody has to stop", () => {
  test("is of a cut, unless they rest for something else", () => {
    const floor = new Floor();
    floor.still.wantEvaluation(wish);
    floor.advance();
    floor.still.want("checkpoint");
    floor.evaluated();
    assert.deepEqual(floor.advance(), ["write checkpoint"]);
    floor.still.saved();
    floor.still.want("checkpoint");
    floor.still.wantEvaluation(wish);
    floor.advance();
    floor.evaluated();
    assert.deepEqual(floor.advance(), ["write checkpoint"]);
    floor.still.saved();
    floor.still.want("checkpoint");
    assert.deepEqual(floor.advance(), ["cut"]);
    assert.deepEqual(floor.advance(), [], "once");
  });

  for (const [what, changed] of [
    ["keep residuals", { push: { codec: "topk", share: 0.1 } }],
    ["take differences", { pull: { codec: "topk", share: 0.1 } }],
  ] as const) {
    test(`is at rest where workers ${what}`, () => {
      const floor = new Floor();
      const { compression } = floor.spec;
      Object.assign(floor.spec, { compression: { ...compression, ...changed } });
      floor.still.want("checkpoint");
      floor.advance();
      assert.deepEqual(floor.done, ["barrier"]);
    });
  }

  test("is at rest where nobody is there, or all meet anyway", () => {
    const nobody = new Floor();
    nobody.ranks = [];
    nobody.still.want("checkpoint");
    assert.deepEqual(nobody.advance(), ["write checkpoint"]);
    const inStep = new Floor();
    Object.assign(inStep, { pace: bspPace });
    inStep.still.want("checkpoint");
    assert.deepEqual(inStep.advance(), ["write checkpoint"]);
  });
});
