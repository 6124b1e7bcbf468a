/**
 * The convolution. Weights are brought from the caller's row-major vector into the blocks that each
 * direction wants right before they are used, so that these copies take no lasting memory; in the
 * backward pass that happens before the tensors are reported, since the caller may then overwrite
 * them. The gradient of the weights goes from blocks straight into the caller's vector.
 *
 * In bf16 source, weights and results are bf16, the gradients of weights and bias f32; some shapes
 * are faster in f32 even then (kernel-choice.ts), and give f32 results.
 *
 * Values that are not finite could vanish in a ReLU behind (max(NaN, 0) is 0 there); where no batch
 * normalisation would show them, the tensors are looked through.
 */
import type { LayerOf } from "../layers.js";
import { type ConvolutionPlace, type Direction, flopsOf, placeOf, titleOf } from "./algorithms.js";
import type { Gradient, NodeContext, Passes, Value } from "./compile.js";
import {
  Argument,
  type ConvolutionShape,
  type DataType,
  type Description,
  type MemoryFormat,
  Query,
} from "./dnnl.js";
import { joinedCell, joinedPictures, writeJoined } from "./joined-pictures.js";
import type { KernelChoice } from "./kernel-choice.js";
import type { Cell, ProgramBuilder } from "./program.js";

/** Operations of a convolution. */
export function conv2dPasses(context: NodeContext<LayerOf<"conv2d">>): Passes {
  return new Convolution(context).passes();
}

/** How the gradient of the weights is computed, and from what. */
interface WeightsPass {
  readonly backward: Description;
  readonly source: Cell;
  readonly incoming: Cell;
}

