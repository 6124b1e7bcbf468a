/**
 * Which examples each worker takes, and when: the coordinator's account of the work under `--feed
 * static`.
 *
 * An epoch is planned once into one range of positions per rank. Where the pace has barriers the
 * epoch also spans a fixed interval of steps, as many as its longest range needs; a worker that
 * has used up its range pushes empty gradients to the end. A plan is dealt in
 * assignments; where everybody meets at boundaries an assignment also ends where one is asked for,
 * so that evaluations and checkpoints find everybody between steps. A limit on steps does not
 * shorten a plan: it says how much of it is dealt, so that a run
 * which is resumed with another limit deals the rest.
 *
 * Invariant: a position is dealt to one life of one worker at a time, and what a lost worker had
 * used by the servers' account is never dealt again.
 */
import { assert } from "../../assert.js";
import { IdSource } from "../../protocol/ids.js";
import type { Assignment, Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { examplesOfStep, type Pace } from "../sync/pace.js";
import type { CursorRecord, CursorSnapshot, EpochPlan, Share } from "./epoch-plan.js";
import { emptyShare, endAfter, equalRanges, extendPlans, structuredCopy } from "./ranges.js";
import type {
  CutAssignment,
  CutLimits,
  WorkAccount,
  WorkRecord,
  WorkSnapshot,
} from "./work-floor.js";

/** The account. */
export class Cursor implements WorkAccount {
  readonly #spec: RunSpec;
  #pace: Pace;
  readonly #ids: IdSource;
  #plans: EpochPlan[] = [];
  /** Nobody takes a step before this one any more. */
  #stand = 0;
  /** Steps with examples dealt where a global step is a push; bounds `maxSteps` there. */
  #pushesDealt = 0;
  /** Per rank the first step that its present life has not been dealt. */
  readonly #steps = new Map<number, number>();
  /** Per rank the share of which it last finished an assignment. */
  readonly #finished = new Map<number, Share>();
  /** Per rank how many examples were used of the assignments that its life has finished. */
  readonly #usedBefore: Map<number, number>;
  /** Where all keep one step: where the assignments out end, and all stand once none is out. */
  boundary = 0;

  /**
   * @param kept what a checkpoint has of the account, or all of it.
   * @param ids of assignments; left out where none are dealt.
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
    this.#usedBefore = new Map(kept !== undefined && "used" in kept ? kept.used : []);
    if (kept === undefined) return;
    assert("plans" in kept, "an account of ranges is of ranges");
    if ("steps" in kept) this.#restore(structuredCopy(kept));
    else this.#resume(kept);
  }

  /** Goes on as if the account had never been anywhere else. */
  #restore(kept: CursorRecord): void {
    const { plans, pushesDealt, stand, boundary, steps, finished } = kept;
    this.#plans = [...plans];
    this.#pushesDealt = pushesDealt;
    this.#stand = stand;
    this.boundary = boundary;
    for (const [rank, step] of steps) this.#steps.set(rank, step);
    for (const [rank, epoch] of finished) {
      const plan = plans.find((candidate) => candidate.epoch === epoch);
      const share = plan?.shares.find((candidate) => candidate.rank === rank);
      if (share !== undefined) this.#finished.set(rank, share);
    }
  }

  /** Goes on from a checkpoint, where nothing is out. */
  #resume(snapshot: CursorSnapshot): void {
    this.#plans = snapshot.plans.map((plan) => ({
      ...plan,
      shares: plan.shares.map((share) => {
        // Earlier checkpoints have neither, and ranges that end where the limit was.
        const { limit = share.end, dropped = 0 } = share as Partial<Share> & typeof share;
        return { ...share, limit, dropped, assignment: null };
      }),
    }));
    this.#pushesDealt = snapshot.pushesDealt;
    this.#limitAgain();
    const steps = this.#present?.shares.map(({ nextStep }) => nextStep) ?? [0];
    this.boundary = Math.min(...steps);
  }

  /** The limit on steps may be another than the one under which the latest epoch was planned. */
  #limitAgain(): void {
    const plan = this.latest;
    if (plan === null) return;
    const before = plan.shares.reduce((sum, share) => sum + this.#stepsTo(share, share.limit), 0);
    const isPush = this.#pace.globalStep === "push";
    if (isPush) this.#pushesDealt -= before;
    const steps = this.#stepsOf(plan.shares, plan.firstStep);
    plan.shares.forEach((share, index) => {
      const limit = Math.min(share.end, share.start + steps[index]! * this.#stepExamples);
      share.limit = Math.max(limit, share.next);
    });
    if (!isPush) return;
    // A worker that was short of positions took steps without any while others had more, and what
    // was left when a phase began is taken from its first step on.
    const ends = plan.shares.map((one) => {
      return one.nextStep + this.#stepsTo({ start: one.next }, one.limit);
    });
    plan.lastStep = Math.max(plan.firstStep + Math.max(...steps), ...ends);
  }

  #stepsTo({ start }: Pick<Range, "start">, end: number): number {
    return Math.ceil((end - start) / this.#stepExamples);
  }

  get #stepExamples(): number {
    return examplesOfStep(this.#spec, this.#pace);
  }

  /** The latest plan, or null before the first. */
  get latest(): EpochPlan | null {
    return this.#plans.at(-1) ?? null;
  }

  get reach(): number {
    return this.boundary;
  }

  get epoch(): number {
    return this.latest?.epoch ?? 0;
  }

  /** A worker without a share of the latest plan comes in where that ends. */
  firstStepOf(rank: number): number {
    const plan = this.#present;
    const share = plan?.shares.find((candidate) => candidate.rank === rank);
    return Math.max(this.#stand, share?.nextStep ?? plan?.lastStep ?? 0);
  }

  /** Plans the next epoch for these ranks (ascending). */
  planNext(ranks: readonly number[]): EpochPlan {
    assert(ranks.length > 0 && !this.done, "an epoch is planned for someone", { ranks });
    const previous = this.latest;
    const epoch = previous === null ? 0 : previous.epoch + 1;
    const firstStep = Math.max(this.#stand, previous?.lastStep ?? 0);
    const ranges = equalRanges(this.#spec.trainExamples, ranks.length);
    const steps = this.#stepsOf(ranges, firstStep);
    // Where all take the same steps, the limit is one for all: see lastStepOf.
    const isPush = this.#pace.globalStep === "push";
    const whole = ranges.map((range) => this.#stepsTo(range, range.end));
    const lastStep = firstStep + Math.max(...(isPush ? steps : whole));
    const shares = ranges.map(({ start, end }, index) => ({
      rank: ranks[index]!,
      start,
      end,
      next: start,
      nextStep: firstStep,
      limit: Math.min(end, start + steps[index]! * this.#stepExamples),
      dropped: 0,
      assignment: null,
    }));
    const plan = { epoch, firstStep, lastStep, shares };
    this.#plans.push(plan);
    return plan;
  }

  /** Steps that each rank takes in the epoch, within what `maxSteps` leaves. */
  #stepsOf(ranges: readonly Range[], firstStep: number): number[] {
    const { maxSteps } = this.#spec;
    const whole = ranges.map((range) => this.#stepsTo(range, range.end));
    if (maxSteps === null) {
      if (this.#pace.globalStep === "push") {
        this.#pushesDealt += whole.reduce((sum, steps) => sum + steps, 0);
      }
      return whole;
    }
    if (this.#pace.globalStep === "step") {
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

  /** True when no further epoch can be planned. */
  get done(): boolean {
    const { epochs, maxSteps, trainExamples } = this.#spec;
    const plan = this.latest;
    if ((plan?.epoch ?? -1) + 1 >= epochs || trainExamples === 0) return true;
    const countsSteps = this.#pace.globalStep === "step";
    const used = countsSteps ? (plan?.lastStep ?? 0) : this.#pushesDealt;
    return maxSteps !== null && used >= maxSteps;
  }

  /** The step before which a plan ends, sooner where the limit on steps ends it. */
  lastStepOf({ lastStep }: EpochPlan): number {
    const { maxSteps } = this.#spec;
    if (maxSteps === null || this.#pace.globalStep !== "step") return lastStep;
    return Math.min(lastStep, Math.max(0, maxSteps));
  }

  isCut(epoch: number): boolean {
    const plan = this.#plans.find((candidate) => candidate.epoch === epoch);
    return (plan?.shares ?? []).some(({ limit, end }) => limit < end);
  }

  /** The earliest plan in which this rank has something left and nothing out. */
  openPlan(rank: number): EpochPlan | null {
    return this.#plans.find((plan) => this.isOpen(plan, rank)) ?? null;
  }

  /** True when this rank has steps left in the plan. */
  isOpen(plan: EpochPlan, rank: number): boolean {
    const share = plan.shares.find((candidate) => candidate.rank === rank);
    return share !== undefined && !this.#used(plan, share);
  }

  /**
   * Deals a rank the next assignment of its share in a plan, ending at `untilStep` at the latest;
   * null when there is none.
   */
  deal(plan: EpochPlan, rank: number, untilStep: number): Assignment | null {
    const share = plan.shares.find((candidate) => candidate.rank === rank);
    if (share === undefined || share.assignment !== null || this.#used(plan, share)) return null;
    const firstStep = Math.max(share.nextStep, this.stepOf(rank));
    const lastStep = this.#pace.hasBarriers
      ? Math.min(this.lastStepOf(plan), untilStep)
      : firstStep + Math.ceil((share.limit - share.next) / this.#stepExamples);
    if (lastStep <= firstStep) return null;
    const end = Math.min(share.limit, share.next + (lastStep - firstStep) * this.#stepExamples);
    const assignment: Assignment = {
      id: this.#ids.next(),
      epoch: plan.epoch,
      start: share.next,
      end,
      firstStep,
      lastStep,
    };
    share.assignment = assignment;
    return assignment;
  }

  finish(rank: number, assignmentId: number, skipped: number, dropped: number): number | null {
    for (const plan of this.#plans) {
      const share = plan.shares.find((candidate) => candidate.rank === rank);
      if (share?.assignment?.id !== assignmentId) continue;
      const { start, end, lastStep } = share.assignment;
      share.next = Math.max(share.next, end - Math.max(0, skipped));
      this.#usedBefore.set(rank, this.#usedBy(rank) + share.next - start - dropped);
      share.dropped += dropped;
      share.nextStep = lastStep;
      share.assignment = null;
      this.#steps.set(rank, lastStep);
      this.#finished.set(rank, share);
      return plan.epoch;
    }
    return null;
  }

  /** Nothing: what is left of a range is taken from the step on that its last one ended before. */
  comesTo(): void {}

  restsBefore(rank: number, nextStep: number): void {
    const share = this.#finished.get(rank);
    if (share === undefined || share.assignment !== null || nextStep > share.nextStep) return;
    share.nextStep = Math.max(this.#stand, nextStep);
    this.#steps.set(rank, share.nextStep);
  }

  /**
   * Nobody is there for the rest of the latest plan: it ends before the first step that nobody
   * took.
   */
  endEarly(): number {
    const plan = this.latest;
    if (plan === null) return 0;
    const taken = Math.max(plan.firstStep, ...plan.shares.map(({ nextStep }) => nextStep));
    plan.lastStep = Math.min(plan.lastStep, taken);
    this.standBefore(plan.lastStep);
    return plan.lastStep;
  }

  /** Everybody stands before this step, also those who were not there for the last ones. */
  standBefore(step: number): void {
    this.#stand = Math.max(this.#stand, step);
    this.boundary = Math.max(this.boundary, step);
    for (const share of this.latest?.shares ?? []) share.nextStep = Math.max(share.nextStep, step);
  }

  /**
   * What is left of each plan is taken from this step on, in the order of epochs. Where each step
   * is everybody's, those who have used up an epoch take its last steps without examples.
   */
  keepPace(pace: Pace, step: number): (rank: number) => number {
    this.#pace = pace;
    const starts = new Map<number, number>();
    let fromStep = step;
    for (const plan of this.#plans) {
      const steps = plan.shares.map(({ next, limit }) => this.#stepsTo({ start: next }, limit));
      for (const share of plan.shares) share.nextStep = fromStep;
      const isLeft = steps.some((count) => count > 0);
      const here = isLeft ? plan.shares.filter(({ rank }) => !starts.has(rank)) : [];
      for (const { rank } of here) starts.set(rank, fromStep);
      plan.lastStep = fromStep + Math.max(0, ...steps);
      if (pace.hasBarriers) fromStep = plan.lastStep;
    }
    const startOf = (rank: number) => starts.get(rank) ?? fromStep;
    for (const rank of this.#steps.keys()) this.#steps.set(rank, startOf(rank));
    [this.#stand, this.boundary] = [Math.max(this.#stand, step), step];
    return startOf;
  }

  /** All stand before this step: a plan that ends there goes on for what these ranks have left. */
  extend(step: number, ranks: readonly number[]): void {
    if (this.#pace.late !== null) extendPlans(this.#plans, step, ranks, this.#stepExamples);
  }

  /** The plan that everybody is in who stands before this step. */
  planAt(step: number): EpochPlan | null {
    return this.#plans.find((plan) => this.lastStepOf(plan) > step) ?? this.latest;
  }

  /** A rank that was not there when a plan was made takes its steps without examples. */
  include(plan: EpochPlan, rank: number): void {
    if (plan.shares.some((share) => share.rank === rank)) return;
    plan.shares.push(emptyShare(rank, this.stepOf(rank), this.#spec.trainExamples));
  }

  /** Plans that have ended for those who stand before this step. */
  endedBy(step: number): EpochPlan[] {
    return this.#plans.filter((plan) => this.lastStepOf(plan) <= step);
  }

  /** Where each step is everybody's, the first plan that is not used up; else the latest. */
  get #present(): EpochPlan | null {
    const isLeft = ({ shares }: EpochPlan) => shares.some(({ next, limit }) => next < limit);
    const earlier = this.#pace.meetsAtBoundaries ? this.#plans.find(isLeft) : undefined;
    return earlier ?? this.latest;
  }

  /**
   * The account of a plan is closed: what nobody used of it is reported, so it is never dealt. What
   * a limit on steps has cut off stays, for a run that is resumed with another limit.
   */
  close(plan: EpochPlan): void {
    if (this.isCut(plan.epoch)) return;
    for (const share of plan.shares) {
      share.dropped += share.limit - share.next;
      share.next = share.limit;
      share.nextStep = Math.max(share.nextStep, plan.lastStep);
    }
  }

  /** Never: a worker with ranges reads its own files, and can't go on where they are broken. */
  refuse(): null {
    return null;
  }

  /**
   * The assignment comes back to its share. Examples before its last step need not be used: `used`
   * of its life are, the others count as dropped; or they come back as well, where a worker that is
   * late takes fewer steps.
   */
  lose(rank: number, lastStep: number, used: number): { epoch: number; examples: number } | null {
    for (const plan of this.#plans) {
      const share = plan.shares.find((candidate) => candidate.rank === rank);
      if (share?.assignment == null) continue;
      const { start, end } = share.assignment;
      const taken = endAfter(share, lastStep, this.#stepExamples);
      const isMerged = this.#pace.late !== null;
      const examples = this.#usedOf(rank, used, isMerged ? end - start : taken);
      if (isMerged) share.next = start + examples;
      else share.dropped += taken - examples;
      return { epoch: plan.epoch, examples };
    }
    return null;
  }

  #usedBy(rank: number): number {
    return this.#usedBefore.get(rank) ?? 0;
  }

  /** Of the examples taken of the assignment that is out, those used, by what its life has used. */
  #usedOf(rank: number, used: number, taken: number): number {
    return Math.max(0, Math.min(taken, used - this.#usedBy(rank)));
  }

  /** A worker's life begins with this step: steps missed are gone, its examples are not. */
  begin(rank: number, fromStep: number): void {
    this.#steps.set(rank, fromStep);
    this.#usedBefore.delete(rank);
  }

  /** The first step that a rank's present life has not been dealt. */
  stepOf(rank: number): number {
    return this.#steps.get(rank) ?? 0;
  }

  /** The share of which this rank has an assignment out. */
  shareOut(rank: number): Share | undefined {
    for (const plan of this.#plans) {
      const share = plan.shares.find((candidate) => candidate.rank === rank);
      if (share?.assignment != null) return share;
    }
    return undefined;
  }

  assignmentOut(rank: number): Assignment | null {
    return this.shareOut(rank)?.assignment ?? null;
  }

  /**
   * True when nobody alive has steps left in the plan, and no assignment of it is out: also one
   * that a lost worker had, until the servers have said how far it came.
   */
  exhausted(plan: EpochPlan, alive: ReadonlySet<number>): boolean {
    return plan.shares.every(
      (share) => share.assignment === null && (!alive.has(share.rank) || this.#used(plan, share)),
    );
  }

  #used(plan: EpochPlan, share: Share): boolean {
    if (share.assignment !== null) return false;
    if (!this.#pace.hasBarriers) return share.next >= share.limit;
    return Math.max(share.nextStep, this.stepOf(share.rank)) >= this.lastStepOf(plan);
  }

  /** Examples of a plan that nobody used, those aside that the limit on steps leaves. */
  skipped(plan: EpochPlan): number {
    return plan.shares.reduce((sum, { limit, next, dropped }) => sum + limit - next + dropped, 0);
  }

  /** Cuts that are kept, in order of epoch. */
  openEpochs(): EpochPlan[] {
    return [...this.#plans];
  }

  /** Forgets plans before this epoch. */
  forgetBefore(epoch: number): void {
    const last = this.latest;
    this.#plans = this.#plans.filter((plan) => plan.epoch >= epoch || plan === last);
  }

  /** The account, to be kept. */
  snapshot(): CursorSnapshot {
    return structuredCopy({
      plans: this.#plans,
      pushesDealt: this.#pushesDealt,
    });
  }

  record(): CursorRecord {
    const finished = [...this.#finished].flatMap(([rank, share]) => {
      const plan = this.#plans.find(({ shares }) => shares.includes(share));
      return plan === undefined ? [] : [[rank, plan.epoch] as const];
    });
    const { boundary } = this;
    const [steps, used] = [[...this.#steps], [...this.#usedBefore]];
    return { ...this.snapshot(), stand: this.#stand, boundary, steps, finished, used };
  }

  snapshotAt(limits: CutLimits): { readonly work: CursorSnapshot; readonly out: CutAssignment[] } {
    const work = this.snapshot();
    const out = work.plans.flatMap(({ epoch, shares }) =>
      shares.flatMap((share) => {
        const { rank } = share;
        const assignment = share.assignment?.id;
        if (assignment === undefined) return [];
        const { step = -1, used = 0 } = limits.get(rank) ?? {};
        const examples = endAfter(share, step, this.#stepExamples);
        const inVain = examples - this.#usedOf(rank, used, examples);
        const drop = (dropped: number) => {
          share.dropped += dropped;
        };
        return [{ rank, assignment, epoch, examples, inVain, drop }];
      }),
    );
    return { work, out };
  }
}
