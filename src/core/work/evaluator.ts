/**
 * The evaluations of a run: one at a time, each shared among the workers, with a record of every
 * one that ended. A worker that is lost leaves its part to those who are there, or to the next who
 * comes.
 *
 * Invariant: every record covers the whole test set once.
 */

import type { IdSource } from "../../protocol/ids.js";
import type { MemberMessage, Range } from "../../protocol/messages.js";
import type { EvaluationRecord } from "../../protocol/run-events.js";
import { Evaluation } from "./evaluation.js";

/** A worker and the test examples it is to go through. */
export interface EvaluationOrder {
  readonly evaluation: number;
  readonly rank: number;
  readonly range: Range;
}

/** When an evaluation ended, in time and in work. */
export type EvaluationMoment = Pick<EvaluationRecord, "atSeconds" | "trainedExamples">;

/** The evaluations. */
export class Evaluator {
  readonly #testExamples: number;
  readonly #records: EvaluationRecord[];
  #present: Evaluation | null = null;
  readonly #ids: IdSource;

  /** `records` are those of earlier lives of the run, `ids` those of the evaluations to come. */
  constructor(testExamples: number, records: readonly EvaluationRecord[], ids: IdSource) {
    this.#testExamples = testExamples;
    this.#ids = ids;
    this.#records = [...records];
  }

  /** Evaluations that ended. */
  get records(): readonly EvaluationRecord[] {
    return this.#records;
  }

  /** True while one is under way. */
  get busy(): boolean {
    return this.#present !== null;
  }

  /** True while the last one of the run is under way. */
  get busyWithFinal(): boolean {
    return this.#present?.final === true;
  }

  /** True when the last one of the run has ended. */
  get hasFinal(): boolean {
    return this.#records.some((record) => record.final);
  }

  /** The step of the last one that ended; null before the first. */
  get lastStep(): number | null {
    return this.#records.at(-1)?.step ?? null;
  }

  /** True when this step has been evaluated. */
  has(step: number, final: boolean): boolean {
    return this.#records.some((record) => record.step === step && record.final === final);
  }

  /** Ranks that are waited for. */
  missing(): number[] {
    return this.#present?.missing() ?? [];
  }

  /** Begins one; what each of these ranks is to do. */
  begin(
    about: { epoch: number; step: number; final: boolean },
    ranks: readonly number[],
  ): EvaluationOrder[] {
    const testExamples = this.#testExamples;
    const evaluation = new Evaluation({ id: this.#ids.next(), ...about, testExamples, ranks });
    this.#present = evaluation;
    return evaluation.assignments().map((part) => ({ evaluation: evaluation.id, ...part }));
  }

  /** Takes a worker's result. */
  report(message: MemberMessage & { readonly type: "evaluated" }): void {
    if (this.#present?.id !== message.evaluation) return;
    this.#present.report(message.range, message.correct, message.lossSum);
  }

  /** A worker is gone. */
  lost(rank: number): void {
    this.#present?.orphan(rank);
  }

  /** Gives parts that lost workers have left to these ranks. */
  giveAway(ranks: readonly number[]): EvaluationOrder[] {
    const present = this.#present;
    if (present === null) return [];
    return present.giveAway(ranks).map((part) => ({ evaluation: present.id, ...part }));
  }

  /** Ends the present one if every result is in: its record. */
  conclude(moment: () => EvaluationMoment): EvaluationRecord | null {
    const outcome = this.#present?.outcome() ?? null;
    if (this.#present === null || outcome === null) return null;
    const { epoch, step, final } = this.#present;
    this.#present = null;
    const record = { epoch, step, final, ...outcome, ...moment() };
    this.#records.push(record);
    return record;
  }
}
