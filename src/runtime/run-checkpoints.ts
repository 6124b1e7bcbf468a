/** The checkpoints of a run's folder: what one says besides its values, and how many are kept. */
import type { SaveRequest } from "../core/work/run-setup.js";
import type { ModelState } from "../host/state-transfer.js";
import { tellsChoice } from "../nn/onednn/kernel-choice.js";
import type { Layout } from "../protocol/layout.js";
import type { Residuals } from "../protocol/residuals.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { addCheckpoint } from "../store/checkpoint/add-checkpoint.js";
import type { JsonValue } from "../store/checkpoint/manifest.js";
import { diskFiles, type Files } from "../store/files.js";
import { describeMachine } from "./process/machine.js";

/** Where a run's checkpoints go and what they say of how they were made. */
export interface CheckpointPlace {
  /** The run's folder. */
  readonly path: string;
  /** How many stay. */
  readonly keep: number;
  /** Paceline's. */
  readonly version: string;
  readonly spec: RunSpec;
  readonly layout: Layout;
}

/** What a checkpoint is of. */
export interface CheckpointContent extends ModelState {
  readonly globalStep: number;
  readonly examples: number;
  readonly snapshot: SaveRequest["snapshot"];
  readonly residuals?: readonly Residuals[];
  readonly engines: readonly string[];
  readonly algorithms: readonly string[];
}

/**
 * Writes a checkpoint, and removes those beyond `keep`; what can't be removed stays. Resolves to
 * its path.
 */
export async function keepCheckpoint(
  { path, keep, version, spec, layout }: CheckpointPlace,
  content: CheckpointContent,
  files: Files = diskFiles,
): Promise<string> {
  const { globalStep, examples, marks, snapshot, weights, state, residuals = [] } = content;
  const { engines, algorithms } = content;
  const made = { paceline: version, ...describeMachine() };
  const facts = {
    created: new Date().toISOString(),
    spec,
    globalStep,
    examples,
    chunks: marks,
    cursor: JSON.parse(JSON.stringify(snapshot)) as JsonValue,
    machine: { ...made, engines: [...engines], algorithms: [...algorithms] },
  };
  return addCheckpoint(path, { facts, layout, weights, state, residuals }, keep, files);
}

/**
 * The choices of kernels that a checkpoint's run has computed with, from what its manifest says of
 * the machine; none where it says nothing.
 */
export function recordedChoices(machine: Readonly<Record<string, JsonValue>> = {}): string[] {
  const { algorithms } = machine;
  if (!Array.isArray(algorithms)) return [];
  return algorithms.filter((line) => typeof line === "string" && tellsChoice(line)) as string[];
}