class Convolution {
  readonly #context: NodeContext<LayerOf<"conv2d">>;
  readonly #builder: ProgramBuilder;
  readonly #place: ConvolutionPlace;
  readonly #extents: {
    readonly source: readonly number[];
    readonly weights: readonly number[];
    readonly result: readonly number[];
  };
  readonly #bias: Float32Array | undefined;
  readonly #source: Value;
  readonly #choice: KernelChoice;
  /** What source, weights and result are computed in. */
  readonly #type: DataType;

  constructor(context: NodeContext<LayerOf<"conv2d">>) {
    const asked = placeOf(context.layer, context.inputShapes[0], context);
    const { n, channels, outputs, groups, input, output, kernel } = asked;
    const grouped = [outputs / groups, channels / groups, ...kernel];
    this.#context = context;
    this.#builder = context.builder;
    this.#choice = context.choiceOf(asked);
    this.#type = this.#choice.type;
    this.#place = { ...asked, type: this.#type };
    this.#extents = {
      source: [n, channels, ...input],
      weights: groups === 1 ? grouped : [groups, ...grouped],
      result: [n, outputs, ...output],
    };
    this.#bias = context.parameters.bias;
    this.#source = context.inputs[0] as Value;
  }

  passes(): Passes {
    const { training } = this.#context;
    const type = this.#type;
    const builder = this.#builder;
    const forward = this.#describe("forward", (shape) => builder.dnnl.convolution(training, shape));
    const source = this.#in("source", this.#source.cell, forward, Query.source);
    const weights = this.#weights(forward);
    const bias = this.#bias ? this.#loadedBias(this.#bias) : null;
    const result = builder.cell(builder.formatOf(forward, Query.result));
    this.#watch();
    const given = [
      [Argument.source, source],
      [Argument.weights, weights],
      [Argument.bias, bias],
      [Argument.result, result],
    ] as const;
    builder.execute("forward", forward, given, flopsOf(this.#place));
    return {
      result: { cell: result, extents: this.#extents.result, type, spare: true },
      backward: (gradient) => this.#backward(gradient, source, forward),
    };
  }

  #backward(
    { cell: gradient }: Gradient,
    source: Cell,
    forward: Description,
  ): readonly (Gradient | null)[] {
    const builder = this.#builder;
    if (!this.#context.wanted[0]) {
      this.#backwardWeights(gradient, source, forward);
      this.#context.report();
      return [null];
    }
    const data = this.#describe("backward-data", (shape) =>
      builder.dnnl.convolutionBackwardData(shape, forward),
    );
    const weights = this.#weights(data);
    this.#backwardWeights(gradient, source, forward);
    // Weights that are no copy have to be used before the caller may overwrite them.
    const isCopy = weights.region !== null;
    if (isCopy) this.#context.report();
    const incoming = this.#in("gradient", gradient, data, Query.resultGradient);
    const outgoing = builder.cell(builder.formatOf(data, Query.sourceGradient));
    const given = [
      [Argument.resultGradient, incoming],
      [Argument.weights, weights],
      [Argument.sourceGradient, outgoing],
    ] as const;
    builder.execute("backward data", data, given, flopsOf(this.#place));
    if (!isCopy) this.#context.report();
    return [{ cell: outgoing, owned: true }];
  }

  #backwardWeights(gradient: Cell, used: Cell, forward: Description): void {
    const builder = this.#builder;
    const { backward, source, incoming } =
      this.#joinedWeights(gradient, used) ?? this.#directWeights(gradient, used, forward);
    const flat = this.#flat(this.#context.gradients.weight as Float32Array);
    const chosen = builder.formatOf(backward, Query.weightsGradient);
    const blocked = builder.dnnl.same(chosen, flat.format) ? flat : builder.cell(chosen);
    const { bias } = this.#context.gradients;
    const biasGradient = bias ? builder.cell(builder.plain([bias.length], "f32")) : null;
    const given = [
      [Argument.source, source],
      [Argument.resultGradient, incoming],
      [Argument.weightsGradient, blocked],
      [Argument.biasGradient, biasGradient],
    ] as const;
    builder.execute("backward weights", backward, given, flopsOf(this.#place));
    if (blocked !== flat) builder.copy("weights' gradient from blocks", blocked, flat);
    if (bias && biasGradient) {
      builder.call("bias' gradient", [biasGradient], () => bias.set(biasGradient.values));
    }
  }

  #directWeights(gradient: Cell, used: Cell, forward: Description): WeightsPass {
    const { dnnl } = this.#builder;
    const backward = this.#describe("backward-weights", (shape) =>
      dnnl.convolutionBackwardWeights(shape, forward),
    );
    const source = this.#in("source", used, backward, Query.source);
    const incoming = this.#in("gradient", gradient, backward, Query.resultGradient);
    return { backward, source, incoming };
  }

  /** The same on joined pictures; null where that is not the choice, or these can't be joined. */
  #joinedWeights(gradient: Cell, used: Cell): WeightsPass | null {
    const builder = this.#builder;
    const joined = joinedPictures(this.#place);
    if (this.#choice.algorithms["backward-weights"] !== "joined" || joined === null) return null;
    const source = joinedCell(builder, "source", joined.source);
    const incoming = joinedCell(builder, "gradient", joined.result);
    const wide = { source: source.format, result: incoming.format };
    const { dnnl } = builder;
    const forward = this.#describe("forward", (shape) => dnnl.convolution(true, shape), wide);
    const describe = (shape: ConvolutionShape) => dnnl.convolutionBackwardWeights(shape, forward);
    const backward = this.#describe("backward-weights", describe, wide);
    writeJoined(builder, "source", used, source, joined.source);
    writeJoined(builder, "gradient", gradient, incoming, joined.result);
    return { backward, source, incoming };
  }

  /** Describes a direction with the chosen algorithm, direct where that one is missing. */
  #describe(
    direction: Direction,
    describe: (shape: ConvolutionShape) => Description | null,
    wide: { readonly source: MemoryFormat; readonly result: MemoryFormat } | null = null,
  ): Description {
    const builder = this.#builder;
    const { note } = this.#context;
    const type = this.#type;
    const weightsType = direction === "backward-weights" ? "f32" : type;
    const { source, weights, result } = this.#extents;
    const shape = {
      source: wide?.source ?? builder.any(source, type),
      weights: builder.any(weights, weightsType),
      bias:
        this.#bias && direction !== "backward-data"
          ? builder.plain([this.#bias.length], "f32")
          : null,
      result: wide?.result ?? builder.any(result, type),
      stride: this.#place.stride,
      padding: this.#place.padding,
    };
    const chosen = this.#choice.algorithms[direction];
    const algorithm = chosen === "joined" || wide !== null ? "direct" : chosen;
    const found = describe({ ...shape, algorithm }) ?? describe({ ...shape, algorithm: "direct" });
    const description = builder.described(`convolution (${direction})`, found);
    const implementation = builder.dnnl.implementationOf(description);
    if (wide === null) note(titleOf(this.#place), direction, implementation);
    else if (direction === "backward-weights") {
      note(titleOf(this.#place), direction, `${implementation} on joined pictures`);
    }
    return description;
  }

  /** A cell in the format that a description has chosen for it. */
  #in(what: string, cell: Cell, description: Description, query: number): Cell {
    const format = this.#builder.formatOf(description, query);
    return this.#builder.converted(`${what} to blocks`, cell, format);
  }

  #weights(description: Description): Cell {
    const flat = this.#flat(this.#context.parameters.weight as Float32Array);
    return this.#in("weights", flat, description, Query.weights);
  }

  #flat(values: Float32Array): Cell {
    return this.#builder.fixed(values, this.#builder.plain(this.#extents.weights, "f32"));
  }

  #loadedBias(bias: Float32Array): Cell {
    const cell = this.#builder.cell(this.#builder.plain([bias.length], "f32"));
    this.#builder.call("bias", [cell], () => cell.values.set(bias));
    return cell;
  }

  #watch(): void {
    const { parameters, run, isMeasured } = this.#context;
    if (isMeasured) return;
    const tensors = Object.values(parameters);
    this.#builder.call("look for values that are not finite", [], () => {
      if (!tensors.every(allFinite)) run.broken = true;
    });
  }
}

/** Whether all values are finite; finite f32 values have a finite sum in f64. */
export function allFinite(values: Float32Array): boolean {
  let [even, odd] = [0, 0];
  let index = 0;
  for (; index + 1 < values.length; index += 2) {
    even += values[index] as number;
    odd += values[index + 1] as number;
  }
  if (index < values.length) even += values[index] as number;
  return Number.isFinite(even + odd);
}
