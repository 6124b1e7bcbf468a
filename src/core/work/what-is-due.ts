/**
 * Evaluations and checkpoints that fall due, and the end of a run: what every dealer does beside
 * dealing. Where everybody stands before the same step, one thing after the other is done there
 * (`settleDue`). Where nobody waits for the others, all are brought to rest for it (`DueAtWill`);
 * cadences in steps then follow the steps, or pushes, that every chunk has applied.
 *
 * Invariant: an epoch or a step that was evaluated, or tried to be saved, is not again.
 */
import { unreachable } from "../../assert.js";
import type { TimedCadence } from "../../protocol/plan/cadence.js";
import type { WorkFloor } from "./work-floor.js";

/** Where everybody stands. */
export interface Boundary {
  readonly step: number;
  readonly epoch: number;
  /** The number, from 1, of the epoch that ends here; null inside of one. */
  readonly epochNumber: number | null;
  /** No work is left. */
  readonly final: boolean;
}

/** Has the next thing done that is due where everybody stands; false when work may go on. */
export function settleDue(floor: WorkFloor, { step, epoch, epochNumber, final }: Boundary) {
  const { spec, evaluator, phases } = floor;
  if (final && floor.saves.finalSaved) {
    // Who was lost meanwhile may have left steps to be sealed empty; they change nothing.
    floor.finish();
    return true;
  }
  const evaluationDue = final || isDue(spec.evaluateEvery, step, epochNumber);
  if (evaluationDue && !evaluator.has(step, final)) {
    floor.evaluate({ epoch, step, final }, step);
    return true;
  }
  const saveDue = step > 0 && isDue(phases.checkpointEvery, step, epochNumber);
  if (!final && !(saveDue && floor.saves.savedStep !== step)) return false;
  floor.save(final ? "final" : "checkpoint", step);
  return true;
}

/**
 * Is something due at this step, or at the end of the epoch with this number (from 1; null inside
 * an epoch)?
 */
export function isDue(
  cadence: TimedCadence | null,
  step: number,
  epochNumber: number | null,
): boolean {
  if (cadence === null) return false;
  switch (cadence.unit) {
    case "step":
      return step >= 0 && step % cadence.count === 0;
    case "epoch":
      return epochNumber !== null && epochNumber % cadence.count === 0;
    case "second":
      // `DueByClock` tells.
      return false;
    default:
      return unreachable(cadence.unit);
  }
}

/** What is due where nobody keeps step with the others. */
export class DueAtWill {
  readonly #floor: WorkFloor;
  /** The last step at which checkpoints in steps were looked at as due. */
  #checkpointStep: number | null = null;

  constructor(floor: WorkFloor) {
    this.#floor = floor;
  }

  /** An epoch that is not the last has ended. */
  epochEnded(epoch: number): void {
    const { spec, phases } = this.#floor;
    if (isDue(spec.evaluateEvery, -1, epoch + 1)) this.#evaluate(epoch);
    if (isDue(phases.checkpointEvery, -1, epoch + 1)) this.#floor.pauseForCheckpoint();
  }

  /** Looks at what is due in steps, in this epoch. */
  look(epoch: number): void {
    const { evaluator, spec } = this.#floor;
    const step = this.#floor.globalSteps();
    const isPassed = passed(spec.evaluateEvery, evaluator.lastStep, step);
    if (!evaluator.busy && isPassed) this.#evaluate(epoch);
    this.#saveIfDue(step);
  }

  /**
   * No work is left and nobody has any: nothing is in flight once the servers have heard of every
   * lost worker. The final model is evaluated by workers that have come in by this step, and saved.
   */
  finish(epoch: number, reachedStep: number): void {
    const { evaluator, saves, views } = this.#floor;
    if (evaluator.busy || views.busy) return;
    const step = evaluator.lastStep ?? 0;
    if (!evaluator.hasFinal) this.#floor.evaluate({ epoch, step, final: true }, reachedStep);
    else if (!saves.finalSaved) this.#floor.save("final", step);
    else this.#floor.finish();
  }

  #evaluate(epoch: number): void {
    const wish = { epoch, step: this.#floor.globalSteps(), final: false };
    this.#floor.evaluate(wish, Number.POSITIVE_INFINITY);
  }

  #saveIfDue(step: number): void {
    this.#checkpointStep ??= step;
    if (!passed(this.#floor.phases.checkpointEvery, this.#checkpointStep, step)) return;
    this.#checkpointStep = step;
    this.#floor.pauseForCheckpoint();
  }
}

/** Has a multiple of a cadence in steps been passed since the last time? */
function passed(cadence: TimedCadence | null, last: number | null, step: number): boolean {
  if (cadence?.unit !== "step") return false;
  return last === null || Math.floor(step / cadence.count) > Math.floor(last / cadence.count);
}

/** Checkpoints that the clock asks for: they find workers anywhere, and bring them to rest. */
export class DueByClock {
  readonly #cadence: () => TimedCadence | null;
  /** When a checkpoint was last tried, or training began. */
  #triedMs: number | null = null;

  /** @param cadence what holds at present. */
  constructor(cadence: () => TimedCadence | null) {
    this.#cadence = cadence;
  }

  /** True when so much time has passed; then not again before as much has. */
  isDue(nowMs: number): boolean {
    this.#triedMs ??= nowMs;
    const cadence = this.#cadence();
    if (cadence?.unit !== "second" || nowMs - this.#triedMs < cadence.count * 1000) return false;
    this.#triedMs = nowMs;
    return true;
  }

  /** A checkpoint was written, or could not be, whatever asked for it. */
  tried(nowMs: number): void {
    this.#triedMs = nowMs;
  }
}
