/**
 * Everything that describes one run, as plain data: what is trained, on what, by how many, and what
 * is kept of it. Durations are in milliseconds, null stands for "not set". Nothing has a default
 * here; the rooms that offer settings to people have the defaults and the checks.
 */
import type { PaceSettings } from "../core/sync/pace.js";
import type { InjectedFault } from "../protocol/injected-fault.js";
import type { Cadence, TimedCadence } from "../protocol/plan/cadence.js";
import type { PhaseHparams } from "../protocol/plan/phase-hparams.js";
import type { PlanWords } from "../protocol/plan/plan-text.js";
import type { RunOptions } from "../protocol/run-options.js";
import type { Stem } from "../protocol/run-spec.js";

/** What is trained, and on what. */
export interface TrainedSettings {
  readonly model: string | null;
  readonly stem: Stem;
  readonly data: string | null;
  readonly dataDir: string | null;
  /** Where fetched data sets are kept. */
  readonly cacheDir: string;
  /** How many examples of each split are used; null for all. */
  readonly trainLimit: number | null;
  readonly testLimit: number | null;
  /** A small run to try things out: its limits may be above what the data set has. */
  readonly fast: boolean;
  /** Compute threads of each worker; null has them share the processors. */
  readonly threads: number | null;
}

/** How many take part, and how tightly they keep pace. */
export interface ClusterSettings extends PaceSettings {
  /**
   * How few workers the run goes on with (min), how many it takes (max), and how many it waits for
   * at the start; all of them if left out.
   */
  readonly workers: { readonly min: number; readonly max: number; readonly start?: number };
  /** How few servers the run begins and goes on with (min), and how many it takes (max). */
  readonly servers: { readonly min: number; readonly max: number };
  /** One of the modes of `core/sync`. */
  readonly mode: string;
  /** Several after each other; null where there is one. */
  readonly plan: PlanWords | null;
  /** The same as Sync-Switch has it: 1 for BSP, 0 for ASP; null where it is not said so. */
  readonly switchOrder: string | null;
  /** Global steps at which its phases end, counted from the start. */
  readonly trainSteps: readonly number[];
  /** What each phase has of its own; empty where none has anything. */
  readonly hparams: readonly PhaseHparams[];
  /** How often each phase writes a checkpoint; empty where all do as the run. */
  readonly ckptFrequency: readonly TimedCadence[];
  /** Faults that the run brings upon itself; checked against the counts. */
  readonly inject: readonly InjectedFault[];
}

/** What stays after a run. */
export interface KeptSettings {
  /** How many checkpoints are kept. */
  readonly keep: number;
  /** How long a last checkpoint that can't be written is tried again. */
  readonly savePatienceMs: number;
  /** "auto", the name of a run, or a path; null begins afresh. */
  readonly resume: string | null;
  /** The folder that run folders lie in. */
  readonly runDir: string;
  /** The run's name; null has one made up. */
  readonly name: string | null;
  /** A process on another machine that has the folder is gone, as the user says; or "elected". */
  readonly takeOver?: boolean | "elected";
  /** How often metrics.jsonl has a row. */
  readonly logEvery: Cadence;
}

/** One run. */
export interface RunSettings extends TrainedSettings, ClusterSettings, RunOptions, KeptSettings {}
