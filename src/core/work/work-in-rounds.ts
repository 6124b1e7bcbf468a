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
 * Invariant: nothing is evaluated or saved while an assignment is out or a view is being agreed on.
 */
import type { BatchPool } from "./batch-pool.js";
import { settleDue } from "./what-is-due.js";
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
    const [assignment] = active.flatMap((rank) => this.#pool.assignmentOut(rank) ?? []);
    if (assignment !== undefined) this.#fillRound(active, assignment.firstStep);
    else if (!evaluator.busy) this.#betweenRounds(active);
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
