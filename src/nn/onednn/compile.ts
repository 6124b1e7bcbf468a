/**
 * From a model's graph to a program: each node writes its forward operations, in the graph's order;
 * then, in a training step, its backward operations in the reverse order.
 *
 * A node's result keeps the memory format that its primitive chose, and its gradient has the same
 * one. A ReLU behind a batch normalisation or an addition is computed by these; its own node then
 * adds nothing. Where several nodes feed gradients into one, the first gives its own and the others
 * are added to it.
 *
 * Invariant: tensors are asked for in the order of `graph.tensors`, each before the first operation
 * that reads its value, and reported in reverse, each after the last one that reads its value or
 * writes its gradient.
 */
import { assert } from "../../assert.js";
import type { EngineMemory, StepCompanion, StepSeed } from "../engine.js";
import { type Shape, valuesIn } from "../layer-kind.js";
import type { Layer, LayerOf } from "../layers.js";
import { type GraphNode, inputId, type ModelGraph } from "../model.js";
import type { ConvolutionPlace } from "./algorithms.js";
import { batchNormPasses } from "./batch-norm.js";
import { conv2dPasses } from "./convolution.js";
import { Argument, type DataType, type Dnnl, type Extents } from "./dnnl.js";
import { dropoutPasses, flattenPasses, linearPasses } from "./flat-layers.js";
import type { KernelChoice } from "./kernel-choice.js";
import type { KernelPlan } from "./kernel-plan.js";
import {
  addPasses,
  avgPoolPasses,
  globalAvgPoolPasses,
  maxPoolPasses,
  reluPasses,
} from "./picture-layers.js";
import { type Cell, isPadded, type Program, ProgramBuilder } from "./program.js";

/** What a run of a program is about; set before each run. */
export interface ProgramRun {
  x: Float32Array;
  seed: StepSeed;
  onGradient: (tensor: string) => void;
  /** Undefined where nobody goes along. */
  companion: StepCompanion | undefined;
  /** Set by an operation that met values which are not finite and would be hidden. */
  broken: boolean;
}

/** A node's result. */
export interface Value {
  readonly cell: Cell;
  /** With the batch's extent; [n, values] where it is flat. Flat values are row-major f32. */
  readonly extents: Extents;
  readonly type: DataType;
  /** Whether nobody but the consumers reads it, so that a sole consumer may overwrite it. */
  readonly spare: boolean;
}

/** The gradient of a node's result, in the result's format. */
export interface Gradient {
  readonly cell: Cell;
  /** Whether nobody else reads it, so that it may be overwritten. */
  readonly owned: boolean;
}

/** A node as its compiler sees it. */
export interface NodeContext<L extends Layer = Layer> {
  readonly builder: ProgramBuilder;
  readonly layer: L;
  readonly name: string;
  readonly run: ProgramRun;
  readonly n: number;
  readonly training: boolean;
  /** How results of convolutions are stored. */
  readonly type: DataType;
  readonly inputShapes: readonly Shape[];
  readonly outputShape: Shape;
  readonly inputs: readonly Value[];
  /** By input: whether the node is its only consumer and it may be overwritten. */
  readonly mayOverwrite: readonly boolean[];
  /** By input: whether its gradient is wanted. */
  readonly wanted: readonly boolean[];
  /** Whether the node computes the ReLU that follows it. */
  readonly withRelu: boolean;
  /** Whether a batch normalisation measures all that comes of it. */
  readonly isMeasured: boolean;
  /** The tensors by role, in the caller's memory. */
  readonly parameters: Readonly<Record<string, Float32Array>>;
  readonly gradients: Readonly<Record<string, Float32Array>>;
  /** How a convolution is computed. */
  choiceOf(place: ConvolutionPlace): KernelChoice;
  /** Takes a line on what was chosen. */
  note(shape: string, direction: string, implementation: string): void;
  /** Writes the report that the tensors' gradients are final. */
  report(): void;
}

/** What a node has written. */
export interface Passes {
  readonly result: Value;
  /** Writes the backward operations; gives the gradient of each wanted input, else null. */
  readonly backward: (gradient: Gradient) => readonly (Gradient | null)[];
}

/** Writes a node's forward operations. */
export type PassesFactory<L extends Layer = Layer> = (context: NodeContext<L>) => Passes;

const factories: { readonly [Kind in Layer["kind"]]: PassesFactory<LayerOf<Kind>> } = {
  linear: linearPasses,
  relu: reluPasses,
  flatten: flattenPasses,
  dropout: dropoutPasses,
  add: addPasses,
  conv2d: conv2dPasses,
  "batch-norm": batchNormPasses,
  "max-pool": maxPoolPasses,
  "avg-pool": avgPoolPasses,
  "global-avg-pool": globalAvgPoolPasses,
};

