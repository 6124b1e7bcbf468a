/**
 * Bringing every worker to rest between two steps without anybody being left at a barrier. Asked to
 * pause, each worker says which step it is in and goes no further unasked; the highest of these is
 * where all stop, since a worker in it may need the others' pushes to get out. Without barriers
 * (ASP) each stops where it is. One that stands before its first step is in none: that of a joiner
 * may lie ahead of all that the others have work for.
 *
 * States: asking (who is in which step?) -> gathering (all run to the same step) -> quiet.
 */
import type { ViewWorker } from "../../protocol/view.js";

/** Why the workers are brought to rest, the weightier reason behind. */
const reasons = ["evaluation", "shortage", "switch", "checkpoint", "ending", "interrupt"] as const;
/** An evaluation, too few workers, the next phase, a checkpoint, or the end of the run. */
export type PauseReason = (typeof reasons)[number];

/** Of two reasons that of more weight goes first. */
export function weightOf(reason: PauseReason): number {
  return reasons.indexOf(reason);
}

/** The last step that a worker takes before it rests. */
export interface PauseLimit {
  readonly rank: number;
  readonly step: number;
}

/** One pause under way. */
export class Pause {
  readonly id: number;
  reason: PauseReason;
  readonly #barriers: boolean;
  readonly #firstSteps: ReadonlyMap<number, number>;
  readonly #steps = new Map<number, number | null>();
  readonly #resting = new Set<number>();
  /** Per rank the last step that it was told, once that is settled. */
  readonly #told = new Map<number, number>();
  #limit: number | null = null;

  /** `barriers` says whether a worker may need the others' pushes to get out of its step. */
  constructor(
    id: number,
    reason: PauseReason,
    barriers: boolean,
    workers: readonly Pick<ViewWorker, "rank" | "fromStep">[],
  ) {
    this.id = id;
    this.reason = reason;
    this.#barriers = barriers;
    for (const { rank } of workers) this.#steps.set(rank, null);
    this.#firstSteps = new Map(workers.map(({ rank, fromStep }) => [rank, fromStep]));
    if (workers.length === 0) this.#limit = -1;
  }

  /** A worker says in which step it is; the limits to tell once all have. */
  answered(rank: number, step: number): PauseLimit[] {
    if (!this.#steps.has(rank)) return [];
    this.#steps.set(rank, step);
    return this.#limitsIfComplete();
  }

  /** A worker that has been told its limit rests. */
  rested(rank: number): void {
    if (this.#limit !== null && this.#steps.has(rank)) this.#resting.add(rank);
  }

  /** No work is left that brings this worker past `step`; the limit to tell it, once. */
  shortened(rank: number, step: number): PauseLimit[] {
    const told = this.#told.get(rank);
    if (told === undefined || told <= step) return [];
    this.#told.set(rank, step);
    return [{ rank, step }];
  }

  /** A worker is gone; the limits to tell if it was the last one missing. */
  lost(rank: number): PauseLimit[] {
    if (!this.#steps.delete(rank)) return [];
    this.#resting.delete(rank);
    this.#told.delete(rank);
    // The step that they were in is taken by nobody.
    if (this.#steps.size === 0) this.#limit = -1;
    return this.#limitsIfComplete();
  }

  /** The last step of those who share one; -1 until it is known, and where nobody is left. */
  get limit(): number {
    return this.#limit ?? -1;
  }

  /** True when everybody rests. */
  get quiet(): boolean {
    return this.#limit !== null && [...this.#steps.keys()].every((rank) => this.#resting.has(rank));
  }

  #limitsIfComplete(): PauseLimit[] {
    if (this.#limit !== null) return [];
    const steps: (readonly [rank: number, step: number])[] = [];
    for (const [rank, step] of this.#steps) {
      if (step === null) return [];
      steps.push([rank, step]);
    }
    this.#limit = this.#barriers ? this.#sharedLimit(steps) : highestOf(steps);
    const shared = this.#barriers ? this.#limit : null;
    for (const [rank, step] of steps) this.#told.set(rank, shared ?? step);
    return [...this.#told].map(([rank, step]) => ({ rank, step }));
  }

  /** The highest step that anybody is in; where all stand before their first, the lowest. */
  #sharedLimit(steps: readonly (readonly [rank: number, step: number])[]): number {
    const within = steps.filter(([rank, step]) => step >= (this.#firstSteps.get(rank) ?? 0));
    if (within.length > 0 || steps.length === 0) return highestOf(within);
    return Math.min(...steps.map(([, step]) => step));
  }
}

function highestOf(steps: readonly (readonly [rank: number, step: number])[]): number {
  return Math.max(-1, ...steps.map(([, step]) => step));
}
