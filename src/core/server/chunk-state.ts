/**
 * One chunk as its primary sees it: what has been applied (marks), what is held for a BSP step, and
 * who waits for an answer. Values are elsewhere; a held gradient is the name of a slot.
 *
 * Invariant: a push is applied at most once. A worker's pushes to a chunk come in ascending step,
 * so one mark per rank, (incarnation, step), tells whether a push has been seen.
 */

import { assert } from "../../assert.js";
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { ChunkMarks, PushOutcome } from "../../protocol/messages.js";
import type { ViewWorker } from "../../protocol/view.js";
import type { ChunkProgress } from "../sync/pace.js";

/** A gradient held whole, waiting for its step to be sealed. */
export interface Contribution extends WorkerIdentity {
  readonly examples: number;
  /** Slot of the gradient; -1 when it has no examples. */
  readonly slot: number;
}

/** Someone who has asked for the chunk and shall have it when the protocol allows. */
export interface Waiter extends WorkerIdentity {
  readonly channel: number;
  /** The step that the asker wants to start with the chunk. */
  readonly startStep: number;
  /** The step whose push this answers, -1 for a pull. */
  readonly pushedStep: number;
  readonly outcome: PushOutcome;
  readonly staleness: number;
  readonly wantsWeights: boolean;
  readonly detail: string;
}

interface Mark {
  readonly incarnation: number;
  readonly step: number;
}

/** The chunk's log position and everything pending on it. */
export class ChunkState implements ChunkProgress {
  readonly index: number;
  loaded = false;
  version = 0;
  /** Examples applied: the work that schedules follow. */
  examples = 0;
  sealedStep = -1;
  /** Pushes with examples that were applied. */
  pushes = 0;
  waiters: Waiter[] = [];
  readonly #applied = new Map<number, Mark>();
  /**
   * Contributions to the open step, by incarnation: a rank may have had two lives within one step.
   */
  readonly #held = new Map<number, Contribution>();

  constructor(index: number) {
    this.index = index;
  }

  /** True when this worker's push of this step has been applied, rejected or dropped already. */
  seen(rank: number, incarnation: number, step: number): boolean {
    const mark = this.#applied.get(rank);
    return mark !== undefined && mark.incarnation === incarnation && step <= mark.step;
  }

  /** Records that a push needs never be looked at again. */
  mark(rank: number, incarnation: number, step: number): void {
    this.#applied.set(rank, { incarnation, step });
  }

  clockOf(worker: ViewWorker): number {
    const mark = this.#applied.get(worker.rank);
    if (mark === undefined || mark.incarnation !== worker.incarnation) return worker.fromStep;
    return Math.max(worker.fromStep, mark.step + 1);
  }

  /** Clocks of the workers that have been heard of here; joiners have none yet. */
  clocksOf(workers: readonly ViewWorker[]): number[] {
    return workers
      .filter((worker) => this.#applied.get(worker.rank)?.incarnation === worker.incarnation)
      .map((worker) => this.clockOf(worker));
  }

  /** The step that is being gathered: the one after the last that was sealed. */
  get openStep(): number {
    return this.sealedStep + 1;
  }

  holds({ incarnation }: { readonly incarnation: number }): boolean {
    return this.#held.has(incarnation);
  }

  /** True while anybody's contribution to the open step is held. */
  get holdsAny(): boolean {
    return this.#held.size > 0;
  }

  /** Keeps a contribution until the open step is sealed. */
  hold(contribution: Contribution): void {
    assert(!this.#held.has(contribution.incarnation), "one contribution a step", { contribution });
    this.#held.set(contribution.incarnation, contribution);
  }

  /**
   * Seals the open step: its contributions in ascending rank, two lives of one rank in their order.
   */
  seal(): Contribution[] {
    const contributions = [...this.#held.values()].sort(
      (a, b) => a.rank - b.rank || a.incarnation - b.incarnation,
    );
    this.#held.clear();
    for (const { rank, incarnation } of contributions) this.mark(rank, incarnation, this.openStep);
    this.sealedStep++;
    return contributions;
  }

  /** How far a worker has come here: the last step applied or held, -1 if none. */
  reached(rank: number, incarnation: number): number {
    const mark = this.#applied.get(rank);
    if (this.#held.has(incarnation)) return this.openStep;
    return mark !== undefined && mark.incarnation === incarnation ? mark.step : -1;
  }

  /** Adds a waiter; one that asks the same again replaces its earlier self. */
  await(waiter: Waiter): void {
    this.waiters = this.waiters.filter(
      (other) => other.rank !== waiter.rank || other.pushedStep < 0 !== waiter.pushedStep < 0,
    );
    this.waiters.push(waiter);
  }

  /** The part of the state that is kept with the values. */
  marks(): ChunkMarks {
    const applied = [...this.#applied.entries()]
      .map(([rank, mark]) => ({ rank, incarnation: mark.incarnation, step: mark.step }))
      .sort((a, b) => a.rank - b.rank);
    return {
      version: this.version,
      examples: this.examples,
      sealedStep: this.sealedStep,
      applied,
    };
  }

  /** Takes over marks that were kept with the values. */
  restore(marks: ChunkMarks): void {
    this.version = marks.version;
    this.examples = marks.examples;
    this.sealedStep = marks.sealedStep;
    this.#applied.clear();
    for (const { rank, incarnation, step } of marks.applied) this.mark(rank, incarnation, step);
  }

  /** Every slot held, given up; for the end of a job. */
  drain(): number[] {
    const slots = [...this.#held.values()].map(({ slot }) => slot).filter((slot) => slot >= 0);
    this.#held.clear();
    this.waiters = [];
    return slots;
  }
}
