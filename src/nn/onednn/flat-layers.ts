/**
 * Layers over flat values, which are row-major f32 [n, values]: linear, flatten and dropout; and
 * the way from pictures to flat values and back.
 *
 * A linear layer is a matrix product on the caller's own vectors, without a copy in f32; in bf16
 * its factors are converted and its results are f32. Dropout draws from the same stream in the same
 * order as the reference engine, value by value in row-major order, so both keep the same values.
 */

import { Random } from "../../random.js";
import { valuesIn } from "../layer-kind.js";
import type { LayerOf } from "../layers.js";
import type { Gradient, NodeContext, Passes, Value } from "./compile.js";
import { Argument, type Description } from "./dnnl.js";
import type { Cell, ProgramBuilder } from "./program.js";

/** A value as flat values: a view, behind a copy where its format is another one. */
export function flatOf(builder: ProgramBuilder, value: Value): Value {
  const [n, ...shape] = value.extents as readonly [number, ...number[]];
  const plain = builder.plain(value.extents, "f32");
  const cell = builder.converted("to row-major", value.cell, plain);
  const extents = [n, valuesIn(shape)];
  const spare = value.spare || cell !== value.cell;
  return { cell: builder.view(cell, builder.plain(extents, "f32")), extents, type: "f32", spare };
}

/** The gradient of flat values as that of the pictures they came from. */
export function picturesOf(builder: ProgramBuilder, flat: Gradient, pictures: Value): Gradient {
  const view = builder.view(flat.cell, builder.plain(pictures.extents, "f32"));
  const cell = builder.converted("to blocks", view, pictures.cell.format);
  return { cell, owned: flat.owned || cell !== view };
}

/** Operations of a flatten: none but a copy where the format is not row-major. */
export function flattenPasses(context: NodeContext<LayerOf<"flatten">>): Passes {
  const input = context.inputs[0] as Value;
  const result = flatOf(context.builder, input);
  return {
    result: { ...result, spare: false },
    backward: (gradient) => [
      context.wanted[0] ? picturesOf(context.builder, gradient, input) : null,
    ],
  };
}

/** Operations of a dropout; in evaluation there are none. */
export function dropoutPasses(context: NodeContext<LayerOf<"dropout">>): Passes {
  const { builder, run, name, training } = context;
  const input = context.inputs[0] as Value;
  if (!training) return { result: { ...input, spare: false }, backward: () => [null] };
  const source = builder.converted("to row-major", input.cell, builder.plain(input.extents, "f32"));
  const result = builder.cell(source.format);
  const count = valuesIn(input.extents);
  const threshold = context.layer.rate * 4294967296;
  const scale = 1 / (1 - context.layer.rate);
  const factors = new Float64Array(count);
  builder.call("forward", [source, result], () => {
    const random = new Random(...run.seed, "dropout", name);
    const [from, to] = [source.values, result.values];
    for (let index = 0; index < count; index++) {
      const factor = random.uint32() >= threshold ? scale : 0;
      factors[index] = factor;
      to[index] = (from[index] as number) * factor;
    }
  });
  return {
    result: { cell: result, extents: input.extents, type: "f32", spare: true },
    backward({ cell: gradient }) {
      if (!context.wanted[0]) return [null];
      const target = builder.cell(gradient.format);
      builder.call("backward", [gradient, target], () => {
        const [from, to] = [gradient.values, target.values];
        for (let index = 0; index < count; index++) {
          to[index] = (from[index] as number) * (factors[index] as number);
        }
      });
      return [{ cell: target, owned: true }];
    },
  };
}

/** Operations of a linear layer. */
export function linearPasses(context: NodeContext<LayerOf<"linear">>): Passes {
  return new Linear(context).passes();
}

