/**
 * Which examples each worker takes, and when: the coordinator's account of the work under `--feed
 * static`.
 *
 * An epoch is cut once into one range of positions per rank. In BSP and SSP steps are global, so
 * the epoch also spans a fixed interval of steps, as many as its longest range needs; whoever has
 * used its range up pushes empty gradients to the end. A cut is dealt in pieces; in BSP a piece
 * also ends where a step boundary is asked for, so that evaluations and checkpoints find everybody
 * between steps.
 *
 * Invariant: a position is dealt to one life of one worker at a time, and what a lost worker had
 * used by the servers' account is never dealt again.
 */
import { assert } from "../../assert.js";
import type { Piece, Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { WorkAccount, WorkSnapshot } from "./work-floor.js";

/**
 * One rank's share of an epoch. `next` is the first position not used, `nextStep` the first step
 * not taken.
 */
export interface Share {
  readonly rank: number;
  readonly start: number;
  readonly end: number;
  next: number;
  nextStep: number;
  /** The piece out with the worker, if any. */
  piece: Piece | null;
}

/** An epoch, cut. */
export interface Cut {
  readonly epoch: number;
  readonly firstStep: number;
  lastStep: number;
  readonly shares: Share[];
}

/** The account in a form that a checkpoint keeps. */
export interface CursorSnapshot {
  readonly cuts: readonly Cut[];
  readonly pieces: number;
  readonly pushesDealt: number;
}

/** The account. */
export class Cursor implements WorkAccount {
  readonly #spec: RunSpec;
  #cuts: Cut[] = [];
  #pieces = 0;
  /** Steps with examples dealt in asynchronous modes; bounds `maxSteps` there. */
  #pushesDealt = 0;
  /** Per rank the first step that its present life has not been dealt. */
  readonly #steps = new Map<number, number>();
  /** Per rank the share of which it last finished a piece. */
  readonly #finished = new Map<number, Share>();

  constructor(spec: RunSpec, snapshot?: WorkSnapshot) {
    this.#spec = spec;
    if (snapshot === undefined) return;
    assert("cuts" in snapshot, "an account of ranges is of ranges");
    this.#cuts = snapshot.cuts.map((cut) => ({
      ...cut,
      shares: cut.shares.map((share) => ({ ...share, piece: null })),
    }));
    this.#pieces = snapshot.pieces;
    this.#pushesDealt = snapshot.pushesDealt;
  }

  /** The latest cut, or null before the first. */
  get latest(): Cut | null {
    return this.#cuts.at(-1) ?? null;
  }

  get epoch(): number {
    return this.latest?.epoch ?? 0;
  }

  /** Whoever has no share of the latest cut comes in where that ends. */
  firstStepOf(rank: number): number {
    const cut = this.latest;
    const share = cut?.shares.find((candidate) => candidate.rank === rank);
    return share?.nextStep ?? cut?.lastStep ?? 0;
  }

  /** Cuts the next epoch for these ranks (ascending). */
  cutNext(ranks: readonly number[]): Cut {
    assert(ranks.length > 0 && !this.done, "an epoch is cut for someone", { ranks });
    const previous = this.latest;
    const epoch = previous === null ? 0 : previous.epoch + 1;
    const firstStep = previous === null ? 0 : previous.lastStep;
    const ranges = equalRanges(this.#spec.trainExamples, ranks.length);
    const steps = this.#stepsOf(ranges, firstStep);
    const lastStep = firstStep + Math.max(...steps);
    const batch = this.#spec.batchSize;
    const shares = ranges.map((range, index) => ({
      rank: ranks[index]!,
      start: range.start,
      end: Math.min(range.end, range.start + steps[index]! * batch),
      next: range.start,
      nextStep: firstStep,
      piece: null,
    }));
    const cut = { epoch, firstStep, lastStep, shares };
    this.#cuts.push(cut);
    return cut;
  }

  /** Steps that each rank takes in the epoch, within what `maxSteps` leaves. */
  #stepsOf(ranges: readonly Range[], firstStep: number): number[] {
    const { batchSize, maxSteps, protocol } = this.#spec;
    const whole = ranges.map(({ start, end }) => Math.ceil((end - start) / batchSize));
    if (maxSteps === null) return whole;
    if (protocol.mode === "bsp") {
      const left = maxSteps - firstStep;
      return whole.map((steps) => Math.min(steps, Math.max(0, left)));
    }
    const left = Math.max(0, maxSteps - this.#pushesDealt);
    const allowed = ranges.map((_, index) => {
      const share = Math.floor(left / ranges.length) + (index < left % ranges.length ? 1 : 0);
      return Math.min(whole[index]!, share);
    });
    this.#pushesDealt += allowed.reduce((sum, steps) => sum + steps, 0);
    return allowed;
  }

  /** True when no further epoch can be cut. */
  get done(): boolean {
    const { epochs, maxSteps, protocol, trainExamples } = this.#spec;
    const cut = this.latest;
    if ((cut?.epoch ?? -1) + 1 >= epochs || trainExamples === 0) return true;
    const used = protocol.mode === "bsp" ? (cut?.lastStep ?? 0) : this.#pushesDealt;
    return maxSteps !== null && used >= maxSteps;
  }

  /** The earliest cut in which this rank has something left and nothing out. */
  openCut(rank: number): Cut | null {
    return this.#cuts.find((cut) => this.isOpen(cut, rank)) ?? null;
  }

  /** True when this rank has steps left in the cut. */
  isOpen(cut: Cut, rank: number): boolean {
    const share = cut.shares.find((candidate) => candidate.rank === rank);
    return share !== undefined && !this.#used(cut, share);
  }

  /**
   * Deals a rank the next piece of its share in a cut, ending at `untilStep` at the latest; null
   * when there is none.
   */
  deal(cut: Cut, rank: number, untilStep: number): Piece | null {
    const share = cut.shares.find((candidate) => candidate.rank === rank);
    if (share === undefined || share.piece !== null || this.#used(cut, share)) return null;
    const { batchSize, protocol } = this.#spec;
    const firstStep = Math.max(share.nextStep, this.stepOf(rank));
    const lastStep =
      protocol.mode === "asp"
        ? firstStep + Math.ceil((share.end - share.next) / batchSize)
        : Math.min(cut.lastStep, untilStep);
    if (lastStep <= firstStep) return null;
    const end = Math.min(share.end, share.next + (lastStep - firstStep) * batchSize);
    const piece: Piece = {
      id: this.#pieces++,
      epoch: cut.epoch,
      start: share.next,
      end,
      firstStep,
      lastStep,
    };
    share.piece = piece;
    return piece;
  }

  finish(rank: number, pieceId: number, skipped: number): number | null {
    for (const cut of this.#cuts) {
      const share = cut.shares.find((candidate) => candidate.rank === rank);
      if (share?.piece?.id !== pieceId) continue;
      const { end, lastStep } = share.piece;
      share.next = Math.max(share.next, end - Math.max(0, skipped));
      share.nextStep = lastStep;
      share.piece = null;
      this.#steps.set(rank, lastStep);
      this.#finished.set(rank, share);
      return cut.epoch;
    }
    return null;
  }

  restsBefore(rank: number, nextStep: number): void {
    const share = this.#finished.get(rank);
    if (share === undefined || share.piece !== null || nextStep > share.nextStep) return;
    share.nextStep = nextStep;
    this.#steps.set(rank, nextStep);
  }

  /**
   * Nobody is there for the rest of the latest cut: it ends before the first step that nobody took.
   */
  endEarly(): number {
    const cut = this.latest;
    if (cut === null) return 0;
    const taken = Math.max(cut.firstStep, ...cut.shares.map(({ nextStep }) => nextStep));
    cut.lastStep = Math.min(cut.lastStep, taken);
    this.standBefore(cut.lastStep);
    return cut.lastStep;
  }

  /** Everybody stands before this step, also those who were not there for the last ones. */
  standBefore(step: number): void {
    for (const share of this.latest?.shares ?? []) share.nextStep = Math.max(share.nextStep, step);
  }

  /** Never: whoever takes ranges reads its own files, and can't go on where they are broken. */
  refuse(): null {
    return null;
  }

  /** The piece comes back to its share. */
  lose(rank: number, lastStep: number): { epoch: number; examples: number } | null {
    for (const cut of this.#cuts) {
      const share = cut.shares.find((candidate) => candidate.rank === rank);
      if (share?.piece == null) continue;
      const { start, end, firstStep } = share.piece;
      const taken = Math.max(0, lastStep + 1 - firstStep);
      share.next = Math.min(end, start + taken * this.#spec.batchSize);
      share.nextStep = firstStep + taken;
      share.piece = null;
      return { epoch: cut.epoch, examples: share.next - start };
    }
    return null;
  }

  /** A worker's life begins with this step: steps missed are gone, its examples are not. */
  begin(rank: number, fromStep: number): void {
    this.#steps.set(rank, fromStep);
  }

  /** The first step that a rank's present life has not been dealt. */
  stepOf(rank: number): number {
    return this.#steps.get(rank) ?? 0;
  }

  /** The share of which this rank has a piece out. */
  shareOut(rank: number): Share | undefined {
    for (const cut of this.#cuts) {
      const share = cut.shares.find((candidate) => candidate.rank === rank);
      if (share?.piece != null) return share;
    }
    return undefined;
  }

  /** True when nobody alive has steps left in the cut. */
  exhausted(cut: Cut, alive: ReadonlySet<number>): boolean {
    return cut.shares.every((share) => !alive.has(share.rank) || this.#used(cut, share));
  }

  #used(cut: Cut, share: Share): boolean {
    if (share.piece !== null) return false;
    if (this.#spec.protocol.mode === "asp") return share.next >= share.end;
    return Math.max(share.nextStep, this.stepOf(share.rank)) >= cut.lastStep;
  }

  /** Examples of a cut that nobody used. */
  skipped(cut: Cut): number {
    return cut.shares.reduce((sum, share) => sum + share.end - share.next, 0);
  }

  /** Cuts that are kept, in order of epoch. */
  openEpochs(): Cut[] {
    return [...this.#cuts];
  }

  /** Forgets cuts before this epoch. */
  forgetBefore(epoch: number): void {
    const last = this.latest;
    this.#cuts = this.#cuts.filter((cut) => cut.epoch >= epoch || cut === last);
  }

  /** The account, to be kept. */
  snapshot(): CursorSnapshot {
    return structuredCopy({
      cuts: this.#cuts,
      pieces: this.#pieces,
      pushesDealt: this.#pushesDealt,
    });
  }
}

/**
 * Cuts `count` positions into contiguous ranges whose lengths differ by at most one, the longer
 * first.
 */
export function equalRanges(count: number, parts: number): Range[] {
  const ranges: Range[] = [];
  let start = 0;
  for (let part = 0; part < parts; part++) {
    const end = start + Math.floor(count / parts) + (part < count % parts ? 1 : 0);
    ranges.push({ start, end });
    start = end;
  }
  return ranges;
}

function structuredCopy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
