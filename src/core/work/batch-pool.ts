/**
 * The account of the work where batches are dealt one at a time, to any worker: under
 * `--feed leased` the worker reads its batch itself, under `--feed central` it is sent the
 * examples.
 *
 * An epoch is a pool of batches, in the order of their positions. An assignment is one batch and
 * the one step to take on it, or an empty one for a worker that has to take a step all the same.
 * What a lost worker had not used by the servers' account, what a worker refused, and what one was
 * brought to rest before, returns to the pool and is dealt before what was never dealt.
 *
 * Invariant: a position is with one worker at a time and is used once; while an epoch has positions
 * that were not used, it is not over, unless a limit on steps ends it. What that leaves stays in
 * the account, for a run that is resumed with another limit.
 */
import { assert } from "../../assert.js";
import { IdSource } from "../../protocol/ids.js";
import type { Assignment, Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { examplesOfStep, type Pace } from "../sync/pace.js";
import type {
  CutAssignment,
  CutLimits,
  RefusedAssignment,
  WorkAccount,
  WorkRecord,
  WorkSnapshot,
} from "./work-floor.js";

/** Positions that came back, and who was lost with them or refused them; null where nobody did. */
export interface LeftBatch extends Range {
  readonly leftBy: number | null;
}

/** What is yet to be dealt of an epoch: what came back, and positions [next, end). */
export interface EpochPool {
  readonly epoch: number;
  readonly next: number;
  readonly end: number;
  readonly left: readonly LeftBatch[];
}

/** The account in a form that a checkpoint keeps. */
export interface PoolSnapshot {
  readonly pools: readonly EpochPool[];
  /** The step before which nobody stands any more. */
  readonly nextStep: number;
}

/** All of the account, with the assignments that are out. */
export interface PoolRecord extends PoolSnapshot {
  /** By rank the assignment that is with it. */
  readonly out: readonly (readonly [rank: number, assignment: Assignment])[];
  /** By rank the first step that it has not taken. */
  readonly steps: readonly (readonly [rank: number, step: number])[];
  /** By epoch and first position: the ranks that refused it, one as often as it did. */
  readonly refusals: readonly (readonly [place: string, ranks: readonly number[]])[];
}

/** An assignment, and the rank that left its examples, if one did. */
export interface DealtAssignment {
  readonly assignment: Assignment;
  readonly leftBy: number | null;
}

interface OpenPool extends EpochPool {
  next: number;
  end: number;
  left: LeftBatch[];
}

/** A batch that was refused so often ends the run, and is dealt no more. */
export const refusalsMax = 3;

/** The account. */
export class BatchPool implements WorkAccount {
  readonly #spec: RunSpec;
  #pace: Pace;
  #pools: OpenPool[] = [];
  readonly #ids: IdSource;
  #stand = 0;
  /** Per rank the assignment that is with it. */
  readonly #out = new Map<number, Assignment>();
  /** Per rank the first step that it has not taken. */
  readonly #steps = new Map<number, number>();
  /** By epoch and first position: the ranks that refused it, one as often as it did. */
  readonly #refusals = new Map<string, number[]>();

  /**
   * @param kept what a checkpoint has of the account, or all of it.
   * @param ids of assignments.
   */
  constructor(
    spec: RunSpec,
    pace: Pace,
    kept?: WorkSnapshot | WorkRecord,
    ids: IdSource = new IdSource(0),
  ) {
    this.#spec = spec;
    this.#pace = pace;
    this.#ids = ids;
    if (kept === undefined) return;
    assert("pools" in kept, "an account of batches is of batches");
    this.#pools = kept.pools.map((pool) => ({ ...pool, left: [...pool.left] }));
    this.#stand = kept.nextStep;
    if (!("steps" in kept)) return;
    for (const [rank, assignment] of kept.out) this.#out.set(rank, assignment);
    for (const [rank, step] of kept.steps) this.#steps.set(rank, step);
    for (const [place, ranks] of kept.refusals) this.#refusals.set(place, [...ranks]);
  }

  get epoch(): number {
    return this.#pools.at(-1)?.epoch ?? 0;
  }

  /** Epochs whose batches are not all used, and the latest one, in their order. */
  openEpochs(): number[] {
    return this.#pools.map(({ epoch }) => epoch);
  }

  /** True when a further epoch may be opened. */
  get canOpen(): boolean {
    const { epochs, trainExamples } = this.#spec;
    const opened = (this.#pools.at(-1)?.epoch ?? -1) + 1;
    return opened < epochs && trainExamples > 0 && this.#batchesLeft() > 0;
  }

  /** Opens the next epoch and returns it. */
  open(): number {
    assert(this.canOpen, "an epoch is opened for some steps");
    const epoch = (this.#pools.at(-1)?.epoch ?? -1) + 1;
    this.#pools.push({ epoch, next: 0, end: this.#spec.trainExamples, left: [] });
    return epoch;
  }

  /** Batches that may be dealt yet; where steps are global, the dealer counts those. */
  #batchesLeft(): number {
    const { maxSteps, trainExamples } = this.#spec;
    const batchSize = examplesOfStep(this.#spec, this.#pace);
    if (maxSteps === null || this.#pace.globalStep === "step") return Number.POSITIVE_INFINITY;
    const [first] = this.#pools;
    const before = (first?.epoch ?? 0) * Math.ceil(trainExamples / batchSize);
    return this.#pools.reduce(
      (left, { next, left: returned }) => left - Math.ceil(next / batchSize) + returned.length,
      maxSteps - before,
    );
  }

  /** True when every position of this epoch is used, or will not be. */
  isUsedUp(epoch: number): boolean {
    const pool = this.#pools.find((candidate) => candidate.epoch === epoch);
    const out = [...this.#out.values()].some((assignment) => assignment.epoch === epoch);
    return pool === undefined || (!out && (isDealt(pool) || this.#batchesLeft() <= 0));
  }

  isCut(epoch: number): boolean {
    const pool = this.#pools.find((candidate) => candidate.epoch === epoch);
    return pool !== undefined && !isDealt(pool);
  }

  /** True when no epoch that was opened has a position that is not used. */
  get usedUp(): boolean {
    return this.#pools.every(({ epoch }) => this.isUsedUp(epoch));
  }

  /** Forgets epochs before this one. */
  forgetBefore(epoch: number): void {
    this.#pools = this.#pools.filter((pool) => pool.epoch >= epoch);
  }

  /**
   * Deals a rank the next batch for this step; null when there is none for it. What it refused is
   * for others while one of these ranks has not refused it, and for nobody once that ends the run.
   */
  deal(rank: number, step: number, ranks: readonly number[]): DealtAssignment | null {
    assert(!this.#out.has(rank), "one assignment at a time", { rank });
    const batchSize = examplesOfStep(this.#spec, this.#pace);
    if (this.#batchesLeft() <= 0) return null;
    for (const pool of this.#pools) {
      const index = pool.left.findIndex(({ start }) => this.#isFor(rank, pool, start, ranks));
      const left = pool.left[index];
      if (left !== undefined) {
        const { leftBy, ...range } = left;
        pool.left.splice(index, 1);
        // A phase of larger steps may have left it.
        const end = Math.min(range.end, range.start + batchSize);
        if (end < range.end) pool.left.splice(index, 0, { ...left, start: end });
        return { assignment: this.#send(rank, pool.epoch, { ...range, end }, step), leftBy };
      }
      if (pool.next >= pool.end) continue;
      const range = { start: pool.next, end: Math.min(pool.end, pool.next + batchSize) };
      pool.next = range.end;
      return { assignment: this.#send(rank, pool.epoch, range, step), leftBy: null };
    }
    return null;
  }

  /** Deals a rank a step without examples. */
  dealEmpty(rank: number, step: number): Assignment {
    assert(!this.#out.has(rank), "one assignment at a time", { rank });
    const end = this.#pools.at(-1)?.end ?? 0;
    return this.#send(rank, this.epoch, { start: end, end }, step);
  }

  #send(rank: number, epoch: number, { start, end }: Range, step: number): Assignment {
    const id = this.#ids.next();
    const assignment = { id, epoch, start, end, firstStep: step, lastStep: step + 1 };
    this.#out.set(rank, assignment);
    return assignment;
  }

  #isFor(rank: number, { epoch }: EpochPool, start: number, ranks: readonly number[]): boolean {
    const refusedBy = this.#refusals.get(`${epoch}/${start}`) ?? [];
    if (refusedBy.length >= refusalsMax) return false;
    return !refusedBy.includes(rank) || ranks.every((other) => refusedBy.includes(other));
  }

  assignmentOut(rank: number): Assignment | null {
    return this.#out.get(rank) ?? null;
  }

  /** The first step that a rank has not taken. */
  stepOf(rank: number): number {
    return this.#steps.get(rank) ?? this.#stand;
  }

  firstStepOf(): number {
    return Math.max(this.#stand, ...this.#steps.values());
  }

  get reach(): number {
    return Math.max(this.firstStepOf(), ...[...this.#out.values()].map((one) => one.lastStep));
  }

  begin(rank: number, fromStep: number): void {
    this.#steps.set(rank, fromStep);
  }

  /** A batch is one step, so what was dropped is all of it: it is dealt again. */
  finish(rank: number, assignmentId: number, skipped: number, dropped: number): number | null {
    const assignment = this.#take(rank, assignmentId);
    if (assignment === null) return null;
    const taken = Math.max(assignment.start, assignment.end - Math.max(0, skipped));
    const used = dropped > 0 ? assignment.start : taken;
    if (used < assignment.end)
      this.#putBack(assignment, { start: used, end: assignment.end, leftBy: null });
    if (taken > assignment.start || assignment.start === assignment.end)
      this.comesTo(rank, assignment.lastStep);
    return assignment.epoch;
  }

  /** One that came too late for steps may have passed them over: it is dealt no such again. */
  comesTo(rank: number, step: number): void {
    this.#steps.set(rank, Math.max(this.stepOf(rank), step));
  }

  restsBefore(rank: number, nextStep: number): void {
    if (this.#out.has(rank) || nextStep >= this.stepOf(rank)) return;
    this.#steps.set(rank, Math.max(this.#stand, nextStep));
  }

  /** The worker stands before the same step, without an assignment. */
  refuse(rank: number, assignmentId: number): RefusedAssignment | null {
    const assignment = this.#take(rank, assignmentId);
    if (assignment === null) return null;
    const { epoch, start, end } = assignment;
    const key = `${epoch}/${start}`;
    const refusedBy = [...(this.#refusals.get(key) ?? []), rank];
    this.#refusals.set(key, refusedBy);
    this.#putBack(assignment, { start, end, leftBy: rank });
    return { epoch, range: { start, end }, refusals: refusedBy.length };
  }

  lose(rank: number, lastStep: number): { epoch: number; examples: number } | null {
    const assignment = this.#out.get(rank);
    if (assignment === undefined) return null;
    this.#out.delete(rank);
    const { epoch, start, end } = assignment;
    const used = lastStep >= assignment.firstStep;
    if (used) this.#steps.set(rank, assignment.lastStep);
    else this.#putBack(assignment, { start, end, leftBy: rank });
    return { epoch, examples: used ? end - start : 0 };
  }

  standBefore(step: number): void {
    this.#stand = Math.max(this.#stand, step);
  }

  keepPace(pace: Pace, step: number): () => number {
    this.#pace = pace;
    this.standBefore(step);
    for (const [rank, before] of this.#steps) this.#steps.set(rank, Math.max(before, step));
    return () => step;
  }

  #take(rank: number, assignmentId: number): Assignment | null {
    const assignment = this.#out.get(rank);
    if (assignment?.id !== assignmentId) return null;
    this.#out.delete(rank);
    return assignment;
  }

  #putBack({ epoch }: Assignment, left: LeftBatch): void {
    if (left.start >= left.end) return;
    const pool = this.#pools.find((candidate) => candidate.epoch === epoch);
    assert(pool !== undefined, "an epoch with an assignment out is open", { epoch });
    pool.left.push(left);
    pool.left.sort((a, b) => a.start - b.start);
  }

  /** Assignments that are out, of which there are none where everybody rests, count as left. */
  snapshot(): PoolSnapshot {
    return this.#kept([...this.#out.values()], this.firstStepOf());
  }

  /** A batch whose step was rejected, or every chunk went on without, counts as left. */
  snapshotAt(limits: CutLimits): { readonly work: PoolSnapshot; readonly out: CutAssignment[] } {
    const out = [...this.#out].map(([rank, assignment]) => {
      const { step = -1, usedStep = -1 } = limits.get(rank) ?? {};
      const { firstStep, start, end } = assignment;
      const examples = usedStep >= firstStep ? end - start : 0;
      return { rank, assignment, examples, isTaken: step >= firstStep };
    });
    const left = out.filter(({ examples }) => examples === 0).map(({ assignment }) => assignment);
    const steps = out.filter(({ isTaken }) => isTaken).map(({ assignment }) => assignment.lastStep);
    return {
      work: this.#kept(left, Math.max(this.firstStepOf(), ...steps)),
      out: out.map(({ rank, assignment: { id, epoch }, examples }) => {
        return { rank, assignment: id, epoch, examples, inVain: 0, drop: () => {} };
      }),
    };
  }

  #kept(unused: readonly Assignment[], nextStep: number): PoolSnapshot {
    const pools = this.#pools.map(({ epoch, next, end, left }) => {
      const out = unused
        .filter((assignment) => assignment.epoch === epoch && assignment.end > assignment.start)
        .map(({ start, end }) => ({ start, end, leftBy: null }));
      const all = [...left, ...out].sort((a, b) => a.start - b.start);
      return { epoch, next, end, left: all };
    });
    return { pools, nextStep };
  }

  record(): PoolRecord {
    const pools = this.#pools.map((pool) => ({ ...pool, left: [...pool.left] }));
    const refusals = [...this.#refusals].map(([place, ranks]) => [place, [...ranks]] as const);
    const out = [...this.#out];
    return { pools, nextStep: this.#stand, out, steps: [...this.#steps], refusals };
  }
}

/** True when nothing of an epoch is left to be dealt. */
function isDealt({ next, end, left }: EpochPool): boolean {
  return next >= end && left.length === 0;
}
