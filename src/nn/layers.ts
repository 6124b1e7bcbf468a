/**
 * The table of layer kinds. Adding a kind means one file that describes it, one entry here and one
 * kernel in each engine's own table; the compiler names the engines that lack it.
 */
import { batchNorm } from "./batch-norm.js";
import { conv2d } from "./conv2d.js";
import type { LayerKind } from "./layer-kind.js";
import { linear } from "./linear.js";
import { add, dropout, flatten, relu } from "./parameterless.js";
import { avgPool, globalAvgPool, maxPool } from "./pools.js";

/** Every kind of layer by name. */
export const layerKinds = {
  linear,
  relu,
  flatten,
  dropout,
  add,
  conv2d,
  "batch-norm": batchNorm,
  "max-pool": maxPool,
  "avg-pool": avgPool,
  "global-avg-pool": globalAvgPool,
} as const;

/** A layer of any kind: a union over the table. */
export type Layer = Parameters<(typeof layerKinds)[keyof typeof layerKinds]["outputShape"]>[0];

/** The layer type of one kind, for instance `LayerOf<"linear">`. */
export type LayerOf<Kind extends Layer["kind"]> = Extract<Layer, { readonly kind: Kind }>;

/** The description of a layer's kind. */
export function kindOf(layer: Layer): LayerKind<Layer> {
  return layerKinds[layer.kind] as LayerKind<Layer>;
}
