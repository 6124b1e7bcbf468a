/**
 * What an onlooker of a run is told. A terminal's report, a supervisor, a dashboard or a program of
 * the user's is one; the run's folder is kept whether anybody looks on or not. Observers decide
 * nothing, and nothing of theirs is waited for but the end.
 */
import type { PacelineError } from "../errors.js";
import type { CoordinatorSnapshot, RunEvent, RunResult } from "../protocol/run-events.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { ExperimentFile } from "../store/runs/experiment-file.js";
import type { StepRow } from "../store/runs/run-counts.js";
import type { ClusterMember } from "../store/runs/run-directory.js";
import type { PacelineResult } from "../store/runs/run-result.js";
import type { Machine } from "./process/machine.js";

/** A run as it begins. */
export interface RunBegin {
  readonly spec: RunSpec;
  /** The run's folder. */
  readonly folder: { readonly path: string; readonly name: string };
  /** What the coordinator runs on. */
  readonly machine: Machine;
  readonly coordinator: Pick<ClusterMember, "pid" | "host" | "address">;
  /** One process computes for every worker. */
  readonly inOneProcess: boolean;
}

/** A run as it has ended. */
export interface RunEnd {
  readonly result: RunResult;
  /** The content of result.json. */
  readonly experiment: ExperimentFile & { readonly paceline: PacelineResult };
  /** Why result.json could not be written; null where it was. */
  readonly problem: PacelineError | null;
  /** What other files of the folder lack, a sentence each. */
  readonly losses: readonly string[];
  /** What a process that was there for this run alone ends with. */
  readonly exitCode: number;
}

/** An onlooker; what it leaves out it is not told. Its methods must not throw. */
export interface Observer {
  /** A run begins; one that has ended is over before. */
  onBegin?(begin: RunBegin): void;
  onEvent?(event: RunEvent): void;
  /** The coordinator's present picture, some times a second. */
  onSnapshot?(snapshot: CoordinatorSnapshot): void;
  /** A row of metrics.jsonl about the steps since the last. */
  onRow?(row: StepRow): void;
  /** A submitted run could not begin. */
  onNotBegun?(name: string, error: PacelineError): void;
  /** The run is over and its folder is whole. */
  onEnd?(end: RunEnd): void;
}
