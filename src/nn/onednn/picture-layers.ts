/**
 * Layers over pictures without tensors: pools, ReLU and addition. They take the format that comes
 * and give on the same one. A global mean is a pool whose window is the whole plane.
 *
 * ReLU's gradient is computed from its result, so that its input need not be kept. The pools and
 * the blocked ReLU drop values that are not finite; those who produce such values see to it that
 * they show (convolution.ts, batch-norm.ts). Flat values are few and keep them.
 */
import { valuesIn } from "../layer-kind.js";
import type { LayerOf } from "../layers.js";
import { slide } from "../window.js";
import type { Gradient, NodeContext, Passes, Value } from "./compile.js";
import { Argument, type Description, type PoolShape, Query } from "./dnnl.js";
import { flatOf, picturesOf } from "./flat-layers.js";
import { type Cell, isPadded } from "./program.js";

/** Operations of a ReLU that no other node computes. */
export function reluPasses(context: NodeContext<LayerOf<"relu">>): Passes {
  const { builder } = context;
  const input = context.inputs[0] as Value;
  const { format } = input.cell;
  const result = builder.cell(format);
  if (input.extents.length === 2) return flatReluPasses(context, input, result);
  const forward = builder.described("ReLU", builder.dnnl.relu(format));
  builder.execute("forward", forward, [
    [Argument.source, input.cell],
    [Argument.result, result],
  ]);
  return {
    result: { ...input, cell: result, spare: false },
    backward: (gradient) => [reluBackward(context, result, gradient, forward)],
  };
}

function flatReluPasses({ builder }: NodeContext, input: Value, result: Cell): Passes {
  const count = valuesIn(input.extents);
  const { cell: source } = input;
  builder.call("forward", [source, result], () => {
    const [from, to] = [source.values, result.values];
    // NaN is kept: a diverged run has to show in the loss.
    for (let index = 0; index < count; index++) to[index] = Math.max(from[index] as number, 0);
  });
  return {
    result: { ...input, cell: result, spare: false },
    backward({ cell: gradient }) {
      const target = builder.cell(result.format);
      builder.call("backward", [result, gradient, target], () => {
        const [y, from, to] = [result.values, gradient.values, target.values];
        for (let index = 0; index < count; index++) {
          to[index] = y[index] === 0 ? 0 : (from[index] as number);
        }
      });
      return [{ cell: target, owned: true }];
    },
  };
}

function reluBackward(
  { builder }: NodeContext,
  result: Cell,
  gradient: Gradient,
  forward: Description,
): Gradient {
  const { format } = gradient.cell;
  const found = builder.dnnl.reluBackward(result.format, format, forward);
  const description = builder.described("ReLU's gradient", found);
  const target = gradient.owned ? gradient.cell : builder.cell(format);
  builder.execute("backward ReLU", description, [
    [Argument.result, result],
    [Argument.resultGradient, gradient.cell],
    [Argument.sourceGradient, target],
  ]);
  return { cell: target, owned: true };
}

/** Operations of an addition, with the ReLU behind it where there is one. */
export function addPasses(context: NodeContext<LayerOf<"add">>): Passes {
  const { builder, withRelu } = context;
  const [left, right] = context.inputs as readonly [Value, Value];
  const { format } = left.cell;
  // oneDNN 2.6 computes a ReLU behind the sum of padded arrays wrongly where it has AVX only.
  const padded = isPadded(format, left.extents, left.type);
  const forward = builder.described("sum", builder.dnnl.add(format, withRelu && !padded));
  const other = builder.converted("other side to the format", right.cell, format);
  const isInPlace = context.mayOverwrite[0] && !padded;
  const result = isInPlace ? left.cell : builder.cell(format);
  builder.execute("forward", forward, [
    [Argument.source, left.cell],
    [Argument.source1, other],
    [Argument.result, result],
  ]);
  if (withRelu && padded) {
    const relu = builder.described("ReLU", builder.dnnl.relu(format));
    builder.execute("forward ReLU", relu, [
      [Argument.source, result],
      [Argument.result, result],
    ]);
  }
  return {
    result: { ...left, cell: result, spare: !withRelu },
    backward(gradient) {
      let whole = gradient;
      if (withRelu) {
        const relu = builder.described("ReLU", builder.dnnl.relu(format));
        whole = reluBackward(context, result, gradient, relu);
      }
      const shared = { cell: whole.cell, owned: false };
      return context.wanted.map((wanted) => (wanted ? shared : null));
    },
  };
}

/** Operations of a max pool. */
export function maxPoolPasses(context: NodeContext<LayerOf<"max-pool">>): Passes {
  return pool(context, "max", slide(context.layer, context.inputShapes[0], context.layer.kernel));
}

/** Operations of a mean pool. */
export function avgPoolPasses(context: NodeContext<LayerOf<"avg-pool">>): Passes {
  return pool(context, "mean", slide(context.layer, context.inputShapes[0], context.layer.kernel));
}

/** Operations of the mean of whole planes; its result is flat. */
export function globalAvgPoolPasses(context: NodeContext<LayerOf<"global-avg-pool">>): Passes {
  const [, rows, columns] = context.inputShapes[0] as [number, number, number];
  const sliding = { kernel: [rows, columns], stride: [1, 1], padding: [0, 0], output: [1, 1] };
  const pooled = pool(context, "mean", sliding as unknown as Window);
  const flat = flatOf(context.builder, pooled.result);
  return {
    result: flat,
    backward: (gradient) => pooled.backward(picturesOf(context.builder, gradient, pooled.result)),
  };
}

/** The parts of a sliding window that a pool needs. */
type Window = Pick<PoolShape, "kernel" | "stride" | "padding"> & {
  readonly output: readonly [number, number];
};

function pool(context: NodeContext, kind: PoolShape["pool"], window: Window): Passes {
  const { builder, training } = context;
  const input = context.inputs[0] as Value;
  const [n, channels] = input.extents as readonly [number, number];
  const extents = [n, channels, ...window.output];
  const { kernel, stride, padding } = window;
  const shape = {
    pool: kind,
    kernel,
    stride,
    padding,
    source: input.cell.format,
    result: builder.any(extents, input.type),
  };
  const forward = builder.described("pool", builder.dnnl.pool(training, shape));
  const result = builder.cell(builder.formatOf(forward, Query.result));
  const room = builder.formatOf(forward, Query.workspace);
  const workspace = room.bytes > 0 ? builder.cell(room) : null;
  builder.execute("forward", forward, [
    [Argument.source, input.cell],
    [Argument.result, result],
    [Argument.workspace, workspace],
  ]);
  return {
    result: { cell: result, extents, type: input.type, spare: true },
    backward({ cell: gradient }) {
      if (!context.wanted[0]) return [null];
      const back = { ...shape, result: result.format };
      const found = builder.dnnl.poolBackward(back, forward);
      const description = builder.described("pool's gradient", found);
      const target = builder.cell(input.cell.format);
      builder.execute("backward", description, [
        [Argument.resultGradient, gradient],
        [Argument.workspace, workspace],
        [Argument.sourceGradient, target],
      ]);
      return [{ cell: target, owned: true }];
    },
  };
}
