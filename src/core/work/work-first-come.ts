/**
 * Dealing batches first come, first served, where nobody waits at an epoch's end (SSP, ASP):
 * a worker that has finished a batch takes the next one, of this epoch or, when that
 * has no more for it, of the next. So slow workers take fewer. The batch of a lost worker goes to
 * the next that comes.
 *
 * In SSP a worker that stops would hold up those who may only be so many steps ahead of it. So
 * behind the last batch of the last epoch each takes steps without examples until all have come as
 * far as the first.
 *
 * Invariant: once everything is used, nothing is dealt any more, so that the final evaluation sees
 * the final model.
 */
import type { BatchPool, DealtAssignment } from "./batch-pool.js";
import { DueAtWill } from "./what-is-due.js";
import type { WorkDealer, WorkFloor } from "./work-floor.js";

/** The dealer. */
export class WorkFirstCome implements WorkDealer {
  readonly #floor: WorkFloor;
  readonly #pool: BatchPool;
  readonly #due: DueAtWill;
  #finishing = false;

  constructor(floor: WorkFloor, pool: BatchPool) {
    this.#floor = floor;
    this.#pool = pool;
    this.#due = new DueAtWill(floor);
  }

  get pausable(): boolean {
    return !this.#floor.views.busy && !this.#finishing;
  }

  restingStep(): number {
    return this.#floor.globalSteps();
  }

  advance(pauseLimit: number | null): void {
    const active = this.#floor.activeRanks();
    if (pauseLimit !== null) {
      if (!this.#keepsPace) return;
      const behind = active.filter((rank) => this.#pool.stepOf(rank) <= pauseLimit);
      this.#dealTo(behind, pauseLimit + 1);
      return;
    }
    if (!this.#finishing) this.#dealTo(active, 0);
    if (active.length === 0 || (!this.#finishing && !this.#isOver)) this.#admitReady(active);
    if (active.length > 0) this.#doWhatIsDue();
  }

  get #keepsPace(): boolean {
    return this.#floor.pace.hasBarriers;
  }

  get #isOver(): boolean {
    return this.#pool.usedUp && !this.#pool.canOpen;
  }

  /** Whom there is no batch for takes empty steps, up to where others are or must come. */
  #dealTo(ranks: readonly number[], untilStep: number): void {
    const { views } = this.#floor;
    const pool = this.#pool;
    for (const rank of ranks) {
      if (!views.isConfirmed(rank) || pool.assignmentOut(rank) !== null) continue;
      const dealt = this.#next(rank);
      if (dealt !== null) this.#floor.give(rank, dealt.assignment, dealt.leftBy);
      else if (this.#keepsPace && pool.stepOf(rank) < Math.max(untilStep, this.#farthest())) {
        this.#floor.give(rank, pool.dealEmpty(rank, pool.stepOf(rank)), null);
      }
    }
  }

  #next(rank: number): DealtAssignment | null {
    const pool = this.#pool;
    const active = this.#floor.activeRanks();
    const dealt = pool.deal(rank, pool.stepOf(rank), active);
    if (dealt !== null || !pool.canOpen) return dealt;
    this.#floor.openEpoch(pool.open());
    return pool.deal(rank, pool.stepOf(rank), active);
  }

  /** The step before which the first of all workers stands, or will with its assignment. */
  #farthest(): number {
    const { views } = this.#floor;
    const steps = this.#floor
      .activeRanks()
      .filter((rank) => views.isConfirmed(rank))
      .map((rank) => this.#pool.assignmentOut(rank)?.lastStep ?? this.#pool.stepOf(rank));
    return Math.max(0, ...steps);
  }

  /** A new worker comes in beside the slowest. */
  #admitReady(active: readonly number[]): void {
    const { views, ready } = this.#floor;
    if (views.busy) return;
    const steps = active.map((rank) => this.#pool.stepOf(rank));
    const fromStep = steps.length > 0 ? Math.min(...steps) : this.#pool.firstStepOf();
    for (const [rank, incarnation] of ready) {
      if (views.worker(rank) === undefined) views.admit({ rank, incarnation, fromStep });
    }
  }

  #doWhatIsDue(): void {
    const pool = this.#pool;
    for (const epoch of pool.openEpochs()) {
      if (!pool.isUsedUp(epoch)) break;
      const first = this.#floor.recordEpoch(epoch, 0);
      const latest = epoch === pool.epoch;
      if (latest && !pool.canOpen) break;
      if (first) this.#due.epochEnded(epoch);
      if (!latest) pool.forgetBefore(epoch + 1);
    }
    this.#finishing ||= this.#isOver && !this.#floor.views.busy && this.#allAsFar();
    if (this.#finishing) this.#due.finish(pool.epoch, Number.POSITIVE_INFINITY);
    else this.#due.look(pool.epoch);
  }

  #allAsFar(): boolean {
    if (!this.#keepsPace) return true;
    const farthest = this.#farthest();
    return this.#floor.activeRanks().every((rank) => this.#pool.stepOf(rank) >= farthest);
  }
}
