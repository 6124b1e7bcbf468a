/**
 * Bringing every worker to rest between two steps without anybody being left at a barrier. Asked to
 * pause, each worker says which step it is in and goes no further unasked; the highest of these is
 * where all stop, since a worker in it may need the others' pushes to get out. Without barriers
 * (ASP) each stops where it is. A worker may be counted to be in a step that its plan of work does
 * not reach, as a joiner's first step lies ahead of the others; these stop where their work ends.
 *
 * States: asking (who is in which step?) -> gathering (all run to the same step) -> quiet.
 */

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
  readonly #steps = new Map<number, number | null>();
  readonly #resting = new Set<number>();
  /** Per rank the last step that it was told, once that is settled. */
  readonly #told = new Map<number, number>();
  #limit: number | null = null;

  /** `barriers` says whether a worker may need the others' pushes to get out of its step. */
  constructor(id: number, reason: PauseReason, barriers: boolean, ranks: readonly number[]) {
    this.id = id;
    this.reason = reason;
    this.#barriers = barriers;
    for (const rank of ranks) this.#steps.set(rank, null);
    if (ranks.length === 0) this.#limit = -1;
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
    let highest = -1;
    for (const step of this.#steps.values()) {
      if (step === null) return [];
      highest = Math.max(highest, step);
    }
    this.#limit = highest;
    for (const [rank, step] of this.#steps) this.#told.set(rank, this.#barriers ? highest : step!);
    return [...this.#told].map(([rank, step]) => ({ rank, step }));
  }
}
