/**
 * The kernels as SIMD instructions over the arena's own memory. Each is one pass over its
 * vectors; its bits are those of scalar.ts, operation by operation.
 */
import { unreachable } from "../assert.js";
import type { Arena } from "./arena.js";
import type { FoldInput, FoldReduce, Kernels, UpdateSlots } from "./kernels.js";
import { checkSlots, countedInputs, stateSlot } from "./slot-rules.js";
import type { UpdateScalars } from "./update-rule.js";
import { instantiateKernels, type KernelExports } from "./wasm-module.js";

const bytesPerValue = 4;
const inputsMax = 4;

/** SIMD kernels over one arena; throws "usage" where the platform can't run them. */
export function createWasmKernels(arena: Arena): Kernels {
  const simd = instantiateKernels(arena.memory);
  return {
    name: "wasm",
    fold(out, inputs, length, reduce) {
      fold(simd, out * bytesPerValue, countedInputs(out, inputs), { length, reduce });
    },
    update(scalars, slots) {
      checkSlots(scalars, slots);
      update(simd, scalars, slots);
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
  { length, reduce }: { readonly length: number; readonly reduce: FoldReduce },
): void {
  if (inputs.length === 0) {
    simd.fill(out, length, 0);
    return;
  }
  const mean = reduce === "mean";
  const examples = inputs.reduce((sum, input) => sum + input.examples, 0);
  const terms = inputs.map((input) => ({
    at: input.offset * bytesPerValue,
    factor: mean ? input.examples : 1,
  }));
  while (terms.length > 0) {
    const pass = terms.splice(0, inputsMax);
    const last = mean && terms.length === 0 ? 1 / examples : 1;
    const addresses = pass.map(({ at }) => at);
    const factors = pass.map(({ factor }) => factor);
    const numbers = [out, ...addresses, length, ...factors, last];
    if (pass.length === 1) simd.fold1(...numbers);
    else if (pass.length === 2) simd.fold2(...numbers);
    else if (pass.length === 3) simd.fold3(...numbers);
    else simd.fold4(...numbers);
    if (terms.length > 0) terms.unshift({ at: out, factor: 1 });
  }
}

function update(simd: KernelExports, scalars: UpdateScalars, slots: UpdateSlots): void {
  const from = slots.weightsIn * bytesPerValue;
  const to = slots.weightsOut * bytesPerValue;
  const gradient = slots.gradient * bytesPerValue;
  const { length } = slots;
  const { lr, scale, weightDecay } = scalars;
  switch (scalars.name) {
    case "blend":
      simd.blend(from, to, gradient, length, scalars.beta1, scalars.rest1);
      break;
    case "count":
      simd.count(from, to, length);
      break;
    case "sgd":
      simd.sgd(from, to, gradient, length, lr, scale, weightDecay);
      break;
    case "momentum":
    case "nesterov": {
      const buffer = stateSlot(slots.state1) * bytesPerValue;
      const rule = simd[scalars.name];
      rule(from, to, gradient, buffer, length, lr, scale, weightDecay, scalars.momentum);
      break;
    }
    case "adam":
    case "adamw":
      adam(simd, scalars, slots);
      break;
    default:
      unreachable(scalars.name);
  }
}

function adam(simd: KernelExports, scalars: UpdateScalars, slots: UpdateSlots): void {
  simd.adam(
    slots.weightsIn * bytesPerValue,
    slots.weightsOut * bytesPerValue,
    slots.gradient * bytesPerValue,
    stateSlot(slots.state1) * bytesPerValue,
    stateSlot(slots.state2) * bytesPerValue,
    slots.length,
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
