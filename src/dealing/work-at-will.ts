/**
 * Dealing work where nobody waits at an epoch's end (SSP, ASP). Each worker takes its share of an
 * epoch in one piece; the first that has used its share up has the next epoch cut, for everybody
 * who is ready. Evaluations are done by each worker between two steps, while the others go on; a
 * checkpoint brings all to rest first.
 *
 * Invariant: once the last epoch is used up by those who are there, nothing is dealt any more, so
 * that the final evaluation sees the final model.
 */

import type { Cadence } from "../contract/run-spec.js";
import type { Cut } from "./cursor.js";
import { isDue, type WorkDealer, type WorkFloor } from "./work-floor.js";

/** The dealer. */
export class WorkAtWill implements WorkDealer {
  readonly #floor: WorkFloor;
  /** An epoch whose evaluation is due and waits for another to end. */
  #evaluationDue: number | null = null;
  /** The last step at which checkpoints in steps were looked at as due. */
  #checkpointStep: number | null = null;
  #finishing = false;

  constructor(floor: WorkFloor) {
    this.#floor = floor;
  }

  get pausable(): boolean {
    return !this.#floor.views.busy && !this.#finishing;
  }

  restingStep(): number {
    return this.#floor.globalSteps();
  }

  advance(pauseLimit: number | null): void {
    const floor = this.#floor;
    const active = floor.activeRanks();
    const { cursor } = floor;
    if (pauseLimit !== null) {
      const behind = active.filter((rank) => cursor.stepOf(rank) <= pauseLimit);
      if (floor.spec.protocol.mode === "ssp") this.#dealTo(behind, active);
      return;
    }
    if (active.length === 0) {
      this.#startAgain();
      return;
    }
    if (this.#finishing) {
      this.#closeEpochs(new Set(active));
      return;
    }
    this.#dealTo(active, active);
    this.#admit((rank) => this.#hasWork(rank));
    this.#closeEpochs(new Set(floor.activeRanks()));
  }

  #dealTo(ranks: readonly number[], active: readonly number[]): void {
    const { views, cursor } = this.#floor;
    for (const rank of ranks) {
      if (!views.isConfirmed(rank) || cursor.shareOut(rank) !== undefined) continue;
      const cut = cursor.openCut(rank) ?? this.#cutIfFirst(rank, active);
      if (cut !== null) this.#floor.deal(cut, rank, cut.lastStep);
    }
  }

  /**
   * Cuts the next epoch when this worker has nothing left of the present one, or was never in it
   * and it is over.
   */
  #cutIfFirst(rank: number, active: readonly number[]): Cut | null {
    const { cursor, ready } = this.#floor;
    const { latest } = cursor;
    if (cursor.done) return null;
    const owned = latest === null || latest.shares.some((share) => share.rank === rank);
    if (!owned && !cursor.exhausted(latest, new Set(active))) return null;
    return this.#floor.cut([...new Set([...active, ...ready.keys()])].sort((a, b) => a - b));
  }

  #admit(allowed: (rank: number) => boolean): void {
    const { views, ready } = this.#floor;
    if (views.busy) return;
    for (const [rank, incarnation] of ready) {
      if (views.worker(rank) !== undefined || !allowed(rank)) continue;
      views.admit({ rank, incarnation, fromStep: this.#firstStep(rank) });
    }
  }

  /** With nobody left, those who have work of this epoch go on with it; without any, it is over. */
  #startAgain(): void {
    const { ready, cursor, views } = this.#floor;
    if (ready.size === 0 || views.busy) return;
    const ranks = [...ready.keys()].sort((a, b) => a - b);
    if (!this.#finishing && !ranks.some((rank) => this.#hasWork(rank))) {
      if (cursor.done) this.#finishing = true;
      else this.#floor.cut(ranks);
    }
    this.#admit((rank) => this.#finishing || this.#hasWork(rank));
  }

  /** In SSP a worker without a share of the latest epoch would hold up those who have one. */
  #hasWork(rank: number): boolean {
    const { cursor, spec } = this.#floor;
    if (spec.protocol.mode === "asp") return cursor.openCut(rank) !== null;
    return cursor.latest !== null && cursor.isOpen(cursor.latest, rank);
  }

  /**
   * A worker comes back where its share stands; one that is new to the epoch comes in beside the
   * slowest.
   */
  #firstStep(rank: number): number {
    const { cursor } = this.#floor;
    const cut = cursor.openCut(rank) ?? cursor.latest;
    const shares = cut?.shares ?? [];
    const own = shares.find((share) => share.rank === rank);
    if (own !== undefined) return own.nextStep;
    return shares.length === 0 ? 0 : Math.min(...shares.map((share) => share.nextStep));
  }

  #closeEpochs(alive: ReadonlySet<number>): void {
    const { cursor, spec } = this.#floor;
    for (const cut of cursor.openEpochs()) {
      if (!cursor.exhausted(cut, alive)) break;
      const first = this.#floor.recordEpoch(cut);
      if (cursor.done && cut === cursor.latest) break;
      if (first && isDue(spec.evaluateEvery, -1, cut.epoch + 1)) this.#evaluationDue = cut.epoch;
      if (first && isDue(spec.checkpointEvery, -1, cut.epoch + 1)) this.#floor.pauseForCheckpoint();
      cursor.forgetBefore(cut.epoch + 1);
    }
    const { latest } = cursor;
    const over = latest === null || cursor.exhausted(latest, alive);
    if (this.#finishing || (cursor.done && over)) {
      this.#finishing = true;
      this.#finish(latest);
      return;
    }
    this.#evaluateIfDue();
    this.#saveIfDue();
  }

  /** Everybody rests, and the final evaluation sees the final model. */
  #finish(latest: Cut | null): void {
    const { evaluator, finalSaved } = this.#floor;
    if (evaluator.busy) return;
    const step = this.#floor.globalSteps();
    const epoch = latest?.epoch ?? 0;
    const about = { epoch, step, final: true };
    if (!evaluator.hasFinal) this.#floor.evaluate(about, latest?.lastStep ?? 0);
    else if (!finalSaved) this.#floor.save("final", step);
    else this.#floor.finish();
  }

  #evaluateIfDue(): void {
    const { evaluator, cursor, spec } = this.#floor;
    const step = this.#floor.globalSteps();
    const epoch = cursor.latest?.epoch ?? 0;
    if (passed(spec.evaluateEvery, evaluator.lastStep, step)) this.#evaluationDue ??= epoch;
    if (evaluator.busy || this.#evaluationDue === null) return;
    const about = { epoch: this.#evaluationDue, step, final: false };
    this.#evaluationDue = null;
    this.#floor.evaluate(about, cursor.latest?.lastStep ?? 0);
  }

  #saveIfDue(): void {
    const step = this.#floor.globalSteps();
    this.#checkpointStep ??= step;
    if (!passed(this.#floor.spec.checkpointEvery, this.#checkpointStep, step)) return;
    this.#checkpointStep = step;
    this.#floor.pauseForCheckpoint();
  }
}

/** Has a multiple of a cadence in steps been passed since the last time? */
function passed(cadence: Cadence | null, last: number | null, step: number): boolean {
  if (cadence?.unit !== "step") return false;
  return last === null || Math.floor(step / cadence.count) > Math.floor(last / cadence.count);
}
