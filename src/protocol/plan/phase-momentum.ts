/**
 * The momentum coefficient of a phase. Behind a switch from BSP to single pushes an update is made
 * of one worker's batch, and a coefficient that was chosen for the mean of n batches may be too
 * high: staleness acts like momentum (Mitliagkas et al. 2016, arXiv 1605.09774). Sync-Switch (Li et
 * al., ICDCS 2021, arXiv 2104.08364, configuration policy) compares ways to choose another:
 *
 *   zero             0
 *   scaled           m / n
 *   fixed-scaled     1 / n
 *   linear-ramp      k / n in the k-th epoch behind the switch, at most m
 *   nonlinear-ramp   2^(k - 1) / n in the k-th epoch behind the switch, at most m
 *
 * for the run's coefficient m and n workers; the state of the optimizer stays as it is. An epoch is
 * as many examples as the training data have, counted from where the phase begins.
 *
 * Invariant: pure; a coefficient follows from the spec, the phase and the examples that the chunk
 * has applied, so that servers come to the same one at any fail-over, and a resumed run too.
 */
import type { RunSpec } from "../run-spec.js";
import { oneOf, real, type SpecOf, whole } from "../spec-field.js";

/** The ways, by what an option calls them. */
export const switchMomenta = [
  "unchanged",
  "zero",
  "scaled",
  "fixed-scaled",
  "linear-ramp",
  "nonlinear-ramp",
] as const;
/** One of them. */
export type SwitchMomentum = (typeof switchMomenta)[number];

/** The coefficient that a phase begins with, and how it grows with each epoch, up to the run's. */
export const phaseMomentumFields = {
  start: real("[0, 1)"),
  /** Stays; start, 2 start, 3 start; start, 2 start, 4 start. */
  growth: oneOf(["none", "linear", "double"]),
};

/** What a plan says of a phase's momentum. */
export interface PhaseMomentum extends SpecOf<typeof phaseMomentumFields> {}

/** The same once the phase has begun. */
export const begunMomentumFields = {
  ...phaseMomentumFields,
  /** Examples of the run before the phase. */
  fromExamples: whole(),
};

/** What a view says of it. */
export interface BegunMomentum extends SpecOf<typeof begunMomentumFields> {}

/** The coefficient that a way makes of m, for n workers; null where it stays. */
export function momentumBehindSwitch(
  way: SwitchMomentum,
  momentum: number,
  workers: number,
): PhaseMomentum | null {
  const share = Math.min(momentum, 1 / workers);
  switch (way) {
    case "unchanged":
      return null;
    case "zero":
      return { start: 0, growth: "none" };
    case "scaled":
      return { start: momentum / workers, growth: "none" };
    case "fixed-scaled":
      return { start: share, growth: "none" };
    case "linear-ramp":
      return { start: share, growth: "linear" };
    default:
      return { start: share, growth: "double" };
  }
}

/** The coefficient of an update made when so many examples of the run have been applied. */
export function momentumAt(
  { start, growth, fromExamples }: BegunMomentum,
  examples: number,
  { updateRule, trainExamples }: Pick<RunSpec, "updateRule" | "trainExamples">,
): number {
  if (growth === "none") return start;
  const epochs = Math.floor(Math.max(0, examples - fromExamples) / Math.max(1, trainExamples));
  const grown = growth === "linear" ? start * (epochs + 1) : start * 2 ** epochs;
  return Math.min(updateRule.momentum, grown);
}

/** How a log says a phase's coefficient, behind a comma; nothing where it is the run's own. */
export function momentumText(phase: PhaseMomentum | null): string {
  if (phase === null) return "";
  const grows = { none: "", linear: ", growing by as much", double: ", doubled" } as const;
  const each = phase.growth === "none" ? "" : `${grows[phase.growth]} each epoch`;
  return `, momentum ${Number(phase.start.toPrecision(4))}${each}`;
}
