/**
 * Windows that slide over a picture: what convolutions and pools have in common. A window covers
 * kernel[0] x kernel[1] values of a plane [H, W], starts `padding` before its first value and
 * moves on by `stride`; a position that would reach beyond the padded plane is left out (PyTorch's
 * floor mode), so that an output has floor((H + 2 padding - kernel) / stride) + 1 rows.
 *
 * Invariant: what `slide` returns has at least one row and one column; a window that is larger
 * than its padded picture is a fault of the model and asserts.
 */
import { assert } from "../assert.js";
import type { Shape } from "./layer-kind.js";

/** An extent of both rows and columns, or one for each. */
export type Extents = number | readonly [rows: number, columns: number];

/** A layer with a window. A pool's stride is its kernel if not given, a convolution's is 1. */
export interface Windowed {
  readonly kernel: Extents;
  readonly stride?: Extents;
  readonly padding?: Extents;
}

/** A window over pictures of one shape, in [rows, columns] throughout. */
export interface Sliding {
  readonly channels: number;
  readonly input: readonly [number, number];
  readonly output: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
}

/** [rows, columns] of extents that may be one number. */
export function pair(extents: Extents): readonly [number, number] {
  return typeof extents === "number" ? [extents, extents] : extents;
}

/** How a layer's window slides over examples of the given shape, which has to be [C, H, W]. */
export function slide(layer: Windowed, shape: Shape | undefined, stride: Extents): Sliding {
  assert(shape?.length === 3, "a window slides over pictures [C, H, W]", { layer, shape });
  const [channels, ...input] = shape as [number, number, number];
  const sliding = {
    channels,
    input,
    kernel: pair(layer.kernel),
    stride: pair(layer.stride ?? stride),
    padding: pair(layer.padding ?? 0),
  };
  const { kernel, padding } = sliding;
  const whole =
    [...kernel, ...sliding.stride].every((extent) => Number.isSafeInteger(extent) && extent >= 1) &&
    padding.every((extent) => Number.isSafeInteger(extent) && extent >= 0);
  assert(whole, "extents of a window are whole numbers", { layer });
  const rows = positions(sliding, 0);
  const columns = positions(sliding, 1);
  assert(rows >= 1 && columns >= 1, "a window fits its padded picture", { layer, shape });
  return { ...sliding, output: [rows, columns] };
}

function positions(sliding: Omit<Sliding, "output">, axis: 0 | 1): number {
  const { input, kernel, stride, padding } = sliding;
  return Math.floor((input[axis] + 2 * padding[axis] - kernel[axis]) / stride[axis]) + 1;
}
