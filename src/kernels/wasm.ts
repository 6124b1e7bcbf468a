/**
 * The kernels as SIMD instructions over the arena's own memory. Each is one pass over its
 * vectors; its bits are those of scalar.ts, operation by operation.
 */
import { isRobust, type Reduce, trimmedAtEnds } from "../protocol/reduction.js";
import type { Arena } from "./arena.js";
import type { FoldInput, Kernels, UpdateSlots } from "./kernels.js";
import { checkSlots, countedInputs } from "./slot-rules.js";
import { sortByExchanges } from "./sorting-network.js";
import type { UpdateName, UpdateScalars } from "./update-rule.js";
import { instantiateKernels, type KernelExports } from "./wasm-module.js";

const bytesPerValue = 4;
/** Folds of one vector to four. */
const passes = ["fold1", "fold2", "fold3", "fold4"] as const;

/** SIMD kernels over one arena; throws "usage" where the platform can't run them. */
export function createWasmKernels(arena: Arena): Kernels {
  const simd = instantiateKernels(arena.memory);
  return {
    name: "wasm",
    fold(out, inputs, length, reduce) {
      return fold(simd, out * bytesPerValue, countedInputs(out, inputs), { length, reduce });
    },
    update(scalars, slots) {
      checkSlots(scalars, slots);
      updates[scalars.name](simd, addressesOf(slots), scalars);
    },
    finite: (offset, length) => simd.finite(offset * bytesPerValue, length) !== 0,
    copy(from, to, length) {
      simd.copy(from * bytesPerValue, to * bytesPerValue, length * bytesPerValue);
    },
    fill(offset, length, value) {
      simd.fill(offset * bytesPerValue, length, value);
    },
  };
}

/**
 * Up to four vectors are one pass. More take further passes, each over the sum so far and up to
 * three more: its factor of 1 changes no bit, and only the last pass divides.
 */
function fold(
  simd: KernelExports,
  out: number,
  inputs: readonly FoldInput[],
  { length, reduce }: { readonly length: number; readonly reduce: Reduce },
): boolean {
  if (inputs.length === 0) {
    simd.fill(out, length, 0);
    return true;
  }
  if (isRobust(reduce)) return foldMiddle(simd, out, inputs, { length, reduce });
  const mean = reduce === "mean";
  const examples = inputs.reduce((sum, input) => sum + input.examples, 0);
  if (inputs.length === 1 && isUnchanged(simd, out, inputs[0]!, { length, reduce })) return true;
  const terms = inputs.map((input) => ({
    at: input.offset * bytesPerValue,
    factor: mean ? input.examples : 1,
  }));
  return addUp(simd, out, { terms, length, last: mean ? 1 / examples : 1 });
}

/** The plain mean of what is in the middle, once all is in order. */
function foldMiddle(
  simd: KernelExports,
  out: number,
  inputs: readonly FoldInput[],
  { length, reduce }: { readonly length: number; readonly reduce: Reduce },
): boolean {
  const count = inputs.length;
  const places = inputs.map(({ offset }) => offset * bytesPerValue);
  sortByExchanges(count, (low, high) => simd.exchange(places[low]!, places[high]!, length));
  const trimmed = trimmedAtEnds(reduce, count);
  const terms = places.slice(trimmed, count - trimmed).map((at) => ({ at, factor: 1 }));
  return addUp(simd, out, { terms, length, last: 1 / terms.length });
}

/** What is summed up, in this order, and what the sum is multiplied by. */
interface Addition {
  readonly terms: { readonly at: number; readonly factor: number }[];
  readonly length: number;
  readonly last: number;
}

function addUp(simd: KernelExports, out: number, { terms, length, last: end }: Addition): boolean {
  for (;;) {
    const pass = terms.splice(0, passes.length);
    const last = terms.length === 0 ? end : 1;
    const addresses = pass.map(({ at }) => at);
    const factors = pass.map(({ factor }) => factor);
    const numbers = [out, ...addresses, length, ...factors, last];
    const finite = simd[passes[pass.length - 1]!](...numbers) !== 0;
    // What is not finite stays so in every later pass.
    if (terms.length === 0) return finite;
    terms.unshift({ at: out, factor: 1 });
  }
}

/**
 * A single gradient in its place is its own mean where n times each value, and the same times 1/n,
 * are exact: n is a power of two, and no product overflows.
 */
function isUnchanged(
  simd: KernelExports,
  out: number,
  { offset, examples }: FoldInput,
  { length, reduce }: { readonly length: number; readonly reduce: Reduce },
): boolean {
  const factor = reduce === "mean" ? examples : 1;
  const isExact = factor <= 2 ** 30 && (factor & (factor - 1)) === 0;
  if (!isExact || offset * bytesPerValue !== out) return false;
  return simd.largest(out, length) >>> 0 <= magnitudeOf(largestFloat / factor);
}

/** The largest finite f32. */
const largestFloat = (2 - 2 ** -23) * 2 ** 127;
/** An f32's bits without its sign, which order like magnitudes. */
function magnitudeOf(value: number): number {
  return (new Uint32Array(Float32Array.of(value).buffer)[0]! << 1) >>> 0;
}

/** Where the vectors of one update lie, in bytes; `first` and `second` are the rule's state. */
interface Addresses {
  readonly from: number;
  readonly to: number;
  readonly gradient: number;
  readonly first: number;
  readonly second: number;
  readonly length: number;
}

type Update = (simd: KernelExports, at: Addresses, scalars: UpdateScalars) => void;

const updates: Readonly<Record<UpdateName, Update>> = {
  blend(simd, { from, to, gradient, length }, { beta1, rest1 }) {
    simd.blend(from, to, gradient, length, beta1, rest1);
  },
  count(simd, { from, to, length }) {
    simd.count(from, to, length);
  },
  sgd(simd, { from, to, gradient, length }, { lr, scale, weightDecay }) {
    simd.sgd(from, to, gradient, length, lr, scale, weightDecay);
  },
  momentum(simd, { from, to, gradient, first, length }, { lr, scale, weightDecay, momentum }) {
    simd.momentum(from, to, gradient, first, length, lr, scale, weightDecay, momentum);
  },
  nesterov(simd, { from, to, gradient, first, length }, { lr, scale, weightDecay, momentum }) {
    simd.nesterov(from, to, gradient, first, length, lr, scale, weightDecay, momentum);
  },
  adam,
  adamw: adam,
};

function adam(simd: KernelExports, at: Addresses, scalars: UpdateScalars): void {
  simd.adam(
    at.from,
    at.to,
    at.gradient,
    at.first,
    at.second,
    at.length,
    scalars.scale,
    scalars.weightDecay,
    scalars.shrink,
    scalars.beta1,
    scalars.rest1,
    scalars.beta2,
    scalars.rest2,
    scalars.epsilon,
    scalars.stepSize,
    scalars.rootCorrection,
  );
}

function addressesOf(slots: UpdateSlots): Addresses {
  return {
    from: slots.weightsIn * bytesPerValue,
    to: slots.weightsOut * bytesPerValue,
    gradient: slots.gradient * bytesPerValue,
    // A rule that keeps no such part does not read it.
    first: (slots.state1 ?? 0) * bytesPerValue,
    second: (slots.state2 ?? 0) * bytesPerValue,
    length: slots.length,
  };
}
