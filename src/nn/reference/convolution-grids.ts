/**
 * Where the operands of a convolution's products lie: tables of places for matrix.ts, made once per
 * node and used for every batch. The names follow reference-conv2d.ts: per group K = (c, i, j) runs
 * over its input channels and the kernel's taps, P = (n, p, q) over examples and output positions,
 * Q over the examples' input positions of one residue.
 *
 * A residue is the set of rows (or columns) that are equal modulo the stride: the same taps reach
 * all of them, and along them the output position moves by one.
 *
 * Invariant: composite indices ascend as written, the last part fastest; examples come first in P
 * and Q, so that the tables of a smaller batch are the beginning of a larger one's.
 */

import type { Shape } from "../layer-kind.js";
import { type Sliding, slide, type Windowed } from "../window.js";
import { evenly, type Matrix } from "./matrix.js";
import type { Margin, PaddedPlanes } from "./padded-planes.js";

/** Extents that the products share. */
export interface Geometry extends Sliding {
  readonly outputs: number;
  readonly groups: number;
  /** Channels of one group. */
  readonly groupInputs: number;
  readonly groupOutputs: number;
  /** Positions of the kernel, and of the output. */
  readonly taps: number;
  readonly positions: number;
  readonly batchMax: number;
}

/** A matrix apart from its memory; the next group's origin is `groupStride` values on. */
export interface Grid {
  readonly rows: Int32Array;
  readonly columns: Int32Array;
  readonly groupStride: number;
}

/** The operands of one residue's share of dx = w^T dy, and its input positions per example. */
export interface ResidueGrids {
  readonly weights: Grid;
  readonly gradients: Grid;
  readonly inputs: Grid;
  readonly positions: number;
}

/** The extents of a convolution over examples of the given shape. */
export function geometryOf(
  layer: Windowed & { readonly outputs: number; readonly groups?: number },
  shape: Shape | undefined,
  batchMax: number,
): Geometry {
  const sliding = slide(layer, shape, 1);
  const { outputs, groups = 1 } = layer;
  return {
    ...sliding,
    outputs,
    groups,
    groupInputs: sliding.channels / groups,
    groupOutputs: outputs / groups,
    taps: sliding.kernel[0] * sliding.kernel[1],
    positions: sliding.output[0] * sliding.output[1],
    batchMax,
  };
}

/** One group's matrix. */
export function matrixOf(values: Float32Array, grid: Grid, group: number): Matrix {
  return { values, origin: group * grid.groupStride, rows: grid.rows, columns: grid.columns };
}

/** The margin that windows need around their pictures. */
export function windowMargin({ input, output, kernel, stride, padding }: Geometry): Margin {
  const after = (axis: 0 | 1) => {
    const reached = (output[axis] - 1) * stride[axis] + kernel[axis] - padding[axis];
    return Math.max(0, reached - input[axis]);
  };
  return { before: padding, after: [after(0), after(1)] };
}

/** w [O, K]. */
export function weightGrid({ groupInputs, groupOutputs, taps }: Geometry): Grid {
  const inner = groupInputs * taps;
  const rows = evenly(groupOutputs, inner);
  return { rows, columns: evenly(inner, 1), groupStride: groupOutputs * inner };
}

/** x [K, P]: the value of the padded pictures under each tap at each position. */
export function pictureGrid(geometry: Geometry, planes: PaddedPlanes): Grid {
  const { channels, groupInputs, output, kernel, stride, padding, batchMax } = geometry;
  const rows = places([groupInputs, ...kernel], (channel, row, column) => {
    return channel * planes.planeStride + row * planes.rowStride + column;
  });
  const columns = places([batchMax, ...output], (example, row, column) => {
    const top = row * stride[0] - padding[0];
    return planes.place(example * channels, top, column * stride[1] - padding[1]);
  });
  return { rows, columns, groupStride: groupInputs * planes.planeStride };
}

/** y, or dy, [O, P]. */
export function outputGrid({ outputs, groupOutputs, positions, batchMax }: Geometry): Grid {
  const columns = places([batchMax, 1, positions], (example, _, position) => {
    return example * outputs * positions + position;
  });
  const groupStride = groupOutputs * positions;
  return { rows: evenly(groupOutputs, positions), columns, groupStride };
}

