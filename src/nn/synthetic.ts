/**
 * The synthetic engine: computes nothing. Its gradients are small random values that are the same
 * in every step, said to be final at once, last layers first; so what a run with it takes is what
 * moving and applying parameters takes. For measuring, never for training: its loss is 1 and
 * its predictions are wrong.
 *
 * Invariant: the calls that a real engine makes (before a tensor, at the turn, when a gradient is
 * final) are all made, in the same order.
 */

import { Random } from "../random.js";
import type {
  Batch,
  Engine,
  EngineMemory,
  Executor,
  Outcome,
  StepCompanion,
  StepSeed,
} from "./engine.js";
import type { ModelGraph, ModelTensor } from "./model.js";

/** Gradients are drawn from -1/1000 to 1/1000. */
const gradientMax = 1e-3;

/** The engine that computes nothing. */
export const syntheticEngine: Engine = {
  name: "synthetic",
  bind: (graph, memory) => new SyntheticExecutor(graph, memory),
};

class SyntheticExecutor implements Executor {
  readonly #tensors: readonly ModelTensor[];
  readonly #memory: EngineMemory;
  #filled = false;

  constructor(graph: ModelGraph, memory: EngineMemory) {
    this.#tensors = graph.tensors;
    this.#memory = memory;
  }

  step(
    batch: Batch,
    _seed: StepSeed,
    onGradient: (tensor: string) => void,
    companion?: StepCompanion,
  ): Outcome {
    for (const { name } of this.#tensors) companion?.beforeTensor(name);
    companion?.onTurn();
    if (!this.#filled) for (const tensor of this.#tensors) this.#fill(tensor);
    this.#filled = true;
    for (const { name } of this.#tensors.toReversed()) onGradient(name);
    return wrong(batch);
  }

  evaluate(batch: Batch): Outcome {
    return wrong(batch);
  }

  prepare(): readonly string[] {
    return [];
  }

  close(): void {}

  #fill({ name, group }: ModelTensor): void {
    const { offset, length } = this.#memory.placement(name);
    const random = new Random("synthetic", name);
    const gradient = this.#memory.gradients.subarray(offset, offset + length);
    // Statistics of buffers are 1, as a counter's step is.
    if (group === "buffer" || group === "counter") gradient.fill(1);
    else for (let at = 0; at < length; at++) gradient[at] = (2 * random.float() - 1) * gradientMax;
  }
}

function wrong({ n }: Batch): Outcome {
  return { lossSum: n, correct: 0, examples: n };
}
