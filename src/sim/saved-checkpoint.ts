/** A checkpoint of a simulated run, in memory, with what the ledger knew when it was written. */
import type { SaveRequest, TrainingSnapshot } from "../core/work/run-setup.js";
import type { CheckpointState } from "../host/coordinator-host.js";
import type { LedgerEntry, LedgerStep } from "./ledger.js";

/** Everything that a run can be resumed from. */
export interface SavedCheckpoint {
  readonly why: SaveRequest["why"];
  readonly step: number;
  readonly globalStep: number;
  readonly state: CheckpointState;
  readonly snapshot: TrainingSnapshot;
  /** By chunk what it had applied. */
  readonly entries: readonly (readonly LedgerEntry[])[];
  /** Steps that were rejected until then. */
  readonly rejected: readonly LedgerStep[];
}