/** The margin that dx needs around dy. */
export function gradientMargin(geometry: Geometry): Margin {
  const axes = ([0, 1] as const).map((axis) => {
    const reached = residuesOf(geometry, axis).flatMap(({ taps, extent }) =>
      taps.flatMap(({ output }) => [output, output + extent - 1]),
    );
    const after = Math.max(0, ...reached) - (geometry.output[axis] - 1);
    return { before: Math.max(0, -Math.min(0, ...reached)), after: Math.max(0, after) };
  });
  const [rows, columns] = axes as [(typeof axes)[0], (typeof axes)[0]];
  return { before: [rows.before, columns.before], after: [rows.after, columns.after] };
}

/** The products that dx consists of, one for each pair of residues. */
export function residueGrids(geometry: Geometry, planes: PaddedPlanes): ResidueGrids[] {
  return residuesOf(geometry, 0).flatMap((rows) =>
    residuesOf(geometry, 1).map((columns) => gridsOf(geometry, planes, rows, columns)),
  );
}

/** The input rows (or columns) `first`, `first + stride` ... and the taps that reach them. */
interface Residue {
  readonly first: number;
  /** How many there are. */
  readonly extent: number;
  /** Each tap's place in the kernel, and the output row where it reaches `first`. */
  readonly taps: readonly { readonly tap: number; readonly output: number }[];
}

function residuesOf({ input, kernel, stride, padding }: Geometry, axis: 0 | 1): Residue[] {
  const count = Math.min(stride[axis], input[axis]);
  return Array.from({ length: count }, (_, first) => ({
    first,
    extent: Math.ceil((input[axis] - first) / stride[axis]),
    taps: Array.from({ length: kernel[axis] }, (_, tap) => ({
      tap,
      output: (first + padding[axis] - tap) / stride[axis],
    })).filter(({ output }) => Number.isInteger(output)),
  }));
}

function gridsOf(
  geometry: Geometry,
  planes: PaddedPlanes,
  rows: Residue,
  columns: Residue,
): ResidueGrids {
  const { channels, groupInputs, outputs, groupOutputs, taps, batchMax } = geometry;
  const [height, width] = geometry.input;
  const weightStride = groupInputs * taps;
  const inner = [groupOutputs, rows.taps.length, columns.taps.length] as const;
  const positions = [batchMax, rows.extent, columns.extent] as const;
  const weights: Grid = {
    rows: evenly(groupInputs, taps),
    columns: places(inner, (output, row, column) => {
      const tap = rows.taps[row]!.tap * geometry.kernel[1] + columns.taps[column]!.tap;
      return output * weightStride + tap;
    }),
    groupStride: groupOutputs * weightStride,
  };
  const gradients: Grid = {
    rows: places(inner, (output, row, column) =>
      planes.place(output, rows.taps[row]!.output, columns.taps[column]!.output),
    ),
    columns: places(positions, (example, row, column) => {
      return example * outputs * planes.planeStride + row * planes.rowStride + column;
    }),
    groupStride: groupOutputs * planes.planeStride,
  };
  const inputs: Grid = {
    rows: evenly(groupInputs, height * width),
    columns: places(positions, (example, row, column) => {
      const inRow = (rows.first + row * geometry.stride[0]) * width;
      const inColumn = columns.first + column * geometry.stride[1];
      return example * channels * height * width + inRow + inColumn;
    }),
    groupStride: groupInputs * height * width,
  };
  return { weights, gradients, inputs, positions: rows.extent * columns.extent };
}

/** A table over a composite index of three parts, the last fastest. */
function places(
  [firsts, seconds, thirds]: readonly [number, number, number],
  place: (first: number, second: number, third: number) => number,
): Int32Array {
  const table = new Int32Array(firsts * seconds * thirds);
  let index = 0;
  for (let first = 0; first < firsts; first++) {
    for (let second = 0; second < seconds; second++) {
      for (let third = 0; third < thirds; third++) table[index++] = place(first, second, third);
    }
  }
  return table;
}
