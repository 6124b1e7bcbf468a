/**
 * Which steps of a run a checkpoint overlaps, and how long these and the others took, from the
 * moments in which a server had applied each step. A step here is from one such moment to the next,
 * so what happens between two steps is a part of the second.
 */

/** A checkpoint that was written while training went on. */
export interface WrittenCheckpoint {
  /** Steps taken when it was begun. */
  readonly step: number;
  /** When it was whole. */
  readonly writtenMs: number;
}

/** Durations in milliseconds. */
export interface OverlappedSteps {
  /** Of steps with no checkpoint beside. */
  readonly plain: readonly number[];
  /** By checkpoint those of the steps that it overlapped, the first with its beginning. */
  readonly beside: readonly (readonly number[])[];
  /** By checkpoint from its beginning until it was whole. */
  readonly writing: readonly number[];
}

/**
 * Sorts a run's steps.
 * @param appliedMs when each step was applied, in the order of steps.
 * @param epochSteps an epoch's first step is left out, as the next epoch is planned before it; so
 * are all steps of the first epoch, which warms up.
 */
export function overlappedSteps(
  appliedMs: readonly number[],
  checkpoints: readonly WrittenCheckpoint[],
  epochSteps: number,
): OverlappedSteps {
  const counts = (step: number) => step > epochSteps && step % epochSteps !== 0;
  const durationOf = (step: number) => appliedMs[step]! - appliedMs[step - 1]!;
  const taken = new Set<number>();
  const beside: number[][] = [];
  const writing: number[] = [];
  for (const { step: begun, writtenMs } of checkpoints) {
    const steps: number[] = [];
    for (let step = begun; step < appliedMs.length; step++) {
      if (step < 1 || appliedMs[step - 1]! >= writtenMs) break;
      steps.push(step);
      taken.add(step);
    }
    // One that begins where a step is left out would be counted without its beginning.
    if (steps.length === 0 || !counts(begun)) continue;
    beside.push(steps.filter(counts).map(durationOf));
    writing.push(writtenMs - appliedMs[begun - 1]!);
  }
  const plain: number[] = [];
  for (let step = 1; step < appliedMs.length; step++) {
    if (counts(step) && !taken.has(step)) plain.push(durationOf(step));
  }
  return { plain, beside, writing };
}
