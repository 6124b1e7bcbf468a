/**
 * The engine that computes with oneDNN. An executor compiles a program for each kind of run and
 * each number of examples it meets, since the statistics of a batch are those of its very examples;
 * it keeps a few of them and computes in one block of memory.
 *
 * In bf16 pictures and weights are bf16 inside the program; parameters and gradients of the caller
 * are f32 all the same, and so are statistics, flat values and the loss.
 *
 * Invariant: equal parameters, batch, seed, threads, library and instruction set give equal bits;
 * what was chosen can be read (`describe`).
 */
import { assert } from "../../assert.js";
import { Random } from "../../random.js";
import type {
  Batch,
  Engine,
  EngineMemory,
  Executor,
  Outcome,
  StepCompanion,
  StepSeed,
} from "../engine.js";
import { initialParameters } from "../initialise.js";
import { valuesIn } from "../layer-kind.js";
import { lossKernels } from "../loss-sums.js";
import { checkLabels } from "../losses.js";
import type { GraphNode, ModelGraph } from "../model.js";
import { type Compiled, compile } from "./compile.js";
import type { DataType, Dnnl } from "./dnnl.js";
import { type KernelPlan, type KernelSource, planKernels, ruleOnly } from "./kernel-plan.js";
import { type OpenedDnnl, openAllDnnl, openDnnl } from "./library.js";
import { chooseLibrary, type StepTrial } from "./library-choice.js";
import type { OperationListener } from "./program.js";
import { ProgramMemory } from "./program-memory.js";

/** How to compute. */
export interface OneDnnOptions {
  readonly dtype: DataType;
  /** Threads of the library, at least 1. */
  readonly threads: number;
  /** Where the choice of kernels comes from; the rule if not given. */
  readonly kernels?: KernelSource;
}

/** The engine, what it is, and what of the request it could not meet. */
export type OneDnnChoice =
  | { readonly engine: OneDnnEngine; readonly reason: string; readonly warning: string | null }
  | { readonly engine: null; readonly reason: string };

/** Programs that an executor keeps: training and evaluation, each for whole batches and a rest. */
const programsMax = 4;

/**
 * The engine, or why it is unavailable. bf16 without its instructions becomes f32, with a
 * warning.
 */
export function createOneDnnEngine(
  { dtype, threads, kernels = ruleOnly }: OneDnnOptions,
  opened: OpenedDnnl = openDnnl(),
): OneDnnChoice {
  assert(Number.isSafeInteger(threads) && threads >= 1, "an engine has threads", { threads });
  if (opened.dnnl === null) return { engine: null, reason: opened.reason };
  const { dnnl } = opened;
  const isBf16 = dtype === "bf16" && dnnl.hasBf16;
  const type = isBf16 ? "bf16" : "f32";
  const warning =
    dtype === type
      ? null
      : `bf16 needs instructions that this processor lacks (it has ${dnnl.instructionSet}); ` +
        "computing in f32";
  // One that is handed over is the only one.
  const others = opened === openDnnl() ? openAllDnnl().slice(1) : [];
  const usable = [opened, ...others.filter((one) => type === "f32" || one.dnnl.hasBf16)] as const;
  const told = usable.map((one) => `${one.dnnl.version} (${one.name})`).join(" or ");
  const reason =
    `oneDNN ${told}, ${dnnl.instructionSet}, ${type}, ` +
    `${threads} ${threads === 1 ? "thread" : "threads"}`;
  const libraries = usable.map((one) => one.dnnl) as [Dnnl, ...Dnnl[]];
  return { engine: new OneDnnEngine(libraries, type, threads, kernels), reason, warning };
}

/** The engine of oneDNN's primitives. */
export class OneDnnEngine implements Engine {
  readonly name = "onednn";
  readonly type: DataType;
  readonly threads: number;
  readonly #libraries: readonly [Dnnl, ...Dnnl[]];
  readonly #kernels: KernelSource;

  constructor(
    libraries: readonly [Dnnl, ...Dnnl[]],
    type: DataType,
    threads: number,
    kernels = ruleOnly,
  ) {
    this.#libraries = libraries;
    this.#kernels = kernels;
    this.type = type;
    this.threads = threads;
  }

