/**
 * Batch normalisation, with the ReLU behind it where there is one: a workspace then keeps a bit per
 * value on which gradients pass.
 *
 * oneDNN measures the biased variance and normalises with it; what is reported for the running
 * variance is the unbiased one, count / (count - 1) times that. Statistics, scale and shift are f32
 * whatever the type of the pictures; they are copied between the caller's vectors and memory of the
 * program's own.
 *
 * ReLU hides values that are not finite; here they show in statistics, scale or shift.
 */
import type { LayerOf } from "../layers.js";
import type { Gradient, NodeContext, Passes, Value } from "./compile.js";
import { allFinite } from "./convolution.js";
import { Argument, type Description, type NormalisationShape, Query } from "./dnnl.js";
import type { Cell } from "./program.js";

const defaultEpsilon = 1e-5;

/** The f32 arrays of a node, one value a channel. */
interface ChannelCells {
  readonly scale: Cell;
  readonly shift: Cell;
  readonly mean: Cell;
  readonly variance: Cell;
}

/** Operations of a batch normalisation. */
export function batchNormPasses(context: NodeContext<LayerOf<"batch-norm">>): Passes {
  const { builder, training } = context;
  const input = context.inputs[0] as Value;
  const shape: NormalisationShape = {
    data: input.cell.format,
    epsilon: context.layer.epsilon ?? defaultEpsilon,
    relu: context.withRelu,
  };
  const channels = loadChannels(context);
  const found = builder.dnnl.normalisation(training, shape);
  const forward = builder.described("batch normalisation", found);
  const isInPlace = !training && context.mayOverwrite[0];
  const result = isInPlace ? input.cell : builder.cell(input.cell.format);
  const room = builder.formatOf(forward, Query.workspace);
  const workspace = training && room.bytes > 0 ? builder.cell(room) : null;
  builder.execute("forward", forward, [
    [Argument.source, input.cell],
    [Argument.scale, channels.scale],
    [Argument.shift, channels.shift],
    [Argument.mean, channels.mean],
    [Argument.variance, channels.variance],
    [Argument.workspace, workspace],
    [Argument.result, result],
  ]);
  watch(context, channels);
  return {
    result: { cell: result, extents: input.extents, type: input.type, spare: true },
    backward: (gradient) => backward(context, gradient, { shape, forward, channels, workspace }),
  };
}

/** What the forward pass leaves to the backward pass. */
interface Kept {
  readonly shape: NormalisationShape;
  readonly forward: Description;
  readonly channels: ChannelCells;
  readonly workspace: Cell | null;
}

function backward(
  context: NodeContext<LayerOf<"batch-norm">>,
  gradient: Gradient,
  { shape, forward, channels, workspace }: Kept,
): readonly (Gradient | null)[] {
  const { builder } = context;
  const found = builder.dnnl.normalisationBackward(shape, gradient.cell.format, forward);
  const description = builder.described("batch normalisation's gradient", found);
  const target = gradient.owned ? gradient.cell : builder.cell(gradient.cell.format);
  const [scaleGradient, shiftGradient] = [channelCell(context), channelCell(context)];
  builder.execute("backward", description, [
    [Argument.source, (context.inputs[0] as Value).cell],
    [Argument.mean, channels.mean],
    [Argument.variance, channels.variance],
    [Argument.scale, channels.scale],
    // Version 2 asks for what it has no use for; version 3 refuses it.
    [Argument.shift, builder.dnnl.abi === 2 ? channels.shift : null],
    [Argument.workspace, workspace],
    [Argument.resultGradient, gradient.cell],
    [Argument.sourceGradient, target],
    [Argument.scaleGradient, scaleGradient],
    [Argument.shiftGradient, shiftGradient],
  ]);
  const { gradients, n, outputShape } = context;
  const count = n * (outputShape[1] as number) * (outputShape[2] as number);
  // A channel's only value has variance 0, which stays finite.
  const unbiased = count > 1 ? count / (count - 1) : 1;
  const { mean, variance } = channels;
  builder.call("gradients", [mean, variance, scaleGradient, shiftGradient], () => {
    gradients.weight?.set(scaleGradient.values);
    gradients.bias?.set(shiftGradient.values);
    gradients.running_mean?.set(mean.values);
    const place = gradients.running_var as Float32Array;
    for (let channel = 0; channel < place.length; channel++) {
      place[channel] = (variance.values[channel] as number) * unbiased;
    }
    gradients.num_batches_tracked?.fill(1);
  });
  context.report();
  return [context.wanted[0] ? { cell: target, owned: true } : null];
}

function channelCell({ builder, outputShape }: NodeContext<LayerOf<"batch-norm">>): Cell {
  return builder.cell(builder.plain([outputShape[0] as number], "f32"));
}

function loadChannels(context: NodeContext<LayerOf<"batch-norm">>): ChannelCells {
  const { builder, training, parameters } = context;
  const [scale, shift, mean, variance] = [0, 1, 2, 3].map(() => channelCell(context)) as [
    Cell,
    Cell,
    Cell,
    Cell,
  ];
  const loaded = training ? [scale, shift] : [scale, shift, mean, variance];
  builder.call("tensors", loaded, () => {
    scale.values.set(parameters.weight as Float32Array);
    shift.values.set(parameters.bias as Float32Array);
    if (training) return;
    mean.values.set(parameters.running_mean as Float32Array);
    variance.values.set(parameters.running_var as Float32Array);
  });
  return { scale, shift, mean, variance };
}

function watch(
  { builder, run }: NodeContext,
  { scale, shift, mean, variance }: ChannelCells,
): void {
  const cells = [scale, shift, mean, variance];
  builder.call("look for values that are not finite", cells, () => {
    if (!cells.every(({ values }) => allFinite(values))) run.broken = true;
  });
}
