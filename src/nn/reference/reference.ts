/**
 * The reference engine: the obvious loops in plain TypeScript. It is the oracle for every other
 * engine and what runs where no other one is available.
 *
 * Binding lays out all memory: an activation and a gradient buffer for each node, and one kernel
 * per node that holds its arrays. A step then walks the nodes forward, takes the loss, and walks
 * them backward; it allocates nothing of size. The gradient of the model's input is never
 * computed.
 *
 * Invariant: a node's gradient is whole before the node's own backward pass begins. Its consumers
 * all come later in the list, so the backward walk has passed them; the first that reports
 * writes, the others write aside and are added.
 */
import { assert } from "../../assert.js";
import type {
  Batch,
  Engine,
  EngineMemory,
  Executor,
  Outcome,
  StepCompanion,
  StepSeed,
} from "../engine.js";
import { type Shape, valuesIn } from "../layer-kind.js";
import type { Layer, LayerOf } from "../layers.js";
import { lossKernels } from "../loss-sums.js";
import { checkLabels } from "../losses.js";
import { type GraphNode, inputId, type ModelGraph } from "../model.js";
import { batchNormKernel } from "./reference-batch-norm.js";
import { conv2dKernel } from "./reference-conv2d.js";
import { type KernelFactory, type LayerKernel, Workspace } from "./reference-kernel.js";
import { linearKernel } from "./reference-linear.js";
import { addKernel, dropoutKernel, flattenKernel, reluKernel } from "./reference-parameterless.js";
import { avgPoolKernel, globalAvgPoolKernel, maxPoolKernel } from "./reference-pools.js";

const kernels: { readonly [Kind in Layer["kind"]]: KernelFactory<LayerOf<Kind>> } = {
  linear: linearKernel,
  relu: reluKernel,
  flatten: flattenKernel,
  dropout: dropoutKernel,
  add: addKernel,
  conv2d: conv2dKernel,
  "batch-norm": batchNormKernel,
  "max-pool": maxPoolKernel,
  "avg-pool": avgPoolKernel,
  "global-avg-pool": globalAvgPoolKernel,
};

/** The engine of plain loops. */
export const referenceEngine: Engine = {
  name: "reference",
  bind: (graph, memory) => new ReferenceExecutor(graph, memory),
};

/** A node ready to run. */
interface BoundNode {
  readonly kernel: LayerKernel;
  /** Tensors in the order in which they are reported. */
  readonly tensors: readonly string[];
  /** Input gradients written aside, to be added to what other consumers wrote. */
  readonly additions: readonly { from: Float32Array; to: Float32Array; values: number }[];
}

class ReferenceExecutor implements Executor {
  readonly #graph: ModelGraph;
  readonly #memory: EngineMemory;
  readonly #workspace = new Workspace();
  /** By node id: shapes and values of one example. */
  readonly #shapes: readonly Shape[];
  readonly #sizes: readonly number[];
  /** By node id. */
  readonly #activations: readonly Float32Array[];
  readonly #gradients: readonly Float32Array[];
  readonly #nodes: readonly BoundNode[];

