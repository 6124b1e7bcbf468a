/**
 * A model with memory of its own: what evaluation, benchmarks and tests need, where no server holds
 * the parameters and no other thread shares them.
 *
 * Invariant: tensors lie one after the other in the model's own order, without gaps.
 */
import { assert } from "../assert.js";
import type { Engine, EngineMemory, Executor } from "./engine.js";
import { initialParameters } from "./initialise.js";
import { valuesIn } from "./layer-kind.js";
import type { ModelGraph } from "./model.js";

/** A bound model and its memory. */
export interface StandaloneModel extends EngineMemory {
  readonly graph: ModelGraph;
  readonly executor: Executor;
  /** The part of `vector` (parameters or gradients) that holds one tensor. */
  tensor(vector: Float32Array, name: string): Float32Array;
}

/** Binds a model to fresh memory, its parameters drawn from `seed` as `initialParameters` does. */
export function bindStandalone(
  engine: Engine,
  graph: ModelGraph,
  seed: number,
  batchMax: number,
): StandaloneModel {
  const places = new Map<string, { offset: number; length: number }>();
  let values = 0;
  for (const { name, shape } of graph.tensors) {
    const length = valuesIn(shape);
    places.set(name, { offset: values, length });
    values += length;
  }
  const placement = (name: string) => {
    const place = places.get(name);
    assert(place !== undefined, "the model has the tensor", { name });
    return place;
  };
  const parameters = initialParameters(graph, seed, placement, values);
  const memory = { parameters, gradients: new Float32Array(values), placement, batchMax };
  return {
    ...memory,
    graph,
    executor: engine.bind(graph, memory),
    tensor(vector, name) {
      const { offset, length } = placement(name);
      return vector.subarray(offset, offset + length);
    },
  };
}
