/**
 * What a checkpoint has of one worker, as vectors under the model's own tensor names: what its
 * pushes dropped, and each part of the state of its local steps' rule with the count of updates.
 *
 * Invariant: which vectors there are follows from the run's spec and its tensors.
 */
import { keepsResiduals } from "../../protocol/compression.js";
import type { Layout, PlacedTensor } from "../../protocol/layout.js";
import { localStateSize, localValues } from "../../protocol/local/local-state.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { factsOf } from "../../protocol/update-rules.js";

/** A vector of a file, and its place in all that is kept of the worker. */
export interface WorkerVector {
  /** What it is of, as sentences and tables say. */
  readonly title: string;
  readonly prefix: string;
  readonly tensors: readonly PlacedTensor[];
  readonly offset: number;
  readonly length: number;
}

const updates: PlacedTensor = {
  ...{ name: "updates", shape: [], group: "counter" },
  ...{ offset: 0, length: 1 },
};

/** The vectors of a worker's file, in the order in which they are kept. */
export function workerVectors(
  spec: Pick<RunSpec, "protocol" | "updateRule" | "compression">,
  { tensors }: Pick<Layout, "tensors">,
): WorkerVector[] {
  const weights = tensors.filter(({ group }) => group === "weight");
  const length = weights.reduce((sum, tensor) => sum + tensor.length, 0);
  const residual = { title: "residuals", prefix: "residual.", tensors: weights, offset: 0, length };
  if (localValues(spec, { tensors }) === 0) return [residual];
  const { parts, trained } = localStateSize(spec.updateRule, { tensors });
  const moved = tensors.filter((tensor) => tensor.offset < trained);
  const names = factsOf(spec.updateRule.name).state;
  const state = Array.from({ length: parts }, (_, part) => ({
    title: `${names[part]} of local steps`,
    prefix: `local${part + 1}.`,
    tensors: moved,
    offset: length + part * trained,
    length: trained,
  }));
  const at = length + parts * trained;
  const count = {
    ...{ title: "updates of local steps", prefix: "local.", tensors: [updates] },
    ...{ offset: at, length: 1 },
  };
  return [...(keepsResiduals(spec.compression) ? [residual] : []), ...state, count];
}