  constructor(graph: ModelGraph, memory: EngineMemory) {
    const { batchMax } = memory;
    assert(batchMax >= 1, "a batch may have examples", { batchMax });
    const trained = trainedBelow(graph);
    this.#graph = graph;
    this.#memory = memory;
    this.#shapes = [graph.inputShape, ...graph.nodes.map((node) => node.shape)];
    const sizes = this.#shapes.map(valuesIn);
    this.#sizes = sizes;
    this.#activations = sizes.map((size) => new Float32Array(batchMax * size));
    this.#gradients = sizes.map((size, id) => new Float32Array(trained[id] ? batchMax * size : 0));
    const written = new Set<number>();
    this.#nodes = graph.nodes
      .toReversed()
      .map((node) => this.#bindNode(node, trained, written))
      .reverse();
  }

  step(
    batch: Batch,
    seed: StepSeed,
    onGradient: (tensor: string) => void,
    companion?: StepCompanion,
  ): Outcome {
    const outcome = this.#forward(batch, seed, companion);
    companion?.onTurn();
    if (!Number.isFinite(outcome.lossSum)) return outcome;
    for (let index = this.#nodes.length - 1; index >= 0; index--) {
      const { kernel, tensors, additions } = this.#nodes[index] as BoundNode;
      kernel.backwardTensors?.(batch.n);
      kernel.backwardInputs(batch.n);
      // Not earlier: the gradient of the inputs is computed from the tensors' values.
      for (const tensor of tensors) onGradient(tensor);
      for (const { from, to, values } of additions) addInto(to, from, batch.n * values);
    }
    return outcome;
  }

  evaluate(batch: Batch, logits?: Float32Array): Outcome {
    const values = batch.n * (this.#sizes[this.#graph.output] as number);
    const room = logits?.length ?? values;
    assert(room >= values, "there is room for the logits", { room, values });
    const outcome = this.#forward(batch, undefined);
    const computed = this.#activations[this.#graph.output] as Float32Array;
    logits?.set(computed.subarray(0, values));
    return outcome;
  }

  prepare(): readonly string[] {
    return [];
  }

  close(): void {}

  #forward(batch: Batch, seed: StepSeed | undefined, companion?: StepCompanion): Outcome {
    const { n, x, y } = batch;
    const graph = this.#graph;
    const values = n * (this.#sizes[inputId] as number);
    assert(n >= 0 && n <= this.#memory.batchMax, "batch fits the buffers", { n });
    assert(x.length >= values && y.length >= n, "batch has its examples", { n, x: x.length });
    checkLabels(y, n, graph.classes);
    (this.#activations[inputId] as Float32Array).set(x.subarray(0, values));
    for (const { kernel, tensors } of this.#nodes) {
      if (companion !== undefined) {
        for (const tensor of tensors.toReversed()) companion.beforeTensor(tensor);
      }
      kernel.forward(n, seed);
    }
    const logits = this.#activations[graph.output] as Float32Array;
    const gradient = seed === undefined ? undefined : this.#gradients[graph.output];
    const width = this.#sizes[graph.output] as number;
    const { lossSum, correct } = lossKernels[graph.loss](n, width, logits, y, gradient);
    return { lossSum, correct, examples: n };
  }

  #bindNode(node: GraphNode, trained: readonly boolean[], written: Set<number>): BoundNode {
    const sizes = this.#sizes;
    const additions: { from: Float32Array; to: Float32Array; values: number }[] = [];
    const inputGradients = node.inputs.map((input) => {
      if (!trained[input]) return undefined;
      const to = this.#gradients[input] as Float32Array;
      if (!written.has(input)) {
        written.add(input);
        return to;
      }
      const from = new Float32Array(to.length);
      additions.push({ from, to, values: sizes[input] as number });
      return from;
    });
    const factory = kernels[node.layer.kind] as KernelFactory;
    const kernel = factory({
      layer: node.layer,
      name: node.name,
      batchMax: this.#memory.batchMax,
      workspace: this.#workspace,
      inputShapes: node.inputs.map((input) => this.#shapes[input] as Shape),
      outputShape: node.shape,
      inputValues: node.inputs.map((input) => sizes[input] as number),
      outputValues: sizes[node.id] as number,
      inputs: node.inputs.map((input) => this.#activations[input] as Float32Array),
      output: this.#activations[node.id] as Float32Array,
      outputGradient: this.#gradients[node.id] as Float32Array,
      inputGradients,
      parameters: this.#tensorsOf(node, this.#memory.parameters),
      gradients: this.#tensorsOf(node, this.#memory.gradients),
    });
    return { kernel, tensors: Object.values(node.tensors).reverse(), additions };
  }

  #tensorsOf(node: GraphNode, vector: Float32Array): Record<string, Float32Array> {
    const tensors: Record<string, Float32Array> = {};
    for (const [role, name] of Object.entries(node.tensors)) {
      const { offset, length } = this.#memory.placement(name);
      const shape = this.#graph.tensors.find((tensor) => tensor.name === name)?.shape ?? [];
      assert(length === valuesIn(shape), "a tensor's place has its size", { name, length, shape });
      assert(offset + length <= vector.length, "a tensor lies in the vector", { name, offset });
      tensors[role] = vector.subarray(offset, offset + length);
    }
    return tensors;
  }
}

/** By node id: whether a gradient is wanted there, because the node or one below it has tensors. */
function trainedBelow(graph: ModelGraph): boolean[] {
  const trained = [false];
  for (const node of graph.nodes) {
    const owns = Object.keys(node.tensors).length > 0;
    trained[node.id] = owns || node.inputs.some((input) => trained[input]);
  }
  return trained;
}

function addInto(to: Float32Array, from: Float32Array, count: number): void {
  for (let index = 0; index < count; index++) {
    to[index] = (to[index] as number) + (from[index] as number);
  }
}