  bind(graph: ModelGraph, memory: EngineMemory): OneDnnExecutor {
    const { type, threads } = this;
    const model = { graph, type, threads, n: memory.batchUsual ?? memory.batchMax };
    const { dnnl, line } = chooseLibrary(this.#libraries, model, this.#kernels, (library) =>
      this.#trial(library, graph, memory),
    );
    const kernels = { source: this.#kernels, library: line };
    return new OneDnnExecutor(dnnl, { graph, memory, type, threads }, kernels);
  }

  /** Training steps on random pictures, in memory of their own. */
  #trial(dnnl: Dnnl, graph: ModelGraph, given: EngineMemory): StepTrial {
    const { placement, parameters: own, batchMax, batchUsual: n = batchMax } = given;
    const parameters = initialParameters(graph, 1, placement, own.length);
    const gradients = new Float32Array(own.length);
    const memory = { placement, parameters, gradients, batchMax: n };
    const bound = { graph, memory, type: this.type, threads: this.threads };
    const kernels = { source: this.#kernels, library: null };
    const executor = new OneDnnExecutor(dnnl, bound, kernels);
    const random = new Random(1, "pictures");
    const values = n * valuesIn(graph.inputShape);
    const x = Float32Array.from({ length: values }, () => random.normal());
    const batch = { x, y: new Int32Array(n), n };
    return {
      step: () => void executor.step(batch, [], () => {}),
      close: () => executor.close(),
    };
  }
}

/** What an executor is made for. */
interface BoundModel {
  readonly graph: ModelGraph;
  readonly memory: EngineMemory;
  readonly type: DataType;
  readonly threads: number;
}

/** A model bound to memory. */
export class OneDnnExecutor implements Executor {
  /** Hears of every operation, for measuring; costs a little. */
  listener: OperationListener | null = null;
  readonly #dnnl: Dnnl;
  readonly #graph: ModelGraph;
  readonly #memory: EngineMemory;
  readonly #type: DataType;
  readonly #threads: number;
  readonly #programMemory: ProgramMemory;
  /** In the order of their last use. */
  readonly #programs = new Map<string, Compiled>();
  /** Logits of one example. */
  readonly #width: number;
  readonly #kernels: KernelSource;
  readonly #libraryLine: string | null;
  #plan: KernelPlan | null = null;

  constructor(
    dnnl: Dnnl,
    bound: BoundModel,
    { source, library }: { readonly source: KernelSource; readonly library: string | null },
  ) {
    const { batchMax } = bound.memory;
    assert(batchMax >= 1, "a batch may have examples", { batchMax });
    this.#dnnl = dnnl;
    this.#graph = bound.graph;
    this.#memory = bound.memory;
    this.#type = bound.type;
    this.#threads = bound.threads;
    this.#kernels = source;
    this.#libraryLine = library;
    this.#programMemory = new ProgramMemory(dnnl);
    this.#width = valuesIn((bound.graph.nodes[bound.graph.output - 1] as GraphNode).shape);
  }

  /** Bytes of activations, their gradients and scratch memory; grows with the largest batch. */
  get bytes(): number {
    return this.#programMemory.bytes;
  }

