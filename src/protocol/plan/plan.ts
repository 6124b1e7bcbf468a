/**
 * A plan: the ways to keep pace that a run goes through, one after the other (Sync-Switch, Li et
 * al., ICDCS 2021). A phase ends after so much work of the run, or when the loss of evaluations
 * flattens; the last one with the run. Work is counted in examples that were used, so that a plan
 * means the same for any number of workers and any batch size.
 *
 * Invariant: ends ascend; a phase but the last has an end or a plateau.
 */
import type { Protocol } from "../run-spec.js";
import {
  addedLater,
  list,
  nullable,
  opaque,
  real,
  record,
  type SpecOf,
  whole,
} from "../spec-field.js";
import { timedCadence } from "./cadence.js";
import { type PhaseMomentum, phaseMomentumFields } from "./phase-momentum.js";

const plateauFields = {
  /** Evaluations that are averaged on either side of the comparison. */
  window: whole(1, 1000),
  /** The mean loss must fall by at least this much from one window to the next. */
  delta: real("[0, 1000]"),
};

/** A phase ends when the mean loss of `window` evaluations falls by less than `delta`. */
export interface Plateau extends SpecOf<typeof plateauFields> {}

const phaseFields = {
  /** Read and written by functions of its own. */
  protocol: opaque<Protocol>(),
  /** Examples of the whole run after which it ends; null where that is not decided by work. */
  end: nullable(whole(1)),
  plateau: nullable(record<Plateau>(plateauFields)),
  /** Times the learning rate of the schedule. */
  lrFactor: real("(0, 1000000]"),
  /** Null where the run's own holds. */
  momentum: addedLater(nullable(record<PhaseMomentum>(phaseMomentumFields)), null),
  /** Null where the run's own holds. */
  checkpointEvery: addedLater(nullable(timedCadence), null),
};

/** One phase. */
export interface PlannedPhase extends SpecOf<typeof phaseFields> {}

/** The most phases of a plan. */
export const phasesMax = 1000;

/** The phases of a plan in their order; empty where a run keeps one protocol. */
export const planField = list(record<PlannedPhase>(phaseFields), phasesMax);

/** How a run keeps pace, in a word: its mode, or those of its plan. */
export function paceTitle({ protocol, plan }: PlannedRun): string {
  if (plan.length === 0) return protocol.mode;
  return plan.map((phase) => phase.protocol.mode).join("-");
}

/** A phase that a run has entered. */
export interface RunPhase {
  readonly mode: string;
  /** The first global step that belongs to it. */
  readonly fromStep: number;
  /** Examples that were used before it. */
  readonly fromExamples: number;
}

/** So many modes are named in a word. */
const modesNamedMax = 6;

/**
 * How a run has kept pace, in a word: as it was planned, or where somebody switched it, or a policy
 * did, the modes that it has entered.
 */
export function paceTaken(run: PlannedRun, phases: readonly RunPhase[]): string {
  const planned = run.plan.length === 0 ? [run] : run.plan;
  const isAsPlanned = phases.every(({ mode }, place) => planned[place]?.protocol.mode === mode);
  if (isAsPlanned) return paceTitle(run);
  const modes = phases.map(({ mode }) => mode);
  if (modes.length <= modesNamedMax) return modes.join("-");
  return [...modes.slice(0, modesNamedMax - 1), `${modes.length - modesNamedMax + 1} more`].join(
    "-",
  );
}

/** A run's first protocol and its plan. */
export interface PlannedRun {
  readonly protocol: Protocol;
  readonly plan: readonly PlannedPhase[];
}

/** True where the loss has flattened: nothing is said before two windows are full. */
export function isFlat({ window, delta }: Plateau, losses: readonly number[]): boolean {
  if (losses.length < 2 * window) return false;
  const before = mean(losses.slice(-2 * window, -window));
  return before - mean(losses.slice(-window)) < delta;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
