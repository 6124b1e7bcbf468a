/**
 * Dealing batches where everybody keeps one step (BSP). Work is dealt in rounds of one step: the
 * workers in ascending rank take the next batches of the pool, one each; when the pool has fewer
 * batches than there are workers, the others take the step without examples. Between two rounds
 * everybody stands before the same step: what is due there is done, and ready workers come in.
 *
 * The batch of a worker that was lost in a round is dealt in the next, so an epoch may end a round
 * later; which positions a rank takes in a step follows from the workers that are there and nothing
 * else.
 *
 * Where a step goes on without some workers, rounds overlap: who has finished a step begins the
 * next round while others are late, and these take part again in the latest round, with the batch
 * that came back. All come together where something is due, and where the pool has no more.
 *
 * Invariant: nothing is evaluated or saved while an assignment is out or a view is being agreed on.
 */
import type { Assignment } from "../../protocol/messages.js";
import type { BatchPool } from "./batch-pool.js";
import { isDue, settleDue } from "./what-is-due.js";
import type { WorkDealer, WorkFloor } from "./work-floor.js";

/** The dealer. */
export class WorkInRounds implements WorkDealer {
  readonly #floor: WorkFloor;
  readonly #pool: BatchPool;

  constructor(floor: WorkFloor, pool: BatchPool) {
    this.#floor = floor;
    this.#pool = pool;
  }

  get pausable(): boolean {
    return !this.#floor.views.busy;
  }

  restingStep(limit: number): number {
    return limit >= 0 ? limit + 1 : this.#pool.firstStepOf();
  }

  advance(pauseLimit: number | null): void {
    const { views, evaluator } = this.#floor;
    if (views.busy) return;
    const active = this.#floor.activeRanks();
    if (pauseLimit !== null) {
      this.#fillUpTo(active, pauseLimit);
      return;
    }
    if (active.length === 0) {
      this.#admitReady(this.#pool.firstStepOf());
      return;
    }
    const out = active.flatMap((rank) => this.#pool.assignmentOut(rank) ?? []);
    const [assignment] = out;
    if (assignment === undefined) {
      if (!evaluator.busy) this.#betweenRounds(active);
    } else if (this.#floor.pace.hasDecider) this.#overlap(active, out);
    else this.#fillRound(active, assignment.firstStep);
  }

  /** Who is idle joins the latest round; or begins the next one, where that has a batch. */
  #overlap(active: readonly number[], out: readonly Assignment[]): void {
    const pool = this.#pool;
    const idle = active.filter((rank) => pool.assignmentOut(rank) === null);
    const [dealt, reached] = [out.map(({ firstStep }) => firstStep), idle.map(pool.stepOf, pool)];
    const step = Math.max(...dealt, ...reached);
    let isBegun = dealt.includes(step);
    if (idle.length === 0 || (!isBegun && this.#meetsBefore(step))) return;
    for (const rank of idle) {
      const next = pool.deal(rank, step, active);
      if (next === null && !isBegun) return;
      isBegun = true;
      const assignment = next?.assignment ?? pool.dealEmpty(rank, step);
      this.#floor.give(rank, assignment, next?.leftBy ?? null);
    }
  }

  /** True where all have to stand before a step. */
  #meetsBefore(step: number): boolean {
    const { spec, views, ready, phases } = this.#floor;
    const { evaluateEvery, maxSteps } = spec;
    const isSpent = maxSteps !== null && step >= maxSteps;
    const isAwaited = [...ready.keys()].some((rank) => views.worker(rank) === undefined);
    const cadences = [evaluateEvery, phases.checkpointEvery];
    if (isSpent || isAwaited || cadences.some((one) => isDue(one, step, null))) return true;
    return phases.endsPhase();
  }

  /** A worker that refused its batch takes the step of the others without one. */
  #fillRound(active: readonly number[], step: number): void {
    for (const rank of active) {
      if (this.#pool.assignmentOut(rank) !== null || this.#pool.stepOf(rank) > step) continue;
      this.#floor.give(rank, this.#pool.dealEmpty(rank, step), null);
    }
  }

  /** In a pause too, as workers in the step wait for it. */
  #fillUpTo(active: readonly number[], limit: number): void {
    for (const rank of active) {
      const step = this.#pool.stepOf(rank);
      if (this.#pool.assignmentOut(rank) !== null || step > limit) continue;
      this.#floor.give(rank, this.#pool.dealEmpty(rank, step), null);
    }
  }

  #betweenRounds(active: readonly number[]): void {
    const pool = this.#pool;
    const { maxSteps } = this.#floor.spec;
    const step = pool.firstStepOf();
    pool.standBefore(step);
    const spent = maxSteps !== null && step >= maxSteps;
    const { epoch, usedUp } = pool;
    const over = (usedUp || spent) && pool.openEpochs().length > 0;
    const earlier = pool.openEpochs().filter((one) => one < epoch && pool.isUsedUp(one));
    const ended = over ? [...earlier, epoch] : earlier;
    const isNew = ended.map((one) => this.#floor.recordEpoch(one, 0)).includes(true);
    const epochNumber = over || isNew ? ended.at(-1)! + 1 : null;
    const final = spent || (usedUp && !pool.canOpen);
    if (settleDue(this.#floor, { step, epoch, epochNumber, final })) return;
    if (this.#floor.phases.endsPhase()) return;
    this.#admitReady(step);
    if (this.#floor.views.busy) return;
    if (usedUp) {
      this.#floor.openEpoch(pool.open());
      pool.forgetBefore(pool.epoch);
    }
    this.#dealRound(active, step);
  }

  #dealRound(active: readonly number[], step: number): void {
    for (const rank of active) {
      const dealt = this.#pool.deal(rank, step, active);
      const assignment = dealt?.assignment ?? this.#pool.dealEmpty(rank, step);
      this.#floor.give(rank, assignment, dealt?.leftBy ?? null);
    }
  }

  #admitReady(fromStep: number): void {
    const { views, ready } = this.#floor;
    for (const [rank, incarnation] of ready) {
      if (views.worker(rank) === undefined) views.admit({ rank, incarnation, fromStep });
    }
  }
}