  /** What was chosen for the batches met so far, one line for each distinct shape. */
  describe(): readonly string[] {
    const notes = [...this.#programs.values()].flatMap((compiled) => compiled.notes);
    return [...new Set([...notes, ...this.#choices()])].sort();
  }

  prepare(n: number): readonly string[] {
    assert(n >= 1 && n <= this.#memory.batchMax, "batch fits the buffers", { n });
    const { notes } = this.#programFor(n, true);
    return [...notes, ...this.#choices()].sort();
  }

  #choices(): readonly string[] {
    const library = this.#libraryLine === null ? [] : [this.#libraryLine];
    return [...library, ...(this.#plan?.lines ?? [])];
  }

  step(
    batch: Batch,
    seed: StepSeed,
    onGradient: (tensor: string) => void,
    companion?: StepCompanion,
  ): Outcome {
    this.#demand(batch);
    if (batch.n === 0) return this.#stepOfNone(onGradient, companion);
    const compiled = this.#programFor(batch.n, true);
    const { program, run, logitsGradient, forwardLength } = compiled;
    run.seed = seed;
    run.onGradient = onGradient;
    run.companion = companion;
    const outcome = this.#forward(compiled, batch, logitsGradient?.values);
    companion?.onTurn();
    if (!Number.isFinite(outcome.lossSum)) return outcome;
    program.run(forwardLength, program.operations.length, this.listener);
    return outcome;
  }

  evaluate(batch: Batch, logits?: Float32Array): Outcome {
    this.#demand(batch);
    const { n } = batch;
    const values = n * this.#width;
    const room = logits?.length ?? values;
    assert(room >= values, "there is room for the logits", { room, values });
    if (n === 0) return { lossSum: 0, correct: 0, examples: 0 };
    const compiled = this.#programFor(n, false);
    const outcome = this.#forward(compiled, batch, undefined);
    logits?.set(compiled.logits.values.subarray(0, values));
    return outcome;
  }

  close(): void {
    for (const { program } of this.#programs.values()) program.close();
    this.#programs.clear();
    this.#programMemory.release();
  }

  #forward(
    { program, run, logits, forwardLength }: Compiled,
    { n, x, y }: Batch,
    gradient: Float32Array | undefined,
  ): Outcome {
    this.#dnnl.setThreads(this.#threads);
    run.x = x;
    run.broken = false;
    program.run(0, forwardLength, this.listener);
    const kernel = lossKernels[this.#graph.loss];
    const { lossSum, correct } = kernel(n, this.#width, logits.values, y, gradient);
    if (run.broken) return { lossSum: Number.NaN, correct: 0, examples: n };
    return { lossSum, correct, examples: n };
  }

  #stepOfNone(onGradient: (tensor: string) => void, companion?: StepCompanion): Outcome {
    for (const { name } of this.#graph.tensors) companion?.beforeTensor(name);
    companion?.onTurn();
    for (const { name } of this.#graph.tensors.toReversed()) {
      const { offset, length } = this.#memory.placement(name);
      this.#memory.gradients.fill(0, offset, offset + length);
      onGradient(name);
    }
    return { lossSum: 0, correct: 0, examples: 0 };
  }

  #demand({ n, x, y }: Batch): void {
    const graph = this.#graph;
    const values = n * valuesIn(graph.inputShape);
    assert(n >= 0 && n <= this.#memory.batchMax, "batch fits the buffers", { n });
    assert(x.length >= values && y.length >= n, "batch has its examples", { n, x: x.length });
    checkLabels(y, n, graph.classes);
  }

  #programFor(n: number, training: boolean): Compiled {
    const key = `${training ? "train" : "evaluate"} ${n}`;
    let compiled = this.#programs.get(key);
    if (compiled === undefined) {
      compiled = this.#compile(n, training);
    } else {
      this.#programs.delete(key);
    }
    this.#programs.set(key, compiled);
    return compiled;
  }

  #planned(): KernelPlan {
    const [graph, type, threads] = [this.#graph, this.#type, this.#threads];
    const { batchMax, batchUsual: n = batchMax } = this.#memory;
    this.#plan ??= planKernels(this.#dnnl, { graph, n, type, threads }, this.#kernels);
    return this.#plan;
  }

  #compile(n: number, training: boolean): Compiled {
    if (this.#programs.size === programsMax) {
      const [oldest, compiled] = this.#programs.entries().next().value as [string, Compiled];
      this.#programs.delete(oldest);
      compiled.program.close();
    }
    // Primitives are made for the number of threads that they run on.
    this.#dnnl.setThreads(this.#threads);
    const [graph, memory, type] = [this.#graph, this.#memory, this.#type];
    const plan = this.#planned();
    const compiled = compile(this.#dnnl, { graph, memory, n, training, type, plan });
    if (this.#programMemory.reserve(compiled.program.bytes)) {
      for (const { program } of this.#programs.values()) program.attach(this.#programMemory);
    }
    compiled.program.attach(this.#programMemory);
    return compiled;
  }
}
