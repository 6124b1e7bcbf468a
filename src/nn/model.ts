/**
 * A model as a graph: named layers, each fed by earlier nodes, ending in a loss.
 *
 * Node 0 is the input; the others follow in the order they were added, so a node's inputs always
 * have smaller ids and walking the list forward and backward is all the scheduling there is. The
 * graph is plain data: it can be compared, printed and cloned into another thread.
 *
 * Invariants: tensor names are unique and follow PyTorch's (`<node>.<role>`); every node but the
 * output feeds some other node; `tensors` lists the tensors in the order of the nodes.
 */
import { assert } from "../assert.js";
import type { Initialiser } from "./initialise.js";
import { type Shape, type TensorGroup, valuesIn } from "./layer-kind.js";
import { kindOf, type Layer } from "./layers.js";
import { classesOf, type LossName } from "./losses.js";

/** A named tensor of a model and how it starts. */
export interface ModelTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly group: TensorGroup;
  readonly initial: Initialiser;
}

/** One layer in its place. */
export interface GraphNode {
  /** Position in `nodes` plus one: 0 is the model's input. */
  readonly id: number;
  readonly name: string;
  readonly layer: Layer;
  /** Ids of the nodes that feed it. */
  readonly inputs: readonly number[];
  /** Shape of its output for one example. */
  readonly shape: Shape;
  /** Name of each owned tensor by its role in the layer. */
  readonly tensors: Readonly<Record<string, string>>;
}

/** A whole model. */
export interface ModelGraph {
  readonly name: string;
  readonly inputShape: Shape;
  readonly nodes: readonly GraphNode[];
  /** Id of the node whose values are the logits. */
  readonly output: number;
  readonly loss: LossName;
  readonly classes: number;
  readonly tensors: readonly ModelTensor[];
}

/** Id of a model's input. */
export const inputId = 0;

/** Puts a graph together, layer by layer. */
export class GraphBuilder {
  readonly #name: string;
  readonly #inputShape: Shape;
  readonly #nodes: GraphNode[] = [];
  readonly #tensors: ModelTensor[] = [];

  constructor(name: string, inputShape: Shape) {
    this.#name = name;
    this.#inputShape = inputShape;
  }

  /**
   * Adds a layer fed by the given nodes and returns its id.
   * @param tensorNames names for tensors that are not to be called `<node>.<role>`, by role.
   */
  add(
    name: string,
    layer: Layer,
    inputs: readonly number[],
    tensorNames: Readonly<Record<string, string>> = {},
  ): number {
    const id = this.#nodes.length + 1;
    const kind = kindOf(layer);
    assert(inputs.length === kind.inputCount, "a layer has the inputs of its kind", { name });
    assert(!this.#nodes.some((node) => node.name === name), "node names are unique", { name });
    const shapes = inputs.map((input) => this.#shapeOf(input));
    const shape = kind.outputShape(layer, shapes);
    const named: Record<string, string> = {};
    for (const { role, ...tensor } of kind.tensors(layer, shapes)) {
      const tensorName = tensorNames[role] ?? `${name}.${role}`;
      assert(!this.#tensors.some((other) => other.name === tensorName), "tensor names are unique", {
        tensorName,
      });
      named[role] = tensorName;
      this.#tensors.push({ name: tensorName, ...tensor });
    }
    this.#nodes.push({ id, name, layer, inputs, shape, tensors: named });
    return id;
  }

  /** Adds layers one after the other, the first fed by `from`; returns the last one's id. */
  chain(from: number, layers: readonly (readonly [name: string, layer: Layer])[]): number {
    return layers.reduce((input, [name, layer]) => this.add(name, layer, [input]), from);
  }

  /** The finished graph, whose logits are those of node `output`. */
  finish(output: number, loss: LossName): ModelGraph {
    const classes = classesOf(loss, this.#shapeOf(output));
    for (const { id, name } of this.#nodes) {
      const feeds = this.#nodes.some((node) => node.inputs.includes(id));
      assert(feeds !== (id === output), "every node but the output feeds another", { name });
    }
    return {
      name: this.#name,
      inputShape: this.#inputShape,
      nodes: this.#nodes,
      output,
      loss,
      classes,
      tensors: this.#tensors,
    };
  }

  #shapeOf(id: number): Shape {
    if (id === inputId) return this.#inputShape;
    const node = this.#nodes[id - 1];
    assert(node !== undefined, "a node is fed by earlier nodes", { id });
    return node.shape;
  }
}

/** Number of trained values of a model; buffers and counters don't count. */
export function trainableValues(graph: ModelGraph): number {
  return graph.tensors
    .filter(({ group }) => group === "weight" || group === "plain")
    .reduce((sum, tensor) => sum + valuesIn(tensor.shape), 0);
}
