/**
 * What a run starts from and what a checkpoint keeps of the coordinator: plain data, so that a run
 * that is resumed differs from one that never stopped in nothing but time.
 */

import type { Layout } from "../../protocol/layout.js";
import type { WorkerStatistics } from "../../protocol/messages.js";
import type { EpochRecord, EvaluationRecord } from "../../protocol/run-events.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { View } from "../../protocol/view.js";
import type { PlanStand } from "../phases/plan-progress.js";
import type { GivenResiduals } from "./barrier-round.js";
import type { WorkSnapshot } from "./work-floor.js";

/** A run to be carried out. */
export interface RunSetup {
  readonly spec: RunSpec;
  readonly layout: Layout;
  /** Where to go on from, or null for a fresh start. */
  readonly resume: TrainingSnapshot | null;
  /** How many workers are waited for at the start; as many as may take part if left out. */
  readonly workersAtStart?: number;
  /** The highest step that a chunk of the resumed checkpoint has sealed; -1 if left out. */
  readonly sealedStep?: number;
  /** The step of the resumed checkpoint, as its folder is called. */
  readonly resumedStep?: number;
  /** Ranks whose residuals are in the resumed checkpoint; nobody's if left out. */
  readonly residuals?: readonly number[];
  /** How often the run has gone back to a checkpoint while it was on; never if left out. */
  readonly generation?: number;
}

/** The coordinator's part of a checkpoint. */
export interface TrainingSnapshot {
  readonly cursor: WorkSnapshot;
  readonly evaluations: readonly EvaluationRecord[];
  readonly epochs: readonly EpochRecord[];
  readonly openEpochs: readonly OpenEpoch[];
  /** Seconds trained so far. */
  readonly seconds: number;
  /** The term under which it was written: no id of that term or a lower one is given again. */
  readonly term: number;
  readonly tornSteps: number;
  /** Left out where the writer knew no plans: then the first phase is on. */
  readonly plan?: PlanStand;
  /** What workers have counted, by rank; left out where the writer did not keep it. */
  readonly workers?: Readonly<Record<number, WorkerStatistics>>;
}

/** Counts of an epoch that is not over. */
export interface OpenEpoch {
  readonly epoch: number;
  seconds: number;
  examples: number;
  /** Of these, examples whose loss is not known, as their worker was lost. */
  lostExamples: number;
  lossSum: number;
  correct: number;
  readonly workerSeconds: Record<number, number>;
}

/** A request to write the state of a cluster, at rest or as a cut has it. */
export interface SaveRequest {
  readonly view: View;
  readonly step: number;
  readonly why: "checkpoint" | "ending" | "interrupt" | "final";
  /** Where it is of a cut, as it was when servers were asked; the cut's own follows. */
  readonly snapshot: TrainingSnapshot;
  /** True where workers go on meanwhile, and it is of a consistent cut through what they do. */
  readonly isCut: boolean;
  /** The version that the final evaluation was of, which is the one to save; null before that. */
  readonly version: string | null;
  /** Whose residuals belong to it. */
  readonly residuals: readonly GivenResiduals[];
  /** Global steps less versions of the model; null where the step is the global one. */
  readonly stepsAhead: number | null;
  /** How long it may take to leave the machine to training; 0 where nobody goes on beside it. */
  readonly leisureMs: number;
}
