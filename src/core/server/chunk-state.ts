/**
 * One chunk as its primary sees it: what is committed (marks, version, work), the entry that is
 * not, what is held for the open step, and who waits for an answer. Values are elsewhere; a held
 * gradient is the name of a slot.
 *
 * Invariants: a push is applied at most once: a worker's pushes to a chunk come in ascending step,
 * so one mark per rank, (incarnation, step), tells whether a push has been seen. At most one entry
 * is not committed, and nothing of it shows in what the chunk says of its progress.
 */

import { assert } from "../../assert.js";
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { ChunkMarks } from "../../protocol/messages.js";
import { type ReplicaRole, type View, type ViewWorker, workerOfRank } from "../../protocol/view.js";
import type { ChunkProgress, WorkerPulse } from "../sync/pace.js";
import type { ChunkCut } from "./chunk-cut.js";
import { type ContributorMark, type Entry, heldVerdict, type PushVerdict } from "./entry.js";
import { PushTally } from "./push-tally.js";
import { WorkerPulses } from "./worker-pulses.js";

/** A gradient held whole, waiting for its step to be sealed. */
export interface Contribution extends WorkerIdentity {
  /** The step that it is of; an earlier one than the open step where it came too late for that. */
  readonly step: number;
  readonly examples: number;
  /** When it came. */
  readonly cameMs: number;
  /** Slot of the gradient; -1 when it has no examples. */
  readonly slot: number;
}

/** Someone who has asked for the chunk and shall have it when the protocol allows. */
export interface Waiter extends WorkerIdentity, PushVerdict {
  readonly channel: number;
  /** The view that the asker stood on. */
  readonly fence: number;
  /** The step that the asker wants to start with the chunk. */
  readonly startStep: number;
  /** The step whose push this answers, -1 for a pull. */
  readonly pushedStep: number;
  /** The number of the pull that this answers, 0 for a push. */
  readonly pull: number;
  readonly wantsWeights: boolean;
}

interface Mark {
  readonly incarnation: number;
  /** The last step whose push was decided on. */
  readonly step: number;
  readonly verdict: PushVerdict;
  /** The step that it was folded with, below 0 for none; that of the push where it was in time. */
  readonly inStep: number;
  /** The last step whose push had examples and was applied; -1 if none. */
  readonly usedStep: number;
  /** Examples of this life's pushes that were applied. */
  readonly used: number;
}

/** A push that is in a chunk's values. */
export interface DecidedPush {
  readonly incarnation: number;
  readonly step: number;
  /** The step that it was folded with; below 0 where it was in an update of late ones alone. */
  readonly inStep: number;
}

/** The view with which a chunk comes to a server. */
export type ChunkMoment = Pick<View, "generation" | "phaseFromStep">;

/** The chunk's place in its order of entries and everything pending on it. */
export class ChunkState implements ChunkProgress {
  readonly index: number;
  /** What this server is to the chunk. */
  role: ReplicaRole = "primary";
  loaded = false;
  /** Of the state that it is loaded with, or waits for. */
  readonly generation: number;
  /** Entries committed since it was loaded. */
  seq = 0;
  /** The entry that is made and not committed. */
  pending: Entry | null = null;
  /** True while it is not known that every backup has what was committed by an earlier primary. */
  unsettled = false;
  version = 0;
  /** Examples applied: the work that schedules follow. */
  examples = 0;
  #sealedStep = -1;
  /** What lies before this step belongs to earlier phases of the run. */
  phaseFromStep: number;
  /** Its part of the cut that is being made; null while none is. */
  cut: ChunkCut | null = null;
  /** Over the whole run. */
  readonly tally = new PushTally();
  readonly pulses = new WorkerPulses();
  waiters: Waiter[] = [];
  readonly #applied = new Map<number, Mark>();
  /** Contributions to the open step and late ones to be merged, by the worker's incarnation. */
  readonly #held = new Map<number, Contribution>();

  constructor(index: number, { generation, phaseFromStep }: ChunkMoment) {
    this.index = index;
    this.generation = generation;
    this.phaseFromStep = phaseFromStep;
  }

