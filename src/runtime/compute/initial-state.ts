/** What a run spec says of its model: the graph, the layout of its values, and how they start. */

import type { ModelState } from "../../host/state-transfer.js";
import { statePartCount } from "../../kernels/update-rule.js";
import { initialParameters } from "../../nn/initialise.js";
import type { ModelGraph } from "../../nn/model.js";
import { buildModel } from "../../nn/models.js";
import { type Layout, layOut } from "../../protocol/layout.js";
import { servedRule } from "../../protocol/local/local-steps.js";
import type { ChunkMarks } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";

/** What a model is built from. */
export type ModelFacts = Pick<RunSpec, "model" | "stem" | "input">;

/**
 * The graph of the run's model, fitted to its data set.
 * @throws PacelineError `usage` for an unknown model, or one and a data set that don't go together.
 */
export function modelOf({ model, stem, input }: ModelFacts): ModelGraph {
  return buildModel(model, { stem, classes: input.classes, inputShape: input.shape });
}

/** The layout of the run's parameters; every process that knows the spec finds the same. */
export function layoutOf(spec: ModelFacts & Pick<RunSpec, "chunkValues">): Layout {
  return layOut(modelOf(spec).tensors, spec.chunkValues);
}

/**
 * Weights drawn from the run's seed, state of zeros, and marks of chunks that nothing was applied
 * to.
 */
export function initialState(spec: RunSpec, layout: Layout): ModelState {
  const places = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
  const placement = (name: string) => places.get(name)!;
  return {
    weights: initialParameters(modelOf(spec), spec.seed, placement, layout.values),
    state: Array.from(
      { length: statePartCount(servedRule(spec)) },
      () => new Float32Array(layout.values),
    ),
    marks: layout.chunks.map(
      (): ChunkMarks => ({ version: 0, examples: 0, sealedStep: -1, applied: [] }),
    ),
  };
}
