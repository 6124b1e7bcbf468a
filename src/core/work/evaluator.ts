/**
 * The evaluations of a run: one at a time, each shared among the workers, with a record of every
 * one that ended. A worker that is lost leaves its part to those who are there, or to the next who
 * comes.
 *
 * Invariant: every record covers the whole test set once, and is of one version of the model.
 */

import type { IdSource } from "../../protocol/ids.js";
import type { MemberMessage, Range } from "../../protocol/messages.js";
import type { EvaluationRecord } from "../../protocol/run-events.js";
import { Evaluation } from "./evaluation.js";
import type { EvaluationWish } from "./work-floor.js";

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
  #records: EvaluationRecord[];
  #hasFinal = false;
  #present: Evaluation | null = null;
  readonly #ids: IdSource;
  readonly #stepOf: (step: number, updates: number) => number;

  /**
   * `records` are those of earlier lives of the run, `ids` those of the evaluations to come.
   * `stepOf` says the step of a record: as it was asked for, or how many updates there were.
   */
  constructor(
    testExamples: number,
    records: readonly EvaluationRecord[],
    ids: IdSource,
    stepOf: (step: number, updates: number) => number = (step) => step,
  ) {
    this.#testExamples = testExamples;
    this.#ids = ids;
    this.#stepOf = stepOf;
    this.#records = [...records];
  }

  /** Goes on after the last evaluation of the run. */
  ended(): void {
    this.#hasFinal = true;
  }

  /** Evaluations that ended. */
  get records(): readonly EvaluationRecord[] {
    return this.#records;
  }

  /** True while one is under way. */
  get busy(): boolean {
    return this.#present !== null;
  }

  /** The same of the last one of the run. */
  get busyWithFinal(): boolean {
    return this.#present?.final === true;
  }

  /** The version that the last one of the run was of; null before it, or where it has none. */
  get finalVersion(): string | null {
    return this.#records.findLast(({ final }) => final)?.version ?? null;
  }

  /** Why the present one can't come to a result; null where it can. */
  conflict(): string | null {
    return this.#present?.conflict() ?? null;
  }

  /** Gives the present one up, to be begun anew; null where none that may be is under way. */
  abandon(): EvaluationWish | null {
    if (this.#present === null || this.#present.final) return null;
    const { epoch, step, final } = this.#present;
    this.#present = null;
    return { epoch, step, final };
  }

  /** True when the last one of the run has ended; that of an earlier life was of fewer epochs. */
  get hasFinal(): boolean {
    return this.#hasFinal;
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

  /** One sentence on whom the present one waits for. */
  activity(): string {
    return `evaluating: waiting for worker ${this.missing().join(", ")}`;
  }

  /** Begins one; what each of these ranks is to do. */
  begin(about: EvaluationWish, ranks: readonly number[]): EvaluationOrder[] {
    const testExamples = this.#testExamples;
    const evaluation = new Evaluation({ id: this.#ids.next(), ...about, testExamples, ranks });
    this.#present = evaluation;
    return evaluation.assignments().map((part) => ({ evaluation: evaluation.id, ...part }));
  }

  /** Takes a worker's result. */
  report(message: MemberMessage & { readonly type: "evaluated" }): void {
    if (this.#present?.id !== message.evaluation) return;
    this.#present.report(message);
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
    const { epoch, final } = this.#present;
    const evaluated = this.#present.evaluated();
    const asked = this.#present.step;
    const step = evaluated === null ? asked : this.#stepOf(asked, evaluated.updates);
    this.#present = null;
    const named = evaluated === null ? {} : { version: evaluated.version };
    const record = { epoch, step, final, ...outcome, ...named, ...moment() };
    // What an earlier life ended with is not the end any more.
    this.#records = this.#records.map((one) =>
      one.final && one.step < step ? { ...one, final: false } : one,
    );
    this.#records.push(record);
    this.#hasFinal ||= final;
    return record;
  }
}
