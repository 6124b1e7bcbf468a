/**
 * What training in one process goes on from: a checkpoint of its own, or one of servers whose
 * workers kept step.
 */
import type { CursorSnapshot, EpochPlan } from "../../core/work/epoch-plan.js";
import type { TrainingSnapshot } from "../../core/work/run-setup.js";
import { PacelineError } from "../../errors.js";
import type { ModelState } from "../../host/state-transfer.js";
import type { Residuals } from "../../protocol/residuals.js";

/** All that a checkpoint of it keeps. */
export interface BaselineCheckpoint extends ModelState {
  readonly globalSteps: number;
  readonly examples: number;
  readonly snapshot: TrainingSnapshot & { readonly cursor: CursorSnapshot };
  /** What the rule of local steps keeps of each rank; nobody's where it keeps nothing. */
  readonly residuals: readonly Residuals[];
}

/** A checkpoint's content. */
export interface BaselineStart {
  readonly state: ModelState;
  /** Null for a state that nothing was trained on. */
  readonly resume: TrainingSnapshot | null;
  /** By rank what it has of the workers; nobody's if left out. */
  readonly residuals?: ReadonlyMap<number, Float32Array>;
}

/**
 * Refuses a start that this loop can't go on from: chunks that have not all taken every step, work
 * that was not split into ranges, or an epoch planned for another number of workers.
 * @throws PacelineError `checkpoint`.
 */
export function assertBaselineStart({ state, resume }: BaselineStart, workers: number): void {
  const { version, examples } = state.marks[0]!;
  const inStep = state.marks.every((mark) => {
    const isAlike = mark.version === version && mark.examples === examples;
    return isAlike && mark.sealedStep === version - 1;
  });
  if (!inStep) {
    const sentence = "the checkpoint is from a run whose workers were not in step (ssp or asp)";
    const remedy = "continue it with paceline train --resume, or choose one of --mode bsp";
    throw new PacelineError("checkpoint", `${sentence}: ${remedy}`);
  }
  if (resume !== null && !("plans" in resume.cursor)) {
    const sentence = "the checkpoint is from a run that dealt batches one by one";
    const remedy = "continue it with paceline train --resume, or choose one of --feed static";
    throw new PacelineError("checkpoint", `${sentence} (leased or central): ${remedy}`);
  }
  const plan = resume === null ? null : openEpochOf(resume);
  if (plan === null || plan.shares.length === workers) return;
  const sentence = `the checkpoint lies within an epoch of ${plan.shares.length} workers`;
  const remedy = `give --as-workers ${plan.shares.length}`;
  throw new PacelineError("checkpoint", `${sentence} and this run has ${workers}: ${remedy}`);
}

/** The epoch that a checkpoint stands in, or null between two. */
export function openEpochOf({ cursor, openEpochs }: TrainingSnapshot): EpochPlan | null {
  const latest = "plans" in cursor ? (cursor.plans.at(-1) ?? null) : null;
  return openEpochs.some(({ epoch }) => epoch === latest?.epoch) ? latest : null;
}
