/**
 * A worker that came too late: where steps are sealed without all, the answers to a push that was
 * dropped, or merged with a later step, say how far each chunk has gone meanwhile, and the worker
 * goes on with the latest step that is open anywhere, on weights that are of it. The steps between
 * are not taken. Where its push was dropped their examples are passed over, so that a position
 * follows from a step as if they had been; where it was merged none are, and it has them later.
 *
 * Invariant: a gradient that is counted in a step was computed with weights of that step: chunks
 * whose answer is of an earlier one are pulled again before the step begins.
 */
import type { Chunk } from "../../protocol/layout.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import { examplesOfStep, type Pace } from "../sync/pace.js";
import { creditStep, type StepGround, type Stepping, type Work } from "./worker-state.js";

/** What a step that is over has come to. */
export interface CompletedStep {
  /** Examples that it used. */
  readonly used: number;
  readonly nextStep: number;
  /** Chunks whose weights are of an earlier step than the next. */
  readonly behind: readonly Chunk[];
}

/** A chunk of the step is answered. */
export function noteAnswer(
  step: Stepping,
  { chunk, outcome, staleness }: ChunkHeader,
  { late }: Pick<Pace, "late">,
): void {
  step.outstanding.delete(chunk);
  step.missing.delete(chunk);
  step.isAnswered = true;
  if (outcome === "dropped" || outcome === "rejected") step.inVain++;
  if (outcome === "dropped" || late !== null) step.openSteps.set(chunk, step.step + 1 + staleness);
}

/** A step of the assignment is over: credits it, and says with which the worker goes on. */
export function completeStep(
  work: Work,
  step: Stepping,
  { layout, spec, pace }: Omit<StepGround, "requests">,
  endMs: number,
): CompletedStep {
  const used = creditStep(work, step, layout.chunks.length, endMs);
  const following = step.step + 1;
  // Where the next step was begun with the first answers, that is what it goes on with.
  const mayLeap = pace.hasDecider && step.leftAtMs === null;
  if (!mayLeap) return { used, nextStep: following, behind: [] };
  const nextStep = Math.max(following, ...step.openSteps.values());
  const passed = pace.late === null ? (nextStep - following) * examplesOfStep(spec, pace) : 0;
  const skipped = Math.min(passed, work.assignment.end - work.position);
  work.position += skipped;
  work.dropped += skipped;
  const behind = layout.chunks.filter(({ index }) => {
    return (step.openSteps.get(index) ?? following) < nextStep;
  });
  return { used, nextStep, behind };
}

/** What a worker says when its step went by unused, though nothing judged it. */
export function unusedWords(
  { examples, step, verdict }: Stepping,
  used: number,
  nextStep: number,
): string[] {
  if (used === examples || verdict.isRejected) return [];
  const what = `${examples} examples of step ${step} were not used`;
  const passed = nextStep - step - 1;
  const further = passed === 0 ? "" : `, step ${nextStep} is next, ${passed} are passed over`;
  return [`${what}: every chunk went on without them${further}`];
}
