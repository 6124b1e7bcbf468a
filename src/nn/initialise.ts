/**
 * How parameters start. A model says for each tensor how its values are drawn; this file draws
 * them.
 *
 * Each tensor has a random stream of its own, named by (seed, "init", tensor name), so its values
 * depend neither on where it lies in the flat vector nor on the tensors around it: every process
 * that knows model and seed draws the same bits.
 *
 * Sources: He et al. 2015 (arXiv 1502.01852) for the He bounds; PyTorch's default for Linear is
 * kaiming_uniform with a = sqrt(5), whose bound reduces to 1 / sqrt(fan in).
 */
import { assert } from "../assert.js";
import { Random } from "../random.js";
import type { Placement } from "./engine.js";
import type { ModelGraph } from "./model.js";

/** How one tensor starts. Plain data, so that a model can be sent to another thread. */
export type Initialiser =
  | { readonly kind: "uniform"; readonly low: number; readonly high: number }
  | { readonly kind: "normal"; readonly deviation: number }
  | { readonly kind: "constant"; readonly value: number };

/** Uniform in [0, 1). */
export const unitUniform: Initialiser = { kind: "uniform", low: 0, high: 1 };

/** Every value zero. */
export const zeros: Initialiser = { kind: "constant", value: 0 };

/** Every value one. */
export const ones: Initialiser = { kind: "constant", value: 1 };

/** PyTorch's default for weight and bias of a layer with `fanIn` inputs per output. */
export function torchUniform(fanIn: number): Initialiser {
  const bound = 1 / Math.sqrt(fanIn);
  return { kind: "uniform", low: -bound, high: bound };
}

/** He's uniform start for layers under ReLU: variance 2 / fanIn. */
export function heUniform(fanIn: number): Initialiser {
  const bound = Math.sqrt(6 / fanIn);
  return { kind: "uniform", low: -bound, high: bound };
}

/** He's normal start for layers under ReLU: variance 2 / fan, the fan in or the fan out. */
export function heNormal(fan: number): Initialiser {
  return { kind: "normal", deviation: Math.sqrt(2 / fan) };
}

/**
 * The start of a whole model as one flat vector.
 * @param placement where each tensor lies, in values.
 * @param values length of the flat vector; places that no tensor covers stay zero.
 * @returns f32 values, owned by the caller.
 */
export function initialParameters(
  graph: ModelGraph,
  seed: number,
  placement: Placement,
  values: number,
): Float32Array {
  const parameters = new Float32Array(values);
  for (const tensor of graph.tensors) {
    const { offset, length } = placement(tensor.name);
    assert(offset + length <= values, "tensor lies inside the vector", { name: tensor.name });
    const place = parameters.subarray(offset, offset + length);
    fill(place, tensor.initial, new Random(seed, "init", tensor.name));
  }
  return parameters;
}

function fill(place: Float32Array, initial: Initialiser, random: Random): void {
  if (initial.kind === "constant") {
    place.fill(initial.value);
    return;
  }
  for (let index = 0; index < place.length; index++) {
    place[index] = initial.kind === "uniform" ? uniform(initial, random) : normal(initial, random);
  }
}

function uniform(range: { low: number; high: number }, random: Random): number {
  for (;;) {
    const value = Math.fround(range.low + (range.high - range.low) * random.float());
    // Rounding to f32 may reach the open end.
    if (value < range.high) return value;
  }
}

function normal(spread: { deviation: number }, random: Random): number {
  return spread.deviation * random.normal();
}
