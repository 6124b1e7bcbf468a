/** What every implementation of the kernels demands of slots; breaking it is a bug. */
import { assert } from "../assert.js";
import type { FoldInput, UpdateSlots } from "./kernels.js";
import { statePartCount, type UpdateScalars } from "./update-rule.js";

/** The contributions of a fold that stand for examples, in their order. */
export function countedInputs(out: number, inputs: readonly FoldInput[]): readonly FoldInput[] {
  inputs.forEach((input, index) => {
    assert(index === 0 || input.offset !== out, "a fold writes over its first input only");
  });
  const counted = inputs.filter((input) => input.examples > 0);
  assert(
    inputs[0]?.offset !== out || counted.length === 0 || inputs[0].examples > 0,
    "a fold in place starts with a contribution that counts",
  );
  return counted;
}

/** The slots that an update rule needs are there and none stands for two vectors. */
export function checkSlots(scalars: UpdateScalars, slots: UpdateSlots): void {
  const parts = statePartCount(scalars);
  const offsets: (number | null)[] = [slots.weightsOut, slots.gradient];
  if (parts >= 1) offsets.push(slots.state1);
  if (parts >= 2) offsets.push(slots.state2);
  assert(!offsets.includes(null), "the update rule's state has slots", { ...slots });
  assert(new Set(offsets).size === offsets.length, "an update's slots differ", { ...slots });
  assert(slots.weightsIn !== slots.gradient, "weights and gradient differ", { ...slots });
}

/** The slots of the state parts that the rule keeps. */
export function stateSlots(scalars: UpdateScalars, { state1, state2 }: UpdateSlots): number[] {
  const kept = [state1, state2].slice(0, statePartCount(scalars));
  return kept.map((slot) => {
    assert(slot !== null, "the update rule's state has a slot");
    return slot;
  });
}
