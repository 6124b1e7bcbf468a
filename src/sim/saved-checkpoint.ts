/** A checkpoint of a simulated run, in memory, with what the ledger knew when it was written. */
import type { SaveRequest, TrainingSnapshot } from "../core/work/run-setup.js";
import type { CheckpointState } from "../host/checkpoint-saver.js";
import type { Layout } from "../protocol/layout.js";
import { toyWeights } from "./toy-model.js";
import type { LedgerEntry, LedgerStart, LedgerStep } from "./watch/ledger.js";

/** Everything that a run can be resumed from. */
export interface SavedCheckpoint {
  readonly why: SaveRequest["why"];
  readonly step: number;
  readonly globalStep: number;
  /** How often its part of the run had gone back before. */
  readonly generation: number;
  readonly state: CheckpointState;
  readonly snapshot: TrainingSnapshot;
  /** By chunk what it had applied. */
  readonly entries: readonly (readonly LedgerEntry[])[];
  /** Steps that were rejected until then. */
  readonly rejected: readonly LedgerStep[];
}

/** What servers are loaded with where a run begins. */
export function freshState(layout: Layout): CheckpointState {
  const marks = { version: 0, examples: 0, sealedStep: -1, applied: [] };
  const none = { state: [], residuals: [] };
  return { weights: toyWeights(layout), ...none, marks: layout.chunks.map(() => marks) };
}

/** What a ledger begins with that goes on from a checkpoint, or afresh. */
export function ledgerStartOf(from: SavedCheckpoint | null, layout: Layout): LedgerStart {
  return {
    weights: from?.state.weights ?? toyWeights(layout),
    state: from?.state.state ?? [],
    entries: from?.entries ?? layout.chunks.map(() => []),
    rejected: from?.rejected ?? [],
  };
}
