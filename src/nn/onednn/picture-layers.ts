/**
 * Layers over pictures without tensors: pools, ReLU and addition. They take the layout that comes
 * and give on the same one. A global mean is a pool whose window is the whole plane.
 *
 * ReLU's gradient is computed from its result, so that its input need not be kept. The pools and
 * the blocked ReLU drop values that are not finite; those who produce such values see to it that
 * they show (convolution.ts, batch-norm.ts). Flat values are few and keep them.
 */
import { valuesIn } from "../layer-kind.js";
import type { LayerOf } from "../layers.js";
import { slide } from "../window.js";
import type { Gradient, Passes, Site, Value } from "./compile.js";
import { Argument, type Description, type PoolShape, Query } from "./dnnl.js";
import { flatOf, picturesOf } from "./flat-layers.js";
import { type Cell, isPadded } from "./program.js";

/** Operations of a ReLU that no other node computes. */
export function reluPasses(site: Site<LayerOf<"relu">>): Passes {
  const { builder } = site;
  const input = site.inputs[0] as Value;
  const { layout } = input.cell;
  const result = builder.cell(layout);
  if (input.extents.length === 2) return flatReluPasses(site, input, result);
  const forward = builder.described("ReLU", builder.dnnl.relu(layout));
  builder.execute("forward", forward, [
    [Argument.source, input.cell],
    [Argument.result, result],
  ]);
  return {
    result: { ...input, cell: result, spare: false },
    backward: (gradient) => [reluBackward(site, result, gradient, forward)],
  };
}

function flatReluPasses({ builder }: Site, input: Value, result: Cell): Passes {
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
      const target = builder.cell(result.layout);
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
  { builder }: Site,
  result: Cell,
  gradient: Gradient,
  forward: Description,
): Gradient {
  const { layout } = gradient.cell;
  const found = builder.dnnl.reluBackward(result.layout, layout, forward);
  const description = builder.described("ReLU's gradient", found);
  const target = gradient.owned ? gradient.cell : builder.cell(layout);
  builder.execute("backward ReLU", description, [
    [Argument.result, result],
    [Argument.resultGradient, gradient.cell],
    [Argument.sourceGradient, target],
  ]);
  return { cell: target, owned: true };
}

/** Operations of an addition, with the ReLU behind it where there is one. */
export function addPasses(site: Site<LayerOf<"add">>): Passes {
  const { builder, withRelu } = site;
  const [left, right] = site.inputs as readonly [Value, Value];
  const { layout } = left.cell;
  const forward = builder.described("sum", builder.dnnl.add(layout, withRelu));
  const other = builder.converted("other side to the layout", right.cell, layout);
  const isInPlace = site.mayOverwrite[0] && !isPadded(layout, left.extents, left.type);
  const result = isInPlace ? left.cell : builder.cell(layout);
  builder.execute("forward", forward, [
    [Argument.source, left.cell],
    [Argument.source1, other],
    [Argument.result, result],
  ]);
  return {
    result: { ...left, cell: result, spare: !withRelu },
    backward(gradient) {
      let whole = gradient;
      if (withRelu) {
        const relu = builder.described("ReLU", builder.dnnl.relu(layout));
        whole = reluBackward(site, result, gradient, relu);
      }
      const shared = { cell: whole.cell, owned: false };
      return site.wanted.map((wanted) => (wanted ? shared : null));
    },
  };
}

/** Operations of a max pool. */
export function maxPoolPasses(site: Site<LayerOf<"max-pool">>): Passes {
  return pool(site, "max", slide(site.layer, site.inputShapes[0], site.layer.kernel));
}

/** Operations of a mean pool. */
export function avgPoolPasses(site: Site<LayerOf<"avg-pool">>): Passes {
  return pool(site, "mean", slide(site.layer, site.inputShapes[0], site.layer.kernel));
}

/** Operations of the mean of whole planes; its result is flat. */
export function globalAvgPoolPasses(site: Site<LayerOf<"global-avg-pool">>): Passes {
  const [, rows, columns] = site.inputShapes[0] as [number, number, number];
  const sliding = { kernel: [rows, columns], stride: [1, 1], padding: [0, 0], output: [1, 1] };
  const pooled = pool(site, "mean", sliding as unknown as Window);
  const flat = flatOf(site.builder, pooled.result);
  return {
    result: flat,
    backward: (gradient) => pooled.backward(picturesOf(site.builder, gradient, pooled.result)),
  };
}

/** The parts of a sliding window that a pool needs. */
type Window = Pick<PoolShape, "kernel" | "stride" | "padding"> & {
  readonly output: readonly [number, number];
};

function pool(site: Site, kind: PoolShape["pool"], window: Window): Passes {
  const { builder, training } = site;
  const input = site.inputs[0] as Value;
  const [n, channels] = input.extents as readonly [number, number];
  const extents = [n, channels, ...window.output];
  const { kernel, stride, padding } = window;
  const shape = {
    pool: kind,
    kernel,
    stride,
    padding,
    source: input.cell.layout,
    result: builder.any(extents, input.type),
  };
  const forward = builder.described("pool", builder.dnnl.pool(training, shape));
  const result = builder.cell(builder.layoutOf(forward, Query.result));
  const room = builder.layoutOf(forward, Query.workspace);
  const workspace = room.bytes > 0 ? builder.cell(room) : null;
  builder.execute("forward", forward, [
    [Argument.source, input.cell],
    [Argument.result, result],
    [Argument.workspace, workspace],
  ]);
  return {
    result: { cell: result, extents, type: input.type, spare: true },
    backward({ cell: gradient }) {
      if (!site.wanted[0]) return [null];
      const back = { ...shape, result: result.layout };
      const found = builder.dnnl.poolBackward(back, forward);
      const description = builder.described("pool's gradient", found);
      const target = builder.cell(input.cell.layout);
      builder.execute("backward", description, [
        [Argument.resultGradient, gradient],
        [Argument.workspace, workspace],
        [Argument.sourceGradient, target],
      ]);
      return [{ cell: target, owned: true }];
    },
  };
}
