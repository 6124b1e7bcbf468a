/**
 * What a phase of a plan may have of its own beside its protocol: Sync-Switch's option `--hparams`
 * has a part for each phase (Li et al., ICDCS 2021).
 *
 * Invariant: what a phase does not say is the run's.
 */
import type { PhaseMomentum } from "./phase-momentum.js";

/** A phase's own numbers; null for those that it does not say. */
export interface PhaseHparams {
  /** The peak learning rate, in place of --lr and of what --switch-lr makes of it. */
  readonly lr: number | null;
  /** The momentum coefficient, in place of --momentum and of what --switch-momentum makes of it. */
  readonly momentum: number | null;
}

/** A coefficient that stays for the whole phase. */
export function fixedMomentum(start: number): PhaseMomentum {
  return { start, growth: "none" };
}
