/** What this build of Paceline demands of a checkpoint that it is to take for its model's. */
import { statePartCount } from "../../kernels/update-rule.js";
import { buildModel } from "../../nn/models.js";
import type { DemandsOf } from "../../store/checkpoint/checkpoint-check.js";

/** The tensors of the spec's model and the state parts of its update rule. */
export const ownDemands: DemandsOf = ({ model, stem, input, updateRule }) => {
  const { classes, shape: inputShape } = input;
  const { tensors } = buildModel(model, { stem, classes, inputShape });
  return { tensors, stateParts: statePartCount(updateRule) };
};