class Linear {
  readonly #context: NodeContext<LayerOf<"linear">>;
  readonly #builder: ProgramBuilder;
  readonly #source: Value;
  readonly #extents: {
    readonly source: readonly [number, number];
    readonly weights: readonly [number, number];
    readonly result: readonly [number, number];
  };

  constructor(context: NodeContext<LayerOf<"linear">>) {
    const { n, outputShape, inputShapes } = context;
    const [inputs, outputs] = [inputShapes[0]?.[0] as number, outputShape[0] as number];
    this.#context = context;
    this.#builder = context.builder;
    this.#source = context.inputs[0] as Value;
    this.#extents = { source: [n, inputs], weights: [outputs, inputs], result: [n, outputs] };
  }

  passes(): Passes {
    const { training, parameters, type } = this.#context;
    const builder = this.#builder;
    const { result: extents } = this.#extents;
    const formats = this.#formats();
    const shape = { ...formats, result: builder.plain(extents, "f32") };
    const forward = builder.described("matrix product", builder.dnnl.product(training, shape));
    const source = builder.converted(`to ${type}`, this.#source.cell, shape.source);
    const weights = this.#weights();
    const bias = parameters.bias ? this.#loaded(parameters.bias) : null;
    const result = builder.cell(shape.result);
    const given = [
      [Argument.source, source],
      [Argument.weights, weights],
      [Argument.bias, bias],
      [Argument.result, result],
    ] as const;
    builder.execute("forward", forward, given, this.#flops);
    return {
      result: { cell: result, extents, type: "f32", spare: true },
      backward: ({ cell }) => [this.#backward(cell, source, forward)],
    };
  }

  #backward(gradient: Cell, source: Cell, forward: Description): Gradient | null {
    const { type, wanted, report } = this.#context;
    const builder = this.#builder;
    const { source: extents, result } = this.#extents;
    const incoming = builder.converted(`to ${type}`, gradient, builder.plain(result, type));
    const weights = wanted[0] ? this.#weights() : null;
    this.#backwardWeights(incoming, source, forward);
    if (weights === null) {
      report();
      return null;
    }
    // The caller may overwrite what is reported, so its own weights have to be used before.
    const isCopy = weights.region !== null;
    if (isCopy) report();
    const shape = {
      source: builder.plain(extents, "f32"),
      weights: weights.format,
      bias: null,
      result: incoming.format,
    };
    const found = builder.dnnl.productBackwardData(shape, forward);
    const description = builder.described("matrix product (backward data)", found);
    const target = builder.cell(shape.source);
    const given = [
      [Argument.resultGradient, incoming],
      [Argument.weights, weights],
      [Argument.sourceGradient, target],
    ] as const;
    builder.execute("backward data", description, given, this.#flops);
    if (!isCopy) report();
    return { cell: target, owned: true };
  }

  #backwardWeights(incoming: Cell, source: Cell, forward: Description): void {
    const builder = this.#builder;
    const { weight, bias } = this.#context.gradients;
    const flat = builder.fixed(weight as Float32Array, builder.plain(this.#extents.weights, "f32"));
    const biasGradient = bias ? builder.cell(builder.plain([bias.length], "f32")) : null;
    const shape = {
      source: source.format,
      weights: flat.format,
      bias: biasGradient?.format ?? null,
      result: incoming.format,
    };
    const found = builder.dnnl.productBackwardWeights(shape, forward);
    const description = builder.described("matrix product (backward weights)", found);
    const given = [
      [Argument.source, source],
      [Argument.resultGradient, incoming],
      [Argument.weightsGradient, flat],
      [Argument.biasGradient, biasGradient],
    ] as const;
    builder.execute("backward weights", description, given, this.#flops);
    if (bias && biasGradient) {
      builder.call("bias' gradient", [biasGradient], () => bias.set(biasGradient.values));
    }
  }

  get #flops(): number {
    return 2 * this.#context.n * valuesIn(this.#extents.weights);
  }

  #formats() {
    const { type, parameters } = this.#context;
    const builder = this.#builder;
    const { source, weights } = this.#extents;
    return {
      source: builder.plain(source, type),
      weights: builder.plain(weights, type),
      bias: parameters.bias ? builder.plain([parameters.bias.length], "f32") : null,
    };
  }

  #weights(): Cell {
    const { type, parameters } = this.#context;
    const builder = this.#builder;
    const { weights } = this.#extents;
    const flat = builder.fixed(parameters.weight as Float32Array, builder.plain(weights, "f32"));
    return builder.converted(`weights to ${type}`, flat, builder.plain(weights, type));
  }

  #loaded(bias: Float32Array): Cell {
    const cell = this.#builder.cell(this.#builder.plain([bias.length], "f32"));
    this.#builder.call("bias", [cell], () => cell.values.set(bias));
    return cell;
  }
}