/** A compiled model. */
export interface Compiled {
  readonly program: Program;
  readonly run: ProgramRun;
  readonly logits: Cell;
  /** Null in evaluation. */
  readonly logitsGradient: Cell | null;
  /** Number of operations before the loss. */
  readonly forwardLength: number;
  /** What was chosen, one line for each distinct shape, in the order of their texts. */
  readonly notes: readonly string[];
}

/** What a program is made for. */
export interface CompileOptions {
  readonly graph: ModelGraph;
  readonly memory: EngineMemory;
  readonly n: number;
  readonly training: boolean;
  readonly type: DataType;
  readonly plan: KernelPlan;
}

/** Compiles a model for batches of exactly n examples. */
export function compile(dnnl: Dnnl, options: CompileOptions): Compiled {
  return new Compiler(dnnl, options).compile();
}

class Compiler {
  readonly #options: CompileOptions;
  readonly #builder: ProgramBuilder;
  readonly #run: ProgramRun = {
    x: new Float32Array(0),
    seed: [],
    onGradient: () => {},
    companion: undefined,
    broken: false,
  };
  /** Implementations by direction, by shape. */
  readonly #notes = new Map<string, Map<string, string>>();
  /** By node id. */
  readonly #values: Value[] = [];
  readonly #passes: Passes[] = [];
  readonly #consumers: readonly (readonly GraphNode[])[];
  readonly #trained: readonly boolean[];
  readonly #gradients: Gradient[][] = [];

  constructor(dnnl: Dnnl, options: CompileOptions) {
    const { graph } = options;
    this.#options = options;
    this.#builder = new ProgramBuilder(dnnl);
    const ids = [inputId, ...graph.nodes.map(({ id }) => id)];
    this.#consumers = ids.map((id) => graph.nodes.filter(({ inputs }) => inputs.includes(id)));
    this.#gradients = ids.map(() => []);
    const trained = [false];
    for (const { id, inputs, tensors } of graph.nodes) {
      const owns = Object.keys(tensors).length > 0;
      trained[id] = owns || inputs.some((input) => trained[input]);
    }
    this.#trained = trained;
  }

  compile(): Compiled {
    try {
      return this.#written();
    } catch (thrown) {
      this.#builder.discard();
      throw thrown;
    }
  }

  #written(): Compiled {
    const { graph, training } = this.#options;
    const builder = this.#builder;
    const run = this.#run;
    this.#takeInput();
    for (const node of graph.nodes) {
      builder.node = node.name;
      const passes = this.#passesOf(node);
      this.#passes[node.id] = passes;
      this.#values[node.id] = passes.result;
    }
    const logits = (this.#values[graph.output] as Value).cell;
    const forwardLength = builder.length;
    let logitsGradient: Cell | null = null;
    builder.node = "loss";
    if (training) {
      logitsGradient = builder.cell(logits.format);
      builder.call("loss", [logits, logitsGradient], () => {});
      this.#backward(logitsGradient);
    } else {
      builder.call("loss", [logits], () => {});
    }
    const program = builder.finish();
    const notes = [...this.#notes].map(([shape, chosen]) => `${shape}: ${inWords(chosen)}`).sort();
    return { program, run, logits, logitsGradient, forwardLength, notes };
  }

  #takeInput(): void {
    const { graph, n } = this.#options;
    const builder = this.#builder;
    const run = this.#run;
    const extents = [n, ...graph.inputShape];
    builder.node = "input";
    const cell = builder.cell(builder.plain(extents, "f32"));
    const count = valuesIn(extents);
    builder.call("copy", [cell], () => cell.values.set(run.x.subarray(0, count)));
    this.#values[inputId] = { cell, extents, type: "f32", spare: false };
  }

  #backward(logitsGradient: Cell): void {
    const { graph } = this.#options;
    this.#gradients[graph.output]?.push({ cell: logitsGradient, owned: true });
    for (const node of graph.nodes.toReversed()) {
      if (!this.#trained[node.id]) continue;
      this.#builder.node = node.name;
      const gradient = this.#sumOf(node.id);
      const given = (this.#passes[node.id] as Passes).backward(gradient);
      node.inputs.forEach((input, index) => {
        const part = given[index] ?? null;
        assert((part !== null) === this.#trained[input], "wanted gradients are given", {
          node: node.name,
          input,
        });
        if (part !== null) this.#gradients[input]?.push(this.#inFormatOf(input, part));
      });
    }
  }

  #inFormatOf(id: number, { cell, owned }: Gradient): Gradient {
    const { format } = (this.#values[id] as Value).cell;
    const converted = this.#builder.converted("gradient to the result's format", cell, format);
    return { cell: converted, owned: owned || converted !== cell };
  }

  /** The whole gradient of a node's result. */
  #sumOf(id: number): Gradient {
    const builder = this.#builder;
    const { extents, type } = this.#values[id] as Value;
    const [first, ...others] = this.#gradients[id] as Gradient[];
    assert(first !== undefined, "a trained node has a gradient", { id });
    let sum = first;
    for (const other of others) {
      const target = [sum, other].find(({ owned }) => owned)?.cell;
      const isFree = target !== undefined && !isPadded(sum.cell.format, extents, type);
      const cell = isFree ? target : builder.cell(sum.cell.format);
      const addition = builder.described("sum", builder.dnnl.add(cell.format, false));
      builder.execute("sum of gradients", addition, [
        [Argument.source, sum.cell],
        [Argument.source1, other.cell],
        [Argument.result, cell],
      ]);
      sum = { cell, owned: true };
    }
    return sum;
  }

  #passesOf(node: GraphNode): Passes {
    const { graph, n, training, type, memory, plan } = this.#options;
    const run = this.#run;
    const source = node.inputs.length === 1 ? (node.inputs[0] as number) : -1;
    if (this.#isFused(node, source)) return passedOn(this.#values[source] as Value);
    const tensors = Object.values(node.tensors).reverse();
    if (training && tensors.length > 0) this.#askFor(tensors.toReversed());
    const consumers = this.#consumers[node.id] as readonly GraphNode[];
    const sole = consumers.length === 1 ? (consumers[0] as GraphNode) : null;
    const factory = factories[node.layer.kind] as PassesFactory;
    return factory({
      builder: this.#builder,
      layer: node.layer,
      name: node.name,
      run,
      n,
      training,
      type,
      inputShapes: node.inputs.map((input) => this.#shapeOf(input)),
      outputShape: node.shape,
      inputs: node.inputs.map((input) => this.#values[input] as Value),
      mayOverwrite: node.inputs.map(
        (input) => (this.#values[input] as Value).spare && this.#consumers[input]?.length === 1,
      ),
      wanted: node.inputs.map((input) => training && (this.#trained[input] as boolean)),
      withRelu: sole !== null && this.#isFused(sole, node.id),
      isMeasured:
        training &&
        node.id !== graph.output &&
        consumers.every(({ layer }) => layer.kind === "batch-norm"),
      parameters: this.#tensorsOf(node, memory.parameters),
      gradients: this.#tensorsOf(node, memory.gradients),
      choiceOf: (place) => plan.choiceOf(place),
      note: (shape, direction, implementation) => {
        const chosen = this.#notes.get(shape) ?? new Map<string, string>();
        this.#notes.set(shape, chosen.set(direction, implementation));
      },
      report: () => {
        const report = () => {
          for (const tensor of tensors) run.onGradient(tensor);
        };
        this.#builder.call("report", [], report);
      },
    });
  }

  #askFor(tensors: readonly string[]): void {
    const run = this.#run;
    this.#builder.call("ask for tensors", [], () => {
      if (run.companion === undefined) return;
      for (const tensor of tensors) run.companion.beforeTensor(tensor);
    });
  }

  /** Whether a node is a ReLU that its source, a node with no other consumer, computes itself. */
  #isFused(node: GraphNode, source: number): boolean {
    if (node.layer.kind !== "relu" || source <= inputId) return false;
    if (this.#consumers[source]?.length !== 1 || node.shape.length !== 3) return false;
    const kind = this.#options.graph.nodes[source - 1]?.layer.kind;
    return kind === "batch-norm" || kind === "add";
  }

  #shapeOf(id: number): Shape {
    const { graph } = this.#options;
    return id === inputId ? graph.inputShape : (graph.nodes[id - 1] as GraphNode).shape;
  }

  #tensorsOf(node: GraphNode, vector: Float32Array): Record<string, Float32Array> {
    const { graph, memory } = this.#options;
    const tensors: Record<string, Float32Array> = {};
    for (const [role, name] of Object.entries(node.tensors)) {
      const { offset, length } = memory.placement(name);
      const shape = graph.tensors.find((tensor) => tensor.name === name)?.shape ?? [];
      assert(length === valuesIn(shape), "a tensor's place has its size", { name, length, shape });
      assert(offset + length <= vector.length, "a tensor lies in the vector", { name, offset });
      tensors[role] = vector.subarray(offset, offset + length);
    }
    return tensors;
  }
}

/** A node that adds nothing to its input. */
function passedOn(result: Value): Passes {
  return { result, backward: (gradient) => [gradient] };
}

/** One implementation that serves every direction is said once. */
function inWords(chosen: ReadonlyMap<string, string>): string {
  const [first, ...others] = new Set(chosen.values());
  if (first !== undefined && others.length === 0) return first;
  return [...chosen].map((choice) => choice.join(" ")).join(", ");
}