  /** The last step sealed; what no phase that seals steps is left to take counts as sealed. */
  get sealedStep(): number {
    return Math.max(this.#sealedStep, this.phaseFromStep - 1);
  }

  /**
   * The answer to a push that has been decided on before, null where it has not been: the verdict
   * of the first time, or "duplicate" where the push is in the values already.
   */
  seen(rank: number, incarnation: number, step: number): PushVerdict | null {
    const mark = this.#applied.get(rank);
    if (mark === undefined || mark.incarnation !== incarnation || step > mark.step) return null;
    if (step === mark.step && mark.verdict.outcome !== "applied") return mark.verdict;
    const scale = step === mark.step ? mark.verdict.scale : null;
    return { outcome: "duplicate", staleness: 0, detail: "seen before", scale };
  }

  #mark(mark: ContributorMark): void {
    const { rank, incarnation, step, verdict, examples, inStep = step } = mark;
    const used = this.#usedOf(rank, incarnation);
    const usedStep = this.#usedStepOf(rank, incarnation);
    const counts = isUsed(mark) ? { usedStep: step, used: used + examples } : { usedStep, used };
    this.#applied.set(rank, { incarnation, step, verdict, inStep, ...counts });
  }

  #usedStepOf(rank: number, incarnation: number): number {
    const mark = this.#applied.get(rank);
    return mark?.incarnation === incarnation ? mark.usedStep : -1;
  }

  #usedOf(rank: number, incarnation: number): number {
    const mark = this.#applied.get(rank);
    return mark?.incarnation === incarnation ? mark.used : 0;
  }

  /** The lives whose last push that was decided on is in the values, and what it was folded in. */
  decided(): DecidedPush[] {
    return [...this.#applied.values()]
      .filter(({ verdict }) => verdict.outcome === "applied")
      .map(({ incarnation, step, inStep }) => ({ incarnation, step, inStep }));
  }

  /** True where this push of a life, or a later one, is decided on here. */
  hasDecided({ incarnation, step }: DecidedPush): boolean {
    const marks = [...this.#applied.values()];
    return marks.some((mark) => mark.incarnation === incarnation && mark.step >= step);
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

  /** True while nothing may be said of it or decided on: what it stands at may not count yet. */
  get isBusy(): boolean {
    return this.pending !== null || this.unsettled;
  }

  /** The step that is being gathered: the one after the last that was sealed. */
  get openStep(): number {
    return this.sealedStep + 1;
  }

  pulseOf(rank: number): WorkerPulse | null {
    return this.pulses.of(rank);
  }

  holds({ incarnation }: { readonly incarnation: number }): boolean {
    return this.#held.has(incarnation);
  }

  /** True while anybody's contribution to the open step is held. */
  get holdsAny(): boolean {
    return this.#held.size > 0;
  }

  get holdsOnTime(): boolean {
    return [...this.#held.values()].some(({ step }) => step >= this.openStep);
  }

  /** The contributions that are held. */
  heldBy(): Contribution[] {
    return [...this.#held.values()];
  }

  /** When the contributions that are held came, ascending. */
  heldSince(): number[] {
    return [...this.#held.values()].map(({ cameMs }) => cameMs).sort((one, other) => one - other);
  }

  /** When the first of those came that are of the open step itself; null where none is. */
  onTimeSince(): number | null {
    const came = [...this.#held.values()].filter(({ step }) => step >= this.openStep);
    return came.length === 0 ? null : Math.min(...came.map(({ cameMs }) => cameMs));
  }

  get holdsExamples(): boolean {
    return [...this.#held.values()].some(({ examples }) => examples > 0);
  }

  /** Keeps a contribution until the open step is sealed. */
  hold(contribution: Contribution): void {
    assert(!this.#held.has(contribution.incarnation), "one contribution a step", { contribution });
    this.#held.set(contribution.incarnation, contribution);
  }

  /** Takes the contributions that are held, or those of them that are asked for, by rank. */
  takeHeld(isTaken: (held: Contribution) => boolean = () => true): Contribution[] {
    const contributions = [...this.#held.values()].filter(isTaken).sort((a, b) => a.rank - b.rank);
    for (const { incarnation } of contributions) this.#held.delete(incarnation);
    return contributions;
  }

  /** Gives up what is held of workers whom a view has no more; the slots to release. */
  dropAbsent(view: View): number[] {
    const gone = [...this.#held.values()].filter(
      ({ rank, incarnation }) => workerOfRank(view, rank)?.incarnation !== incarnation,
    );
    for (const { incarnation } of gone) this.#held.delete(incarnation);
    return slotsOf(gone);
  }

  /** The pending entry counts from here on. */
  commit(entry: Entry): void {
    assert(entry === this.pending && entry.seq === this.seq + 1, "entries are in order", { entry });
    this.pending = null;
    this.seq = entry.seq;
    for (const mark of entry.marks) this.#mark(mark);
    this.#sealedStep = entry.sealedStep;
    this.version = entry.version;
    this.examples += entry.examples;
    this.tally.count(entry);
  }

  /**
   * How far a worker has come here: the last step that an entry has of it, that has examples and
   * was applied; -1 if none.
   */
  reached(rank: number, incarnation: number): number {
    const pending = this.pending?.marks.find((mark) => mark.incarnation === incarnation);
    if (pending !== undefined && isUsed(pending)) return pending.step;
    return this.#usedStepOf(rank, incarnation);
  }

  /** How many examples of a worker's life entries have that were applied. */
  usedBy(rank: number, incarnation: number): number {
    const pending = this.pending?.marks.find((mark) => mark.incarnation === incarnation);
    const more = pending !== undefined && isUsed(pending) ? pending.examples : 0;
    return this.#usedOf(rank, incarnation) + more;
  }

  /**
   * Adds a waiter; one that asks the same again replaces its earlier self, and is answered over the
   * newer of their channels: what came by the older may have been on its way for longer.
   */
  await(waiter: Waiter): void {
    const isSame = (other: Waiter) =>
      other.rank === waiter.rank && other.pushedStep < 0 === waiter.pushedStep < 0;
    const earlier = this.waiters.find(isSame);
    const rest = this.waiters.filter((other) => !isSame(other));
    const isOld = earlier?.incarnation === waiter.incarnation && earlier.channel > waiter.channel;
    const latest = isOld && earlier.pull > waiter.pull ? earlier : waiter;
    this.waiters = [...rest, isOld ? { ...latest, channel: earlier.channel } : latest];
  }

  /** Those of these lives who wait for the answer to this step's push are to have this verdict. */
  turnDown(lives: ReadonlySet<number>, step: number, verdict: PushVerdict): void {
    this.waiters = this.waiters.map((waiter) =>
      lives.has(waiter.incarnation) && waiter.pushedStep === step
        ? { ...waiter, ...verdict }
        : waiter,
    );
  }

  /** The part of the state that is kept with the values. */
  marks(): ChunkMarks {
    const applied = [...this.#applied.entries()]
      .map(([rank, { incarnation, step, verdict, inStep, usedStep, used }]) => {
        const { outcome, scale } = verdict;
        return {
          ...{ rank, incarnation, step },
          ...(outcome === "applied" ? {} : { outcome }),
          ...(scale === null ? {} : { scale }),
          ...(inStep === step ? {} : { inStep }),
          ...(usedStep === step ? {} : { usedStep }),
          ...(used === 0 ? {} : { used }),
        };
      })
      .sort((a, b) => a.rank - b.rank);
    return {
      version: this.version,
      examples: this.examples,
      sealedStep: this.sealedStep,
      applied,
      counts: this.tally.counts(),
    };
  }

  /** Takes over marks that were kept with the values; of a snapshot the seq goes with them. */
  restore(marks: ChunkMarks, seq = 0): void {
    this.seq = seq;
    this.version = marks.version;
    this.examples = marks.examples;
    this.#sealedStep = marks.sealedStep;
    if (marks.counts !== undefined) this.tally.restore(marks.counts);
    this.#applied.clear();
    for (const { rank, incarnation, step, outcome = "applied", ...mark } of marks.applied) {
      const scale = mark.scale ?? (outcome === "rejected" ? 0 : null);
      const verdict = { ...heldVerdict, outcome, scale };
      const usedStep = mark.usedStep ?? (outcome === "dropped" ? -1 : step);
      const { used = 0, inStep = step } = mark;
      this.#applied.set(rank, { incarnation, step, verdict, inStep, usedStep, used });
    }
  }

  /** Every slot held, given up with what waits for it. */
  drain(): number[] {
    const slots = slotsOf([...this.#held.values(), { slot: this.pending?.gradient ?? -1 }]);
    this.#held.clear();
    this.pending = null;
    this.cut = null;
    this.waiters = [];
    this.pulses.forget();
    return slots;
  }
}

function isUsed({ examples, verdict }: ContributorMark): boolean {
  return examples > 0 && verdict.outcome === "applied";
}

function slotsOf(held: readonly { readonly slot: number }[]): number[] {
  return held.map(({ slot }) => slot).filter((slot) => slot >= 0);
}
