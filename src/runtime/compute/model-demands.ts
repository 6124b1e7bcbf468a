/** What this build of Paceline demands of a checkpoint that it is to take for its model's. */
import { statePartCount } from "../../kernels/update-rule.js";
import { buildModel } from "../../nn/models.js";
import { servedRule } from "../../protocol/local/local-steps.js";
import type { DemandsOf } from "../../store/checkpoint/checkpoint-check.js";

/** The tensors of the spec's model and the state parts that its servers keep. */
export const ownDemands: DemandsOf = (spec) => {
  const { model, stem, input } = spec;
  const { classes, shape: inputShape } = input;
  const { tensors } = buildModel(model, { stem, classes, inputShape });
  return { tensors, stateParts: statePartCount(servedRule(spec)) };
};
