/**
 * What `nn` has to know of a kind of layer: the shape it produces and the tensors it owns. How its
 * values are computed is the engine's business.
 *
 * A kind is one object in a file of its own and one entry in layers.ts; an engine adds one kernel
 * under the same name. A layer itself is plain data, `{ kind, ...numbers }`, so that a model can be
 * compared, printed and sent to another thread.
 *
 * Invariant: shapes are those of one example; the batch extent is never part of a shape.
 */
import type { Initialiser } from "./initialise.js";

/** Extents of one example's values, slowest first, without the batch. */
export type Shape = readonly number[];

/**
 * "weight" and "plain" are trained, with and without weight decay. What a step measures goes into
 * the others: a "buffer" follows the batches' statistics, a "counter" counts updates. A counter is
 * one value, kept as an f32.
 */
export type TensorGroup = "weight" | "plain" | "buffer" | "counter";

/** A tensor that a layer owns; `role` is its name inside the layer, such as `weight`. */
export interface LayerTensor {
  readonly role: string;
  readonly shape: Shape;
  readonly group: TensorGroup;
  readonly initial: Initialiser;
}

/** A kind of layer. A layer that doesn't fit its inputs is a fault of the model: both assert. */
export interface LayerKind<Layer extends { readonly kind: string }> {
  /** How many nodes feed a layer of this kind. */
  readonly inputCount: number;
  /** The shape produced from inputs of these shapes. */
  outputShape(layer: Layer, inputs: readonly Shape[]): Shape;
  /** The tensors owned, in PyTorch's order. */
  tensors(layer: Layer, inputs: readonly Shape[]): readonly LayerTensor[];
}

/** Number of values in one example of this shape; a scalar has one. */
export function valuesIn(shape: Shape): number {
  return shape.reduce((product, extent) => product * extent, 1);
}
