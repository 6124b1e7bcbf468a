/**
 * Dealing work where everybody keeps one step (BSP). Work is dealt in segments that end where an
 * evaluation, a checkpoint or the epoch is due. When no assignment is out, everybody stands before
 * the same step: what is due there is done, one thing after the other, and the next segment is
 * dealt.
 *
 * In the middle of a segment only a worker whose share has examples left comes back; any other
 * ready worker waits for the next epoch, which is planned for all. With none left, any may come.
 *
 * Invariant: nothing is evaluated or saved while an assignment is out or a view is being agreed on.
 */
import { assert } from "../../assert.js";
import type { TimedCadence } from "../../protocol/plan/cadence.js";
import type { Cursor } from "./cursor.js";
import type { EpochPlan } from "./epoch-plan.js";
import { RangeDealer } from "./range-dealer.js";
import { settleDue } from "./what-is-due.js";
import type { WorkDealer, WorkFloor } from "./work-floor.js";

/** The dealer. */
export class WorkInStep implements WorkDealer {
  readonly #floor: WorkFloor;
  readonly #cursor: Cursor;
  readonly #dealer: RangeDealer;

  constructor(floor: WorkFloor, cursor: Cursor) {
    this.#floor = floor;
    this.#cursor = cursor;
    this.#dealer = new RangeDealer(floor, cursor);
  }

  get pausable(): boolean {
    return !this.#floor.views.busy;
  }

  restingStep(limit: number): number {
    if (limit >= 0) return limit + 1;
    const steps = this.#plan?.shares.map(({ nextStep }) => nextStep) ?? [];
    return Math.max(0, ...steps);
  }

  /** The epoch that all are in; the latest, but behind a phase in which nobody kept step. */
  get #plan(): EpochPlan | null {
    return this.#cursor.planAt(this.#cursor.boundary);
  }

  advance(pauseLimit: number | null): void {
    const { views, evaluator } = this.#floor;
    const cursor = this.#cursor;
    if (views.busy) return;
    const active = this.#floor.activeRanks();
    const plan = this.#plan;
    if (pauseLimit !== null) {
      this.#dealUpTo(plan, active, pauseLimit);
      return;
    }
    if (active.length === 0) {
      this.#startAgain(plan);
      return;
    }
    if (plan !== null)
      for (const rank of active) this.#dealer.deal(plan, rank, this.#cursor.boundary);
    if (active.some((rank) => cursor.shareOut(rank) !== undefined)) {
      assert(plan !== null, "an assignment is of a plan");
      this.#admitReturning(plan);
      return;
    }
    if (!evaluator.busy) this.#atBoundary(active);
  }

  /** In a pause too, as workers in the step wait for who has no work that leads through it. */
  #dealUpTo(plan: EpochPlan | null, active: readonly number[], limit: number): void {
    if (plan === null) return;
    const untilStep = Math.min(this.#cursor.boundary, limit + 1);
    for (const rank of active) this.#dealer.deal(plan, rank, untilStep);
  }

  #atBoundary(active: readonly number[]): void {
    const floor = this.#floor;
    const cursor = this.#cursor;
    // Those who are left may come in later than the boundary: what is before is sealed.
    this.#cursor.boundary = Math.max(this.#cursor.boundary, floor.views.openStep);
    const step = this.#cursor.boundary;
    cursor.extend(step, active);
    const plan = this.#plan;
    const over = plan === null || step >= cursor.lastStepOf(plan);
    const past = cursor.endedBy(step);
    const ended = over ? plan : past.findLast((one) => cursor.lastStepOf(one) === step);
    const epoch = (ended ?? plan)?.epoch ?? 0;
    cursor.standBefore(step);
    // Behind a phase in which nobody kept step several may have ended.
    for (const one of past) this.#dealer.close(one);
    const epochNumber = ended == null ? null : epoch + 1;
    if (settleDue(floor, { step, epoch, epochNumber, final: over && cursor.done })) return;
    if (floor.phases.endsPhase()) return;
    if (over) this.#admit(() => true);
    else this.#admitReturning(plan);
    if (floor.views.busy) return;
    const next = over ? this.#dealer.plan(active) : plan;
    this.#cursor.boundary = Math.min(
      cursor.lastStepOf(next),
      nextMultiple(floor.spec.evaluateEvery, step),
      nextMultiple(floor.phases.checkpointEvery, step),
      step + floor.phases.stepsLeft(active.length),
    );
    for (const rank of active) {
      const isCounted = (floor.views.worker(rank)?.fromStep ?? 0) <= step;
      if (isCounted) cursor.include(next, rank);
      this.#dealer.deal(next, rank, this.#cursor.boundary);
    }
  }

  /**
   * With nobody left, those who have examples of this epoch go on with it; without any, it is over.
   */
  #startAgain(plan: EpochPlan | null): void {
    const { ready } = this.#floor;
    if (ready.size === 0) return;
    const over = plan === null || this.#cursor.boundary >= this.#cursor.lastStepOf(plan);
    if (!over && [...ready.keys()].some((rank) => hasExamples(plan, rank))) {
      this.#admitReturning(plan);
      return;
    }
    if (!over) this.#cursor.boundary = this.#cursor.endEarly();
    this.#admit(() => true);
  }

  #admitReturning(plan: EpochPlan): void {
    this.#admit((rank) => hasExamples(plan, rank));
  }

  #admit(allowed: (rank: number) => boolean): void {
    const { views, ready } = this.#floor;
    for (const [rank, incarnation] of ready) {
      if (views.worker(rank) !== undefined || !allowed(rank)) continue;
      const share = this.#plan?.shares.find((candidate) => candidate.rank === rank);
      const fromStep = share?.nextStep ?? this.#cursor.boundary;
      views.admit({ rank, incarnation, fromStep });
    }
  }
}

function hasExamples(plan: EpochPlan, rank: number): boolean {
  const share = plan.shares.find((candidate) => candidate.rank === rank);
  return share !== undefined && share.assignment === null && share.next < share.end;
}

function nextMultiple(cadence: TimedCadence | null, step: number): number {
  if (cadence?.unit !== "step") return Number.POSITIVE_INFINITY;
  return (Math.floor(step / cadence.count) + 1) * cadence.count;
}
