/**
 * How views come about. Changes are gathered; a round gives the next view to every server; when all
 * have acknowledged it, the pace weighs what they say: a joiner may not start with a step that some
 * chunk has gone past. If it would, a further view gives it a later first step. Only a view that
 * stands is for the workers.
 *
 * Invariants: one round at a time; views reach servers before workers; a joiner that is told of its
 * view is ahead of every barrier.
 */

import type { WorkerIdentity } from "../../protocol/identity.js";
import type { Departure } from "../../protocol/messages.js";
import type { View, ViewServer, ViewWorker } from "../../protocol/view.js";
import type { Pace } from "../sync/pace.js";

/** One server's answer to a view. */
export interface ViewAnswer {
  readonly sealedStep: number;
  readonly clockMin: number;
  readonly departed: readonly Departure[];
}

/** A removed worker, over all servers: steps used, and how many of them only some chunks have. */
export interface Departed extends WorkerIdentity {
  readonly lastStep: number;
  readonly tornSteps: number;
}

/** What a finished round says. */
export interface RoundOutcome {
  readonly departed: readonly Departed[];
  /** The view stands and may go to the workers; otherwise another round is due. */
  readonly stands: boolean;
  /** Ranks that this view lets in for the first time. */
  readonly joined: readonly number[];
}

/** What does not change from view to view of one run. */
export interface ViewBase {
  readonly run: string;
  readonly term: number;
  readonly generation: number;
  readonly phase: number;
  readonly servers: readonly ViewServer[];
  readonly primaries: readonly number[];
}

interface Round {
  readonly view: View;
  readonly answers: Map<number, ViewAnswer>;
}

/** The rounds of one run. */
export class ViewRounds {
  readonly #base: ViewBase;
  readonly #pace: Pace;
  readonly #workers = new Map<number, ViewWorker>();
  readonly #confirmed = new Set<number>();
  readonly #firstNumber: number;
  #changed = true;
  #number = 0;
  #round: Round | null = null;
  #standing: View | null = null;

  constructor(base: ViewBase, pace: Pace, firstNumber: number) {
    this.#base = base;
    this.#pace = pace;
    this.#firstNumber = firstNumber;
    this.#number = firstNumber - 1;
  }

  /** The last view that was given to the workers. */
  get standing(): View | null {
    return this.#standing;
  }

  /** True while a change is not yet in a standing view. */
  get busy(): boolean {
    return this.#changed || this.#round !== null;
  }

  /** The worker of this rank in the view to come. */
  worker(rank: number): ViewWorker | undefined {
    return this.#workers.get(rank);
  }

  /** Workers of the view to come, ascending. */
  workers(): ViewWorker[] {
    return [...this.#workers.values()].sort((left, right) => left.rank - right.rank);
  }

  /** True when the worker has been told of a view that has it. */
  isConfirmed(rank: number): boolean {
    return this.#confirmed.has(rank);
  }

  /** Asks for a worker to be let in, from its `fromStep` or, where that has passed, later. */
  admit(worker: ViewWorker): void {
    this.#workers.set(worker.rank, worker);
    this.#confirmed.delete(worker.rank);
    this.#changed = true;
  }

  /** Asks for a worker to be taken out; true if it was in. */
  remove(rank: number): boolean {
    if (!this.#workers.delete(rank)) return false;
    this.#confirmed.delete(rank);
    this.#changed = true;
    return true;
  }

  /**
   * Begins a round if something has changed and none is under way: the view to give to the servers.
   */
  begin(): View | null {
    if (!this.#changed || this.#round !== null) return null;
    this.#changed = false;
    this.#number++;
    const view: View = {
      ...this.#base,
      number: this.#number,
      workers: this.workers(),
      fences: this.#base.primaries.map(() => this.#firstNumber),
    };
    this.#round = { view, answers: new Map() };
    return view;
  }

  /** Takes a server's answer; the outcome when it was the last one missing. */
  answer(server: number, view: number, answer: ViewAnswer): RoundOutcome | null {
    const round = this.#round;
    if (round === null || round.view.number !== view) return null;
    round.answers.set(server, answer);
    if (round.answers.size < this.#base.servers.length) return null;
    this.#round = null;
    return this.#conclude(round);
  }

  #conclude(round: Round): RoundOutcome {
    const answers = [...round.answers.values()];
    const departed = sumUp(answers);
    const sealedStep = Math.max(...answers.map((answer) => answer.sealedStep));
    const clockMin = Math.max(
      firstStepMin(round.view.workers.filter(({ rank }) => this.#confirmed.has(rank))),
      ...answers.map((answer) => answer.clockMin),
    );
    const joiners = round.view.workers.filter((worker) => !this.#confirmed.has(worker.rank));
    let late = false;
    for (const joiner of joiners) {
      // No barrier has passed before workers were told of a view.
      if (this.#standing === null) break;
      const fromStep = this.#pace.laterStart(joiner, { sealedStep, clockMin });
      if (fromStep === null) continue;
      late = true;
      if (this.#workers.get(joiner.rank)?.incarnation !== joiner.incarnation) continue;
      this.#workers.set(joiner.rank, { ...joiner, fromStep });
      this.#changed = true;
    }
    if (late) return { departed, stands: false, joined: [] };
    this.#standing = round.view;
    const joined: number[] = [];
    for (const { rank, incarnation } of joiners) {
      if (this.#workers.get(rank)?.incarnation !== incarnation) continue;
      this.#confirmed.add(rank);
      joined.push(rank);
    }
    return { departed, stands: true, joined };
  }
}

/**
 * No worker's clock is below its first step, also while servers have not heard of it: then it may
 * be in that step already.
 */
function firstStepMin(workers: readonly ViewWorker[]): number {
  return workers.length === 0 ? 0 : Math.min(...workers.map(({ fromStep }) => fromStep));
}

function sumUp(answers: readonly ViewAnswer[]): Departed[] {
  const byIncarnation = new Map<number, { rank: number; min: number; max: number }>();
  for (const { departed } of answers) {
    for (const { rank, incarnation, stepMin, stepMax } of departed) {
      const known = byIncarnation.get(incarnation);
      byIncarnation.set(incarnation, {
        rank,
        min: known === undefined ? stepMin : Math.min(known.min, stepMin),
        max: known === undefined ? stepMax : Math.max(known.max, stepMax),
      });
    }
  }
  return [...byIncarnation].map(([incarnation, { rank, min, max }]) => ({
    rank,
    incarnation,
    lastStep: max,
    tornSteps: max - min,
  }));
}
