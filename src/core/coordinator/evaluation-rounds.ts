/**
 * How an evaluation is carried out: which workers are told to evaluate, what one that is lost has
 * left is told to others, and its result is recorded and told to everybody. When one is due is
 * decided elsewhere (what-is-due.ts), and nothing is in flight meanwhile (standstill.ts).
 */
import type { CoordinatorMessage } from "../../protocol/messages.js";
import type { RunEvent } from "../../protocol/run-events.js";
import type { EpochRecords } from "../work/epoch-records.js";
import type { EvaluationOrder, Evaluator } from "../work/evaluator.js";
import type { EvaluationWish } from "../work/work-floor.js";
import type { ViewRounds } from "./view-rounds.js";

/** What training is to evaluations. */
export interface EvaluationFloor {
  readonly views: ViewRounds;
  readonly evaluator: Evaluator;
  /** The account of epochs, whose clocks stand still meanwhile. */
  readonly records: EpochRecords;
  toWorker(rank: number, message: CoordinatorMessage): void;
}

/** The evaluations of one run, as members see them. */
export class EvaluationRounds {
  readonly #floor: EvaluationFloor;
  readonly #emit: (event: RunEvent) => void;

  constructor(floor: EvaluationFloor, emit: (event: RunEvent) => void) {
    this.#floor = floor;
    this.#emit = emit;
  }

  /** Begins one, by workers that have come in by this step; where there are none, it does not. */
  begin(wish: EvaluationWish, reachedStep: number, nowMs: number): void {
    const { evaluator, records } = this.#floor;
    const ranks = this.#evaluators(reachedStep);
    if (ranks.length === 0) return;
    records.interrupt(nowMs);
    this.#tell(evaluator.begin(wish, ranks));
  }

  /** Has the present one go on, and end; the reason where it can't come to a result, else null. */
  advance(nowMs: number): string | null {
    const { evaluator, records, views } = this.#floor;
    this.#tell(evaluator.giveAway(this.#evaluators(-1)));
    const conflict = evaluator.conflict();
    if (conflict !== null) return conflict;
    const record = evaluator.conclude(() => ({
      atSeconds: records.elapsedSeconds(nowMs),
      trainedExamples: records.examples(),
    }));
    if (record === null) return null;
    records.resume(nowMs);
    const { epoch, step, final, accuracyPercent, loss } = record;
    for (const { rank } of views.workers()) {
      this.#floor.toWorker(rank, { type: "evaluation", epoch, final, accuracyPercent, loss });
    }
    const accuracy = `test accuracy ${accuracyPercent.toFixed(2)}%`;
    const text = `${accuracy} and loss ${loss.toFixed(4)} at step ${step}`;
    this.#emit({ kind: "evaluation", text, ...record });
    return null;
  }

  #tell(orders: readonly EvaluationOrder[]): void {
    for (const { rank, evaluation, range } of orders) {
      this.#floor.toWorker(rank, { type: "evaluate", evaluation, range });
    }
  }

  /**
   * Workers that have come in by this step, or those that come in first: others may wait for work
   * of these.
   */
  #evaluators(reachedStep: number): number[] {
    const { views } = this.#floor;
    const confirmed = views.workers().filter(({ rank }) => views.isConfirmed(rank));
    const first = Math.min(...confirmed.map(({ fromStep }) => fromStep));
    const reached = Math.max(first, reachedStep);
    return confirmed.filter(({ fromStep }) => fromStep <= reached).map(({ rank }) => rank);
  }
}
