/**
 * The losses a model may end in. Both are means over the batch of a loss per example.
 *
 * - cross-entropy: logits [N, classes]; per example -log(softmax(logits)[label]); the prediction is
 *   the class of the largest logit, the first one among equals.
 * - bce-with-logits: one logit per example, z; label t is 0 or 1; per example
 *   max(z, 0) - z t + log(1 + exp(-|z|)); the prediction is 1 if z > 0.
 *
 * Invariant: labels are whole numbers in [0, classes), checked by the engine on every batch,
 * because they come from a file.
 */
import { assert } from "../assert.js";
import { PacelineError } from "../errors.js";
import { type Shape, valuesIn } from "./layer-kind.js";

/** A loss by name. */
export type LossName = "cross-entropy" | "bce-with-logits";

/** How many classes a loss tells apart on an output of this shape; asserts that the two fit. */
export function classesOf(loss: LossName, output: Shape): number {
  const values = valuesIn(output);
  assert(output.length === 1, "the output of a model is flat", { output });
  if (loss === "cross-entropy") return values;
  assert(values === 1, "bce-with-logits takes one logit", { output });
  return 2;
}

/** Throws `data` when one of the first `n` labels is not a class of the model. */
export function checkLabels(y: Int32Array, n: number, classes: number): void {
  for (let example = 0; example < n; example++) {
    const label = y[example] as number;
    if (label >= 0 && label < classes) continue;
    throw new PacelineError(
      "data",
      `label ${label} of a batch's example ${example} is none of the model's ${classes} classes; ` +
        "choose a data set and a model with the same number of classes",
      { details: { label, example, classes } },
    );
  }
}
